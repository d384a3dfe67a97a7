"""Find the part of a request's path that Restate signs, and refuse paths with more than one meaning.

The guard verifies one string, but the application routes on what its server and framework make of it. If a path can be
read in two ways, an attacker can have one reading verified and the other one run. So only plain paths are accepted:
decoding, cleaning or parsing a plain path does not change it.
"""

from __future__ import annotations

import re

from restate_identity._quoting import quoted

# Far longer than the paths that Restate sends, and than the request lines that servers accept.
MAX_PATH_SIZE = 16 * 1024

# The names that a Restate server accepts at discovery (measured on 1.7.12).
_SERVICE = "(?:[A-Za-z]|_[A-Za-z0-9])[A-Za-z0-9._-]*"
_HANDLER = "(?:[A-Za-z]|_[A-Za-z0-9])[A-Za-z0-9_]*"
# All paths that it signs, in a syntax that RE2 reads too.
SIGNED_FORM = f"(?:/discover|/invoke/{_SERVICE}/{_HANDLER})"
_SIGNED = re.compile(SIGNED_FORM)

# The characters that RFC 3986, 3.3 allows in a segment, except "%" and ";".
_CHARACTERS = "A-Za-z0-9._~!$&'()*,=:@-"
_PLAIN = re.compile(rf"/|(?:/(?!\.\.?(?:/|\Z))[{_CHARACTERS}]+)+")
_NOT_PLAIN = re.compile(f"[^/{_CHARACTERS}]")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
# For messages about a request for which the adapter found no path.
NO_PATH = "no path that can be read: this is no HTTP request, or its path is not UTF-8"
_TOO_LONG = f"has more than {MAX_PATH_SIZE} characters"


def signed_path(path: str) -> str:
    """Return the part of *path* that Restate signs as the token's audience.

    A deployment may be mounted under any prefix, so only the end counts: ``/invoke/<service>/<handler>``, else
    ``/discover``, else the whole path.

    Args:
        path: The decoded path that the application routes on, without the query.

    Source: the path rule of Restate's shared SDK core; the cases are in ``tests/vectors/signed_path.json``.
    """
    # Split at most three times from the right, so that the cost does not grow with the number of segments.
    parts = path.rsplit("/", 3)
    if len(parts) == 4 and parts[1] == "invoke":
        return f"/invoke/{parts[2]}/{parts[3]}"
    if len(parts) > 1 and parts[-1] == "discover":
        return "/discover"
    return path


def is_call(path: str) -> bool:
    """Return whether *path* ends like the paths that Restate calls, with any names and in any case."""
    parts = path.lower().rsplit("/", 3)
    return (len(parts) == 4 and parts[1] == "invoke") or (len(parts) > 1 and parts[-1] == "discover")


def is_signed_form(audience: str) -> bool:
    """Return whether a Restate server can have signed *audience*.

    It signs only ``/discover`` and ``/invoke/<service>/<handler>``, with names that it registers.
    """
    return _SIGNED.fullmatch(audience) is not None


def oddity(path: str | None, raw_path: bytes | None = None) -> str | None:
    """Return why a path has more than one meaning, as the end of a sentence; None if it is plain.

    A plain path is ``/``, or one or more segments that each follow a ``/``. A segment is not empty, not ``.`` or
    ``..``, and contains only ASCII letters, digits and ``-._~!$&'()*,=:@``. The segment before the last two is not
    ``INVOKE`` or ``Invoke``, which a router that ignores case would read as ``invoke``.

    Args:
        path: The decoded path that the application routes on, without the query; None if it cannot be read.
        raw_path: The same path as it stands in the request line; None if the server does not pass it on. It may have a
            query, and escapes for the characters above.
    """
    if not isinstance(path, str):
        return "cannot be read as text"
    problem = _problem(path)
    # Sent without escapes and query, the raw path is the same text.
    if problem is not None or raw_path is None or raw_path == path.encode():
        return problem
    if not isinstance(raw_path, bytes):
        return "came with a raw path that is not bytes"
    problem = _problem_as_sent(_sent(raw_path))
    return None if problem is None else f"was sent in a form that {problem}"


def mismatch(audience: str, path: str | None, raw_path: bytes | None = None) -> str | None:
    """Return why a token for *audience* is not valid for this path, safe to log; None if it is valid.

    Args:
        audience: The token's audience.
        path, raw_path: As for `oddity`.
    """
    if path is None:
        return f"there is {NO_PATH}"
    odd = oddity(path, raw_path)
    if odd is not None:
        remedy = _remedy(path, raw_path)
        return f"the path {quoted(path)} {odd}, which servers and frameworks do not all read alike: {remedy}"
    if not is_signed_form(audience):
        return (
            f"signed for {quoted(audience)}, which is no path that a Restate server calls: those end in /discover or "
            "/invoke/<service>/<handler>"
        )
    if signed_path(path) != audience:
        return (
            f"signed for {quoted(audience)}, but the path is {quoted(path)}: "
            "a proxy rewrote the path, or the token was taken from another request"
        )
    if is_rewritten(path, raw_path):
        return (
            f"signed for {quoted(audience)}, and so is the path {quoted(path)}, but the request line asks for another: "
            "something in front of the guard rewrote the path"
        )
    return None


def is_rewritten(path: str, raw_path: bytes | None) -> bool:
    """Return whether *raw_path* and *path* differ, apart from a prefix.

    If they do, something in front of the guard changed one of them, and the application may route on either. Paths that
    Restate calls must have the same signed part; of other paths, one must be the end of the other.

    Args:
        path, raw_path: As for `oddity`; both are plain.
    """
    if raw_path is None or raw_path == path.encode():
        return False
    sent = _unescaped(_sent(raw_path))
    if is_signed_form(signed_path(path)) or is_signed_form(signed_path(sent)):
        return signed_path(path) != signed_path(sent)
    return not path.endswith(sent) and not sent.endswith(path)


def _remedy(path: str, raw_path: bytes | None) -> str:
    """Return what to do about a path that is not plain, decoded or as sent."""
    odd = _sent(raw_path) if isinstance(raw_path, bytes) and oddity(path) is None else path
    if not isinstance(odd, str) or is_signed_form(signed_path(odd)):
        return "register the deployment with a URL whose path has only letters, digits and -._~ between single slashes"
    # The URL of the deployment does not affect the end of the path, so registering it again would not help.
    if is_signed_form(signed_path(odd.partition("?")[0])):
        return "a query is no part of the path, leave it out"
    if is_signed_form(signed_path(odd.rstrip("/"))):
        return "the slash at the end was added on the way"
    return "no Restate server calls a path that ends like this"


def _sent(raw_path: bytes) -> str:
    return raw_path.partition(b"?")[0].decode("latin-1")


def _unescaped(sent: str) -> str:
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), sent)


def _problem_as_sent(sent: str) -> str | None:
    if len(sent) > MAX_PATH_SIZE:
        return _TOO_LONG
    unescaped = _unescaped(sent)
    if unescaped.count("/") != sent.count("/"):
        return "contains an encoded '/'"
    return _problem(unescaped)


def _problem(path: str) -> str | None:
    if len(path) > MAX_PATH_SIZE:
        return _TOO_LONG
    if _PLAIN.fullmatch(path):
        return _problem_of_case(path)
    if not path.startswith("/"):
        return "does not begin with '/'"
    character = _NOT_PLAIN.search(path)
    if character is not None:
        return f"contains {character[0]!a}"
    if "//" in path:
        return "has an empty segment, '//'"
    if path.endswith("/"):
        return "ends with '/'"
    return "has a segment '.' or '..'"


def _problem_of_case(path: str) -> str | None:
    # `signed_path` reads such a path as a discovery, but a router that ignores case reads it as a call.
    parts = path.rsplit("/", 3)
    if len(parts) == 4 and parts[1] != "invoke" and parts[1].lower() == "invoke":
        return f"has {parts[1]!r} before its last two segments, which is 'invoke' if case is ignored"
    return None

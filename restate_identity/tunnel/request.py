"""Check the headers of a request, and make the ASGI scope from them."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from restate_identity.asgi import ENDS_EARLY, Scope
from restate_identity.tunnel.beyond_asgi import FORWARDED, Forwarded
from restate_identity.tunnel.fields import has_line_break, is_field
from restate_identity.tunnel.forwarded_path import ForwardedPath
from restate_identity.tunnel.header_blocks import HeaderList

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))


class Request(NamedTuple):
    """The head of a request: its method, target and headers."""

    method: str
    target: bytes
    """The value of ``:path``."""
    headers: list[tuple[bytes, bytes]]
    """Without pseudo-headers; ``:authority`` is here as ``host``."""
    size: int
    """The size of the header list in bytes, counted as in RFC 9113, 6.5.2."""
    length: int | None
    """The length that the body must have (content-length); None if the request does not say."""
    ended: bool
    """Whether the request has no body."""
    malformed: bool
    """Whether the request is malformed, so that it must not be served (RFC 9113, 8.1.1)."""


def request_head(received: HeaderList, *, ended: bool) -> Request:
    """Return the head of the request with the header fields in *received*.

    The fields are checked here and not by h2, which ends the whole connection if one is invalid: for instance if
    ``host`` and ``:authority`` differ, which a proxy in between may well send.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    lengths: set[bytes] = set()
    malformed, has_host = False, False
    for name, value in received.fields:
        if name[:1] == b":":
            malformed = malformed or bool(headers or cookies) or name in pseudo or has_line_break(value)
            pseudo[name] = value
            continue
        malformed = malformed or not is_field(name, value)
        has_host = has_host or name == b"host"
        if name == b"cookie":
            cookies.append(value)
            continue
        if name == b"content-length":
            # Ignore a repetition with the same value (RFC 9110, 8.6).
            if value in lengths:
                continue
            lengths.add(value)
        headers.append((name, value))
    method = pseudo.get(b":method", b"")
    malformed = malformed or _METHOD(method) is None or not _PSEUDO.issuperset(pseudo)
    if not has_host and (authority := pseudo.get(b":authority")):
        headers.insert(0, (b"host", authority))
    if cookies:
        # HTTP/2 may split the header into several fields, which applications do not expect (RFC 9113, 8.2.3).
        headers.append((b"cookie", b"; ".join(cookies)))
    length: int | None = None
    if lengths:
        malformed = malformed or len(lengths) > 1 or not all(map(_LENGTH, lengths))
        length = None if malformed else int(lengths.pop())
        malformed = malformed or (ended and length != 0)
    path = pseudo.get(b":path", b"")
    return Request(method.decode("latin-1"), path, headers, received.size, length, ended, malformed)


def trailers_are_malformed(received: HeaderList) -> bool:
    """Return whether the trailers of a request contain a field that no client may send (RFC 9113, 8.1)."""
    return not all(is_field(name, value) for name, value in received.fields)


def asgi_scope(request: Request, forwarded: ForwardedPath) -> Scope:
    """Return the ASGI scope of *request*, whose path lacks the tunnel's prefix."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": request.method,
        "scheme": "https",
        "path": unquote(forwarded.path.decode("ascii")),
        "raw_path": forwarded.path,
        "query_string": forwarded.query,
        "root_path": "",
        "headers": request.headers,
        "client": None,
        "server": ("in-process", 9080),
        "extensions": {ENDS_EARLY: {}, FORWARDED: Forwarded(forwarded.destination, request.ended)},
    }

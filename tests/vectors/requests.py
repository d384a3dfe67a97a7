"""Cases that differ in the request around the token: its keys, its path, its headers, its time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from tests.support.base64url import base64url
from tests.vectors.ed25519 import (
    BASE,
    NEUTRAL,
    ORDER_2,
    ORDER_4,
    ORDER_8,
    P,
    Point,
    challenge,
    point,
    secret_scalar,
    sign,
)
from tests.vectors.forge import (
    FOREIGN,
    PATH,
    SCHEME_HEADER,
    SECOND,
    TOKEN_HEADER,
    Case,
    Forge,
    restate_form,
    with_token,
)

SERVERS_TEST_KEY = "publickeyv1_AfQwmwfgEZhrWpvv8N52SHpRtZqGGaFr4AZN6qtYWSiY"
DOCUMENTED_KEY = "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"


def genuine(forge: Forge) -> Iterator[Case]:
    yield Case("a service handler", with_token(forge.genuine()))
    yield Case("discovery", with_token(forge.genuine(aud="/discover")), path="/discover")
    yield Case("discovery under a prefix", with_token(forge.genuine(aud="/discover")), path="/mounted/here/discover")
    subjects = {
        "a virtual object": "alice",
        "an empty object key": "",
        "a key that looks like a path": "../../invoke/Greeter/admin",
        "a key with percent signs": "%2F..%2f%00",
        "a key with quotes and backslashes": '"\\"',
        "a key with a line feed": "a\nb",
        "a key with a NUL": "a\0b",
        "a key beyond ASCII": "日本語",
        "a key beyond the basic plane": "\U0001f600",
        "a key of combining characters, not normalised": "é is e\u0301",
        "a key with a line separator": "a\u2028b",
        "a key that looks like a number": "0",
        "a key that looks like JSON": '{"aud":"/discover"}',
        "a long key": "k" * 4_000,
    }
    for comment, subject in subjects.items():
        claims = forge.claims(sub=subject)
        yield Case(comment, with_token(forge.token(claims=claims)), subject=subject)
    yield Case("a server with a leeway of one second", with_token(_window(forge, -1, 1)), clock=True)
    yield Case("a server with a leeway of an hour", with_token(_window(forge, -3600, 3600)))
    every_kind = "/invoke/_My.greeter-2/_say_hello2"
    yield Case(
        "names of every kind that a server registers", with_token(forge.genuine(aud=every_kind)), path=every_kind
    )


def _window(forge: Forge, start: int, end: int) -> str:
    return forge.genuine(nbf=forge.now + start, exp=forge.now + end)


def keys(forge: Forge) -> Iterator[Case]:
    headers = with_token(forge.genuine())
    yield Case("the key that signed", headers, keys=[forge.own.text])
    yield Case("no key at all: verification must not be off", headers, "no_key", keys=[])
    yield Case("no key at all, and nothing signed", [], "no_key", keys=[])
    yield Case("another key", headers, "unknown_key", keys=[FOREIGN.text])
    yield Case("the sample key of the documentation", headers, "unknown_key", keys=[DOCUMENTED_KEY])
    yield Case("the key of the server's own tests", headers, "unknown_key", keys=[SERVERS_TEST_KEY])
    yield Case("one bad key spoils the list", headers, "invalid_key", keys=[forge.own.text, "oops"])
    yield Case("the same key twice", headers, keys=[forge.own.text, forge.own.text])
    body = forge.own.text.removeprefix("publickeyv1_")
    unreadable = {
        "an empty key": "",
        "the prefix alone": "publickeyv1_",
        "no prefix": body,
        "another version": "publickeyv2_" + body,
        "the prefix in upper case": "PUBLICKEYV1_" + body,
        "the prefix twice": "publickeyv1_" + forge.own.text,
        "a space before it": " " + forge.own.text,
        "a line feed after it": forge.own.text + "\n",
        "a space inside": forge.own.text[:20] + " " + forge.own.text[20:],
        "a character outside the alphabet (0)": forge.own.text[:-1] + "0",
        "a character outside the alphabet (l)": forge.own.text[:-1] + "l",
        "a character beyond ASCII": forge.own.text[:-1] + "é",
        "31 bytes": restate_form(forge.own.raw[:31]),
        "33 bytes": restate_form(forge.own.raw + b"\0"),
        "33 bytes, the first a zero": restate_form(b"\0" + forge.own.raw),
        "64 bytes": restate_form(forge.own.raw * 2),
        "a zero byte more than base58 asks for": "publickeyv1_1" + body,
        "base64 in place of base58": "publickeyv1_" + base64url(forge.own.raw),
        "hex in place of base58": "publickeyv1_" + forge.own.raw.hex(),
    }
    for comment, text in unreadable.items():
        yield Case(comment, headers, "invalid_key", keys=[text])
    yield from _weak_keys(forge)


def _weak_keys(forge: Forge) -> Iterator[Case]:
    """Keys for which anyone can sign, each with a forgery that a lax verifier accepts."""
    weak = {
        "the neutral element": NEUTRAL.encoded(),
        "the neutral element, not reduced": (P + 1).to_bytes(32, "little"),
        "the neutral element, with a sign": _with_sign(NEUTRAL.encoded()),
        "the point of order 2": ORDER_2.encoded(),
        "the point of order 2, with a sign": _with_sign(ORDER_2.encoded()),
        "a point of order 4": ORDER_4.encoded(),
        "a point of order 4, with a sign": _with_sign(ORDER_4.encoded()),
        "a point of order 4, not reduced": P.to_bytes(32, "little"),
        "a point of order 8": ORDER_8.encoded(),
        "its negative": _with_sign(ORDER_8.encoded()),
        "the other point of order 8": (ORDER_8 + ORDER_4).encoded(),
        "its negative, the last point of order 8": _with_sign((ORDER_8 + ORDER_4).encoded()),
    }
    for comment, raw in weak.items():
        text = restate_form(raw)
        forged = _forged_for(raw, forge)
        yield Case(f"of small order: {comment}", with_token(forged), "invalid_key", keys=[text])
    unsound = {
        "not on the curve": (2).to_bytes(32, "little"),
        "y is not reduced": (P + 3).to_bytes(32, "little"),
        "all bits set": b"\xff" * 32,
        "with a component of order 8": _mixed(forge.own.raw, ORDER_8),
        "with a component of order 2": _mixed(forge.own.raw, ORDER_2),
    }
    for comment, raw in unsound.items():
        text = restate_form(raw)
        token = forge.token(forge.header(kid=text))
        yield Case(f"unsound: {comment}", with_token(token), "invalid_key", keys=[text])
    mixed = _mixed(forge.own.raw, ORDER_8)
    parts = forge.parts(forge.header(kid=restate_form(mixed)))
    token = f"{parts}.{base64url(sign(parts.encode(), mixed, secret_scalar(forge.own.seed), nonce=2**128))}"
    comment = "unsound: with a component of order 8, and signed for it"
    yield Case(comment, with_token(token), "invalid_key", keys=[restate_form(mixed)])


def _forged_for(raw: bytes, forge: Forge) -> str:
    # With S = 0 and R neutral, S·B = R + k·A holds once k is a multiple of A's order: one token in eight will do.
    for attempt in count():
        parts = forge.parts(forge.header(kid=restate_form(raw)), forge.claims(jti=str(attempt)))
        if challenge(NEUTRAL.encoded(), raw, parts.encode()) % 8 == 0:
            break
    return f"{parts}.{base64url(NEUTRAL.encoded() + bytes(32))}"


def _mixed(raw: bytes, torsion: Point) -> bytes:
    own = point(int.from_bytes(raw, "little") & (1 << 255) - 1, odd=bool(raw[31] & 0x80))
    return (own + torsion).encoded()


def _with_sign(raw: bytes) -> bytes:
    return raw[:31] + bytes([raw[31] | 0x80])


def paths(forge: Forge) -> Iterator[Case]:
    def case(comment: str, aud: str, path: str, *, same: bool) -> Case:
        return Case(comment, with_token(forge.genuine(aud=aud)), None if same else "wrong_audience", path)

    for prefix in ("/a", "/a/b/c", "/invoke", "/invoke/x", "/discover", "/", "/a//", "/ü", "/.."):
        yield case(f"mounted under {prefix}", PATH, prefix + PATH, same=prefix not in ("/", "/a//", "/ü", "/.."))
    for prefix in ("/a", "/invoke/x/y", "/discover", "/"):
        yield case(f"discovery under {prefix}", "/discover", prefix + "/discover", same=prefix != "/")
    different = {
        "another handler": "/invoke/Greeter/admin",
        "another service": "/invoke/Admin/greet",
        "service and handler exchanged": "/invoke/greet/Greeter",
        "a segment too few": "/invoke/Greeter",
        "a segment more": PATH + "/x",
        "a trailing slash": PATH + "/",
        "a slash doubled before the handler": "/invoke/Greeter//greet",
        "a slash doubled after invoke": "/invoke//Greeter/greet",
        "a handler in another case": "/invoke/Greeter/Greet",
        "invoke in another case": "/Invoke/Greeter/greet",
        "a query": PATH + "?a=1",
        "an empty query": PATH + "?",
        "a fragment": PATH + "#a",
        "a path parameter": PATH + ";a=1",
        "a character percent-encoded": "/invoke/Greeter/%67reet",
        "a slash percent-encoded": "/invoke/Greeter%2Fgreet",
        "a trailing space": PATH + " ",
        "a trailing NUL": PATH + "\0",
        "a dot segment": "/invoke/Greeter/./greet",
        "a double dot segment": "/invoke/Admin/../Greeter/greet/..",
        "backslashes": "\\invoke\\Greeter\\greet",
        "the root": "/",
        "the empty path": "",
        "health": "/health",
        "discovery": "/discover",
        "only similar to invoke": "/xinvoke/Greeter/greet",
        "a look-alike letter": "/invoke/Greeter/gr\u0435et",
        "a full-width slash": "/invoke/Greeter\uff0fgreet",
    }
    for comment, path in different.items():
        yield case(f"the request is for {comment}", PATH, path, same=False)
    yield case("an audience with the prefix", "/mounted" + PATH, "/mounted" + PATH, same=False)
    yield case("an audience without a slash", PATH[1:], PATH, same=False)
    yield case("an audience and a path without a slash", PATH[1:], PATH[1:], same=False)
    yield case("an empty audience", "", PATH, same=False)
    yield case("an audience of everything", "*", PATH, same=False)
    yield case("an audience that is a URL", "https://example.org" + PATH, PATH, same=False)
    yield case("a path of neither form, signed whole", "/anything", "/anything", same=False)
    yield case("a path of neither form under a prefix", "/anything", "/mounted/anything", same=False)
    yield case("a handler named discover", "/invoke/Greeter/discover", "/invoke/Greeter/discover", same=True)
    yield case("discovery asked of a handler named discover", "/discover", "/invoke/Greeter/discover", same=False)
    yield case("a service named invoke", "/invoke/invoke/greet", "/a/invoke/invoke/greet", same=True)
    yield case("normalised or not: e with an accent", "/invoke/G/\u00e9", "/invoke/G/e\u0301", same=False)
    yield case("a service beyond ASCII", "/invoke/Grüße/日本", "/invoke/Grüße/日本", same=False)
    for name in ("1A", "__x", "a b", "A#B", "A%2F", "g;x", "-a", ".a", "_"):
        path = f"/invoke/{name}/greet"
        yield case(f"a service that no server registers, {name}", path, path, same=False)
    for name in ("1a", "__x", "a.b", "a-b", "_"):
        path = f"/invoke/Greeter/{name}"
        yield case(f"a handler that no server registers, {name}", path, path, same=False)
    odd = {
        "another path before a fragment": "/invoke/Admin/run#",
        "another path before a query": "/invoke/Admin/run?",
        "another path before a parameter": "/invoke/Admin/run;",
        "another path before an encoded fragment": "/invoke/Admin/run%23",
        "a scheme": "x:",
        "a scheme and a host": "http://example.org",
        "a host": "//example.org",
        "a backslash": "/a\\b",
        "a space": "/a b",
        "a tab": "/a\tb",
        "a line feed": "/a\nb",
        "a delete character": "/a\x7fb",
        "a dot": "/a/.",
        "two dots": "/a/..",
        "an encoded letter": "/%41b",
        "an encoded slash": "/a%2Fb",
        "a full-width slash": "/a\uff0fb",
        "a full-width number sign": "/a\uff03b",
        "the letter a over c": "/\u2100",
        "a kelvin sign": "/\u212a",
        "16 KiB": "/x" * 8192,
    }
    for comment, prefix in odd.items():
        yield case(f"mounted under a prefix with more than one meaning: {comment}", PATH, prefix + PATH, same=False)
    for prefix in ("/-._~!$&'()*,=:@", "/..a", "/a..", "/...", "/a:b", "/x" * 2048):
        yield case(f"mounted under {prefix[:20]}", PATH, prefix + PATH, same=True)
    for word in ("Invoke", "INVOKE"):
        yield case(f"discovery asked of a handler, with {word}", "/discover", f"/{word}/Greeter/discover", same=False)
        yield case(f"discovery under /{word}", "/discover", f"/{word}/discover", same=True)
    audiences = {
        "another handler": "/invoke/Greeter/admin",
        "discovery": "/discover",
        "a path with a query": PATH + "?a=1",
        "a path with a slash at its end": PATH + "/",
        "the path in another case": PATH.lower(),
        "the path under a prefix": "/mounted" + PATH,
    }
    for comment, aud in audiences.items():
        yield case(f"the token is for {comment}", aud, PATH, same=False)


def headers(forge: Forge) -> Iterator[Case]:
    token = forge.genuine()
    scheme_pair, token_pair = with_token(token)
    other = forge.genuine(sub="somebody else")

    def case(comment: str, headers: list[tuple[str, str]], reason: str | None) -> Case:
        return Case(comment, headers, reason)

    yield case("no headers at all", [], "missing_scheme")
    yield case("the token alone", [token_pair], "missing_scheme")
    yield case("an empty scheme", with_token(token, ""), "missing_scheme")
    yield case("the scheme alone", [scheme_pair], "missing_token")
    yield case("an empty token", with_token(""), "missing_token")
    yield case("a server without a key", [(SCHEME_HEADER, "unsigned")], "unsigned")
    yield case("unsigned, with a good token", with_token(token, "unsigned"), "unsigned")
    for scheme in ("v2", "V1", "v1 ", "v1;q=1", "v10", "v", "1", "none", "Unsigned", "v\u00b9", "null"):
        yield case(f"the scheme is {scheme!a}", with_token(token, scheme), "unsupported_scheme")
    yield case("the scheme twice in one value", with_token(token, "v1, v1"), "repeated_header")
    yield case("the scheme twice", [scheme_pair, scheme_pair, token_pair], "repeated_header")
    yield case("unsigned first", [(SCHEME_HEADER, "unsigned"), scheme_pair, token_pair], "repeated_header")
    yield case("unsigned last", [scheme_pair, token_pair, (SCHEME_HEADER, "unsigned")], "repeated_header")
    yield case("the token twice, the same", [scheme_pair, token_pair, token_pair], "repeated_header")
    yield case("garbage after the token", [scheme_pair, token_pair, (TOKEN_HEADER, "garbage")], "repeated_header")
    yield case("garbage before the token", [scheme_pair, (TOKEN_HEADER, "garbage"), token_pair], "repeated_header")
    yield case("two good tokens", [scheme_pair, token_pair, (TOKEN_HEADER, other)], "repeated_header")
    yield case("two good tokens in one value", with_token(f"{token}, {other}"), "repeated_header")
    yield case("an empty token after the good one", [scheme_pair, token_pair, (TOKEN_HEADER, "")], "repeated_header")
    yield case("a comma after the token", with_token(token + ","), "repeated_header")
    yield case(
        "the token twice, its name in two cases",
        [scheme_pair, token_pair, (TOKEN_HEADER.upper(), token)],
        "repeated_header",
    )
    yield case("the names in upper case", [(name.upper(), value) for name, value in with_token(token)], None)
    yield case("the names in mixed case", [(name.title(), value) for name, value in with_token(token)], None)
    yield case("the token before the scheme", [token_pair, scheme_pair], None)
    yield case("other headers around", [("host", "a"), scheme_pair, ("accept", "*/*"), token_pair, ("x", "y")], None)
    yield case(
        "names with underscores", [(name.replace("-", "_"), v) for name, v in with_token(token)], "missing_scheme"
    )
    yield case("the token in Authorization", [scheme_pair, ("authorization", f"Bearer {token}")], "missing_token")
    yield case("the token under a newer name", [scheme_pair, ("x-restate-jwt-v2", token)], "missing_token")
    yield case("Bearer before the token", with_token(f"Bearer {token}"), "malformed_token")
    yield case("a space before the token", with_token(" " + token), "malformed_token")
    yield case("a space after the token", with_token(token + " "), "malformed_token")
    yield case("a tab after the token", with_token(token + "\t"), "malformed_token")
    yield case("a line feed after the token", with_token(token + "\n"), "malformed_token")
    yield case("a NUL after the token", with_token(token + "\0"), "malformed_token")
    yield case("quotes around the token", with_token(f'"{token}"'), "malformed_token")
    yield case("a byte beyond ASCII in the token", with_token(token[:-1] + "é"), "malformed_token")
    yield case("a token of 17,000 characters", with_token(forge.genuine(sub="k" * 12_500)), "oversized_token")
    yield case("17,000 characters of garbage", with_token("x" * 17_000), "oversized_token")
    yield case("a space before the scheme", with_token(token, " v1"), "unsupported_scheme")
    yield case("two schemes in one value, unsigned first", with_token(token, "unsigned,v1"), "repeated_header")
    yield case("the token twice in one value", with_token(f"{token}, {token}"), "repeated_header")
    yield case("the token a hundred times in one value", with_token(",".join([token] * 100)), "repeated_header")
    yield case("the scheme twice in one value, and no token", [(SCHEME_HEADER, "v1, v1")], "missing_token")
    yield case("the token in the place of the scheme", with_token("v1", token), "unsupported_scheme")
    yield case("16 KiB of garbage", with_token("x" * 16 * 1024), "malformed_token")
    yield case("16 KiB and a character of garbage", with_token("x" * (16 * 1024 + 1)), "oversized_token")


def time(forge: Forge) -> Iterator[Case]:
    token = with_token(forge.genuine())
    for shift, reason in (
        (-61, "not_yet_valid"),
        (-60.001, "not_yet_valid"),
        (-60, None),
        (-59, None),
        (59, None),
        (59.999, None),
        (60, "expired"),
        (61, "expired"),
        (3600, "expired"),
        (-3600, "not_yet_valid"),
        (10**9, "expired"),
    ):
        yield Case(f"{shift:+} s after it was signed", token, reason, shift=shift, clock=True)

    def case(comment: str, reason: str | None = None, *, clock: bool = False, **changes: int) -> Case:
        offsets = {name: forge.now + offset for name, offset in changes.items()}
        return Case(comment, with_token(forge.genuine(**offsets)), reason, clock=clock)

    yield case("a window of no length, now", "expired", nbf=0, iat=0, exp=0, clock=True)
    yield case("a window of one second", nbf=0, iat=0, exp=1, clock=True)
    yield case("expired an hour ago", "expired", nbf=-7200, iat=-7200, exp=-3600)
    yield case("expired a minute ago", "expired", nbf=-180, iat=-120, exp=-60)
    yield case("valid in an hour", "not_yet_valid", nbf=3600, iat=3600, exp=7200)
    yield case("valid for a day yet", nbf=-60, iat=0, exp=86_400)
    yield case("issued in the future, but valid now", nbf=-60, iat=3000, exp=3600)
    epoch = forge.claims(nbf=0, iat=0, exp=forge.now + 60)
    yield Case("valid since 1970", with_token(forge.token(claims=epoch)))
    before = forge.claims(nbf=-1, iat=-1, exp=forge.now + 60)
    yield Case("valid since before 1970", with_token(forge.token(claims=before)), "malformed_claims")
    for name, limit in (("2**31", 2**31), ("2**32", 2**32), ("2**53 - 1", 2**53 - 1)):
        yield Case(f"exp is {name}", with_token(forge.genuine(exp=limit)))
    millis = {name: forge.claims()[name] * 1000 for name in ("nbf", "iat", "exp")}
    yield Case("times in milliseconds", with_token(forge.genuine(**millis)), "not_yet_valid")


def rotation(forge: Forge) -> Iterator[Case]:
    old, new, foreign = forge.genuine(), forge.genuine(SECOND), forge.genuine(FOREIGN)
    both, reverse = [forge.own.text, SECOND.text], [SECOND.text, forge.own.text]
    for comment, token, reason in (
        ("the old key", old, None),
        ("the new key", new, None),
        ("a key that is neither", foreign, "unknown_key"),
    ):
        yield Case(f"while both are configured: {comment}", with_token(token), reason, keys=both)
        yield Case(f"configured the other way round: {comment}", with_token(token), reason, keys=reverse)
    yield Case("before the new key is configured", with_token(new), "unknown_key", keys=[forge.own.text])
    yield Case("after the old key was removed", with_token(old), "unknown_key", keys=[SECOND.text])
    crossed = {
        "the old key's signature under the new key's name": forge.token(forge.header(kid=SECOND.text), key=forge.own),
        "the new key's signature under the old key's name": forge.token(forge.header(kid=forge.own.text), key=SECOND),
        "a stranger's signature under the new key's name": forge.token(forge.header(kid=SECOND.text), key=FOREIGN),
    }
    for comment, token in crossed.items():
        yield Case(comment, with_token(token), "bad_signature", keys=both)
    yield Case(
        "a configured key's signature without a name",
        with_token(forge.token(forge.header(kid=None))),
        "unknown_key",
        keys=both,
    )
    many = [*(restate_form(BASE.times(n).encoded()) for n in range(2, 12)), forge.own.text]
    yield Case("the last of eleven keys", with_token(old), keys=many)
    yield Case("none of ten keys", with_token(old), "unknown_key", keys=many[:-1])

"""Genuine and other requests, each with the answer that every adapter must give.

The name of a case says how its request differs from a genuine one. Every application serves any path, trusts
`tests.support.forge.KEY` and exempts ``/open``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

from restate_identity import Reason
from tests.support import forge
from tests.support.forge import PATH
from tests.support.servers import Headers
from tests.vectors.forge import Forge
from tests.vectors.generate import GROUPS, stored

SCHEME, TOKEN = "x-restate-signature-scheme", "x-restate-jwt-v1"


class RequestCase(NamedTuple):
    """A request and its expected outcome."""

    name: str
    headers: Callable[[], Headers]
    reason: Reason | None = None
    """The reason of its refusal, or None if it is accepted."""
    path: str = PATH
    """The request target, as it goes over the wire."""
    method: str = "POST"
    body: bytes = b"\x00\xff binary"
    audience: str | None = PATH
    """The audience of the identity that the application must see; None if it must see none."""
    subject: str | None = None
    differs_on_lambda: bool = False
    """Whether it is refused for its path on Lambda, where events carry the path without decoding."""

    @property
    def status(self) -> int:
        return 200 if self.reason is None else 401


def token(now_plus: float = 0, **changes: object) -> str:
    """A token signed at the present second, with *changes* to its claims."""
    now = int(time.time() + now_plus)
    return forge.token(claims=forge.claims(**{"iat": now, "nbf": now - 60, "exp": now + 60, **changes}))


def signed(now_plus: float = 0, **changes: object) -> list[tuple[str, str | bytes]]:
    return [("content-type", "application/json"), (SCHEME, "v1"), (TOKEN, token(now_plus, **changes))]


def with_token(make: Callable[[], str | bytes]) -> Callable[[], Headers]:
    return lambda: [(SCHEME, "v1"), (TOKEN, make())]


def _of_the_suite() -> Iterator[RequestCase]:
    """The vectors that differ in the headers, as far as HTTP carries them, and one for every other reason."""
    reasons = set[str]()
    for group in GROUPS:
        for number, case in enumerate(stored(group)["cases"]):
            length = sum(len(value) for _, value in case["headers"])
            if (case["keys"], case["path"], case["flags"]) != ([forge.KEY], PATH, []) or length > 20_000:
                continue
            if case["reason"] and (group == "headers" or case["reason"] not in reasons):
                reasons.add(case["reason"])
                name = f"{case['id']}, {case['comment']}"
                yield RequestCase(name, partial(_signed_now, group, number), Reason(case["reason"]))


def _signed_now(group: str, number: int) -> Headers:
    case = next(islice(GROUPS[group].cases(Forge(int(time.time()))), number, None))
    return [(name, value) for name, value in case.headers]


MANY: list[tuple[str, str | bytes]] = [(f"x-{number}", "x") for number in range(10_000)]

ACCEPTED = [
    RequestCase("genuine", signed),
    RequestCase("for an object", lambda: signed(sub="k\u00e4se/\U0001f600"), subject="k\u00e4se/\U0001f600"),
    RequestCase("discovery", lambda: signed(aud="/discover"), path="/discover", method="GET", audience="/discover"),
    RequestCase("below a prefix", signed, path=f"/restate/v1{PATH}"),
    RequestCase("below a long prefix", signed, path="/x" * 1_500 + PATH),
    RequestCase("with a query", signed, path=f"{PATH}?a=/invoke/x/y"),
    RequestCase("escaped where it need not be", signed, path="/invoke/Greeter/gr%65et", differs_on_lambda=True),
    RequestCase("names in capitals", lambda: [(name.upper(), value) for name, value in signed()]),
    RequestCase("without a body", signed, body=b""),
    RequestCase("beside many headers", lambda: [*MANY, *signed()]),
    RequestCase("exempt", list, path="/open", audience=None),
    RequestCase("exempt, with a query", list, path="/open?x=/invoke/x/y", audience=None),
    RequestCase("exempt, and forged", with_token(lambda: "e30.e30.e30"), path="/open", audience=None),
    RequestCase("exempt, and genuine", signed, path="/open", audience=None),
]

REFUSED = [
    *_of_the_suite(),
    RequestCase("no headers, without a body", list, Reason.MISSING_SCHEME, method="GET", body=b""),
    RequestCase("no headers, discovery", list, Reason.MISSING_SCHEME, path="/discover", method="GET"),
    RequestCase("no headers, below an exempt path", list, Reason.MISSING_SCHEME, path="/open/more"),
    RequestCase("no headers, an exempt path with a slash", list, Reason.MISSING_SCHEME, path="/open/"),
    RequestCase("no headers, an exempt path below a prefix", list, Reason.MISSING_SCHEME, path="/x/open"),
    RequestCase("no headers, an exempt path in capitals", list, Reason.MISSING_SCHEME, path="/OPEN"),
    RequestCase("no headers, health", list, Reason.MISSING_SCHEME, path="/health", method="GET"),
    RequestCase("many other headers", lambda: MANY, Reason.MISSING_SCHEME),
    RequestCase(
        "a scheme that is not ASCII", lambda: [(SCHEME, b"v1\xff"), (TOKEN, token())], Reason.UNSUPPORTED_SCHEME
    ),
    RequestCase("a token that is none", with_token(lambda: "token"), Reason.MALFORMED_TOKEN),
    RequestCase("a token that is not ASCII", with_token(lambda: b"\xff\xfe.\xc3\xa9.x"), Reason.MALFORMED_TOKEN),
    RequestCase("a token of tomorrow", lambda: signed(86_400), Reason.NOT_YET_VALID),
    RequestCase("a token of yesterday", lambda: signed(-86_400), Reason.EXPIRED),
    RequestCase("another handler", signed, Reason.WRONG_AUDIENCE, path="/invoke/Greeter/other"),
    RequestCase("another service", signed, Reason.WRONG_AUDIENCE, path="/invoke/Other/greet"),
    RequestCase("a slash at the end", signed, Reason.WRONG_AUDIENCE, path=f"{PATH}/"),
    RequestCase("the path in capitals", signed, Reason.WRONG_AUDIENCE, path=PATH.upper()),
    RequestCase("the root", signed, Reason.WRONG_AUDIENCE, path="/"),
    RequestCase("an empty segment", signed, Reason.WRONG_AUDIENCE, path="/invoke//Greeter/greet"),
    RequestCase("below a prefix that is not ASCII", signed, Reason.WRONG_AUDIENCE, path=f"/caf%C3%A9{PATH}"),
    RequestCase("below two slashes", signed, Reason.WRONG_AUDIENCE, path=f"/x/{PATH}"),
    RequestCase("below dots", signed, Reason.WRONG_AUDIENCE, path=f"/x/..{PATH}"),
    RequestCase("below a parameter", signed, Reason.WRONG_AUDIENCE, path=f"/x;y{PATH}"),
    RequestCase("below an encoded slash", signed, Reason.WRONG_AUDIENCE, path=f"/x%2Fy{PATH}"),
    RequestCase("behind an encoded number sign", signed, Reason.WRONG_AUDIENCE, path=f"/invoke/Other/run%23{PATH}"),
    RequestCase("behind an encoded question mark", signed, Reason.WRONG_AUDIENCE, path=f"/invoke/Other/run%3F{PATH}"),
    RequestCase("a path that no server calls", lambda: signed(aud="/x"), Reason.WRONG_AUDIENCE, path="/x"),
    RequestCase("dots within", signed, Reason.WRONG_AUDIENCE, path="/invoke/Greeter/x/../greet"),
    RequestCase("an escape of an escape", signed, Reason.WRONG_AUDIENCE, path="/invoke/Greeter/gr%2565et"),
    RequestCase("a path that is not UTF-8", signed, Reason.WRONG_AUDIENCE, path="/invoke/Greeter/gr%ffet"),
    RequestCase("the path in the query", signed, Reason.WRONG_AUDIENCE, path=f"/x?{PATH}"),
    RequestCase("for discovery", lambda: signed(aud="/discover"), Reason.WRONG_AUDIENCE),
    RequestCase(
        "no headers, an exempt path below one that is not UTF-8", list, Reason.MISSING_SCHEME, path="/%ff/open"
    ),
]

CASES = [*ACCEPTED, *REFUSED]

"""Draw genuine requests with one or a few changes from a seed: the same seed gives the same requests.

The changes affect characters, decoded bytes, JSON, its members, and headers. If a change would only break the
signature, there is also a variant that is signed again, so that the parser sees the change.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tests.support.base64url import base64url, from_base64url
from tests.tools.conformance.judges import Request
from tests.vectors.forge import FOREIGN, OWN, PATH, SECOND, Forge, compact_json

T = TypeVar("T")

# Far from the borders of a token's window, so that a verdict holds for the time that judging takes.
WINDOW = 3600
NAMES = ("aud", "exp", "iat", "nbf", "sub", "typ", "alg", "kid", "crit", "b64", "jwk", "iss", "jti", "x", "")
PATHS = (
    PATH, "/mounted" + PATH, "/discover", "/a/discover", "/invoke/Greeter/admin", "/", "", PATH + "/", "/é",
    "/" + PATH, "/é" + PATH, "/a;b" + PATH, "/a/.." + PATH, "/invoke/Greeter/admin#" + PATH, "/a%2Fb" + PATH,
)  # fmt: skip
SNIPPETS = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\0", b"\xff", b"\xed\xa0\x80", b"\\u0000",
    b"\\ud800", b"null", b"NaN", b"1e999", b"-0", b"0.5", b"e0",
    b',"exp":1', b',"aud":"/discover"', b',"kid":"x"', b',"alg":"none"',
)  # fmt: skip


class Mutator:
    """Draws requests around the second *now*."""

    def __init__(self, seed: int, now: int) -> None:
        self._random = random.Random(seed)
        self._forge = Forge(now)
        self._now = now
        self._kinds: tuple[Callable[[], str], ...] = (
            self._flipped,
            self._flipped_inside,
            self._dropped,
            self._repeated,
            self._spliced,
            self._signed_with_changed_claims,
            self._signed_with_changed_header,
            self._signed_with_changed_json,
            self._signed_at_another_time,
            self._encoded_again,
            self._written_again,
        )

    def requests(self, count: int) -> Iterator[Request]:
        for _ in range(count):
            token = self._random.choice(self._kinds)()
            yield Request(self._keys(), self._headers(token), self._path(), self._now)

    # --- the request around the token: mostly correct

    def _keys(self) -> tuple[str, ...]:
        own, second, foreign = OWN.text, SECOND.text, FOREIGN.text
        return self._mostly((own,), (own, second), (second, own), (second,), (foreign, own), (foreign,))

    def _path(self) -> str:
        return self._mostly(*PATHS)

    def _headers(self, token: str) -> tuple[tuple[str, str], ...]:
        scheme_pair, token_pair = ("x-restate-signature-scheme", "v1"), ("x-restate-jwt-v1", token)
        garbage = (
            self._random.choice((scheme_pair[0], token_pair[0])),
            self._random.choice(("v1", "", "unsigned", "a.b.c")),
        )
        return self._mostly(
            (scheme_pair, token_pair),
            (token_pair, scheme_pair),
            (scheme_pair, token_pair, garbage),
            (garbage, scheme_pair, token_pair),
            (garbage, token_pair),
            (("X-Restate-Signature-Scheme", "v1"), ("X-Restate-JWT-V1", token)),
            (scheme_pair, ("x-restate-jwt-v1", token + ", " + token)),
        )

    def _mostly(self, usual: T, *others: T) -> T:
        return usual if self._random.random() < 0.9 else self._random.choice(others)

    # --- genuine ones

    def _claims(self) -> dict[str, Any]:
        times = {"exp": self._now + WINDOW, "nbf": self._now - WINDOW}
        subject = self._random.choice((None, "", "alice", "a/b", "日本語", "\U0001f600" * 3, '"\\\n'))
        return self._forge.claims(**times, sub=subject)

    def _genuine(self) -> str:
        return self._forge.token(claims=self._claims())

    # --- not signed again

    def _flipped(self) -> str:
        characters = bytearray(self._genuine().encode())
        characters[self._random.randrange(len(characters))] ^= 1 << self._random.randrange(7)
        return characters.decode("ascii")

    def _flipped_inside(self) -> str:
        parts = self._genuine().split(".")
        number = self._random.randrange(3)
        raw = bytearray(_decoded(parts[number]))
        raw[self._random.randrange(len(raw))] ^= 1 << self._random.randrange(8)
        parts[number] = base64url(bytes(raw))
        return ".".join(parts)

    def _cut(self, length: int) -> tuple[int, int]:
        start = self._random.randrange(length)
        return start, min(length, start + self._random.choice((1, 1, 2, 3, 4, 8, 40)))

    def _dropped(self) -> str:
        token = self._genuine()
        start, end = self._cut(len(token))
        return token[:start] + token[end:]

    def _repeated(self) -> str:
        token = self._genuine()
        start, end = self._cut(len(token))
        return token[:end] + token[start:]

    def _spliced(self) -> str:
        """Parts of different tokens, or of different keys."""
        foreign = self._forge.token(self._forge.header(kid=FOREIGN.text), self._claims(), FOREIGN)
        sources = [self._genuine(), self._forge.genuine(SECOND, sub="x"), foreign]
        return ".".join(self._random.choice(sources).split(".")[number] for number in range(3))

    # --- signed again

    def _value(self) -> Any:
        pool: tuple[Callable[[], Any], ...] = (
            lambda: None,
            lambda: self._random.choice((True, False)),
            lambda: self._random.choice((0, 1, -1, 2**31, 2**53, 2**53 - 1, 2**63, 2**64, 10**30)),
            lambda: self._now + self._random.choice((-9999, -600, 600, 9999)),
            lambda: self._random.choice((0.5, self._now + 900.5, 1e300)),
            lambda: self._random.choice((PATH, "/discover", "", "JWT", "EdDSA", "none", "x", OWN.text, SECOND.text)),
            lambda: [self._random.choice((PATH, 1, None))],
            lambda: {"a": self._random.choice((PATH, 1, None))},
        )
        return self._random.choice(pool)()

    def _changed(self, members: dict[str, Any]) -> dict[str, Any]:
        members = dict(members)
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            name = self._random.choice((*members, *NAMES))
            if self._random.random() < 0.3:
                members.pop(name, None)
            else:
                members[name] = self._value()
        return members

    def _signed_with_changed_claims(self) -> str:
        return self._forge.token(claims=self._changed(self._claims()), key=self._mostly(OWN, SECOND, FOREIGN))

    def _signed_with_changed_header(self) -> str:
        header = self._changed(self._forge.header())
        return self._forge.token(header, self._claims(), self._mostly(OWN, SECOND, FOREIGN))

    def _signed_with_changed_json(self) -> str:
        raws = [compact_json(self._forge.header()), compact_json(self._claims())]
        number = self._random.randrange(2)
        start, end = self._cut(len(raws[number]))
        if self._random.random() < 0.5:
            end = start
        raws[number] = raws[number][:start] + self._random.choice((b"", *SNIPPETS)) + raws[number][end:]
        return self._forge.token(raws[0], raws[1])

    def _signed_at_another_time(self) -> str:
        shift = self._random.choice((-1, 1)) * self._random.choice((60, 1800, 2 * WINDOW, 10**6, 10**9))
        times = {name: value + shift for name, value in self._claims().items() if name in ("exp", "iat", "nbf")}
        return self._forge.token(claims={**self._claims(), **times})

    def _encoded_again(self) -> str:
        """The same bytes in another encoding of base64, or in none."""
        parts = [base64url(compact_json(self._forge.header())), base64url(compact_json(self._claims()))]
        number = self._random.randrange(2)
        part = parts[number]
        padding = "=" * (-len(part) % 4)
        position = self._random.randrange(len(part))
        parts[number] = self._random.choice(
            (
                part + padding,
                part + "=",
                part.translate(str.maketrans("-_", "+/")),
                part[:position] + self._random.choice("\n\r\t =.!%") + part[position:],
                part[:-1] + chr(ord(part[-1]) + 1),
                _decoded(part).hex(),
                base64url(part.encode()),
                base64url(_decoded(part).decode().encode("utf-16")),
            )
        )
        return self._forge.signed(".".join(parts))

    def _written_again(self) -> str:
        """The same JSON in another spelling."""
        values = [self._forge.header(), self._claims()]
        number = self._random.randrange(2)
        items = list(values[number].items())
        self._random.shuffle(items)
        name, value = self._random.choice(items)
        repeated = json.dumps({name: value})[1:-1]
        text = self._random.choice(
            (
                json.dumps(dict(items)),
                json.dumps(dict(items), indent=2),
                json.dumps(dict(items), ensure_ascii=False),
                json.dumps(dict(items)).replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"'),
                json.dumps(dict(items))[:-1] + f", {repeated}}}",
                "\ufeff" + json.dumps(dict(items)),
                json.dumps([dict(items)]),
                json.dumps(json.dumps(dict(items))),
            )
        )
        raws: list[Any] = list(values)
        raws[number] = text.encode()
        return self._forge.token(*raws)


def _decoded(part: str) -> bytes:
    return from_base64url(part)

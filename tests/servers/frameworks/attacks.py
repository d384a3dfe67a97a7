"""Request targets that try to have one path verified and another one run, with the tokens that attackers may have.

There are known attacks, and attacks drawn by a `Mutator`. A *victim* is the handler that the attacker wants to run; a
*bait* is a path that the attacker may call.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.servers.frameworks.routes import (
    DISCOVER,
    DISCOVER_HANDLER,
    HEALTH,
    HEALTH_HANDLER,
    LAST_SEGMENT,
    NONE,
    ONLY_THE_END,
    OPEN,
    PATHS,
    PREFIX,
    SDK_HEALTH_CHECK,
    SECRET,
)

SEED = 20261125


class Access(NamedTuple):
    """What somebody has: a token for *audience*, or none; at a guard with an *exemption*."""

    exemption: str
    audience: str | None

    def permits(self, handler: str) -> bool:
        """Return whether the handler of this path may run: its own path was signed, or it is exempt."""
        if handler == self.audience:
            return True
        if self.exemption in (LAST_SEGMENT, ONLY_THE_END):
            return handler in (HEALTH, HEALTH_HANDLER)
        return self.exemption == SDK_HEALTH_CHECK and handler == HEALTH


class Attack(NamedTuple):
    """A request target, sent with some access."""

    target: bytes
    access: Access


ACCESSES = (
    Access(NONE, OPEN),
    Access(NONE, DISCOVER),
    Access(LAST_SEGMENT, None),
    Access(SDK_HEALTH_CHECK, None),
    Access(LAST_SEGMENT, DISCOVER),
    Access(SDK_HEALTH_CHECK, OPEN),
    Access(NONE, None),
)

# What stands between the victim and the bait behind it, or between two parts of either.
SEPARATORS: tuple[bytes, ...] = (
    *b"# ? ; %23 %3F %3f %3B %3b %2523 %253F %2F %2f %252F %5C %5c %255C \\ // /./ /../ /%2e/ /%2e%2e/ /.%2e/".split(),
    *b"/..;/ /;/ ;/ ;x=/ %00 %0A %0D%0A %09 %20 %7F %C0%AF %c1%9c %E0%80%AF %EF%BC%8F %EF%BC%83 %EF%BC%9F".split(),
    *b"%EF%BC%BC %E2%84%80 %E2%81%84 %E2%88%95 %u002f & , = : @ ! $ * ' ( ) ~ + | ^ { } [ ] < > ` - _ . .. %".split(),
    *(
        b'"',
        b" ",
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\x0b",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
    ),
    # Full-width and other look-alikes of # / ? \ % . and what changes letters when case or form is ignored.
    *"\uff0f \uff03 \uff1f \uff3c \uff05 \u2100 \u2044 \u2215 \u2024 \u3002 \u017f \u0307 \u202e \ufeff".encode().split(
        b" "
    ),
)
ENDS: tuple[bytes, ...] = (b" ", *rb"/ // /. /.. ? # ; %20 %00 %0a \ /%2e . ..; ?# ??".split())
STARTS: tuple[bytes, ...] = (
    *(b" ", b"\t"),
    *b"/ //h /// /. /.. /x/.. /%2e%2e x: x:/ x:// x://h http: http:/ http:// http://h HTTP://localhost".split(),
    *b"https://h:443 http://u@h http://[::1] http://h:x javascript: file:// urn: h:80 * % %2F %2f".split(),
    *rb"\ \\h /\h http:\\h ? # ./ ../ /;x /%2F //".split(),
)


def _bait(access: Access) -> str:
    return access.audience or HEALTH


def _victims(access: Access) -> list[str]:
    return [path for path in PATHS if not access.permits(path)]


# Attacks that worked before whole paths were checked, and similar ones.
_BEFORE_A_BAIT = (
    b"/invoke/B/secret#",
    b"x:/invoke/B/secret%23",
    b"x:/invoke/B/secret%3F",
    b"http://h/invoke/B/secret%23",
    b"http://h/invoke/B/secret%3F",
    b"//h/invoke/B/secret%3F",
    b"/invoke/B/secret?",
    b"/invoke/B/secret%3F",
    b"/invoke/B/secret;",
    b"/invoke/B/secret%2523",
    b"/invoke/B/secret\\",
    b"/invoke/B/secret\0",
    b"/invoke/B/secret%00",
    b"/invoke/B/secret\t",
    b"/invoke/B/secret\xef\xbc\x83",
    b"/invoke/B/secret%EF%BC%83",
)
_SPELLED_OTHERWISE = (
    "/invoke%2FB/{}",
    "/invoke%2fB/{}",
    "/invoke%252FB/{}",
    "/invoke/B//{}",
    "/invoke//B/{}",
    "/invoke/B/./{}",
    "/invoke/B/x/../{}",
    "/invoke/B/%2e/{}",
    "/invoke\\B/{}",
    "/invoke%5CB/{}",
    "/invoke/B;x/{}",
    "/invoke;x/B/{}",
    "/INVOKE/B/{}",
    "/%49nvoke/B/{}",
    "/invoke\uff0fB/{}",
    "/invoke%EF%BC%8FB/{}",
    "/invoke%C0%AFB/{}",
    "/invoke/B/{}/",
    "x:/invoke/B/{}",
    "//h/invoke/B/{}",
)


def known() -> list[Attack]:
    """Return the known attacks, with every token that an attacker may have."""
    attacks: dict[Attack, None] = {}
    for access in ACCESSES[:4]:
        bait = _bait(access)
        attacks.update(dict.fromkeys(Attack(target + bait.encode(), access) for target in _BEFORE_A_BAIT))
        if not access.permits(victim := "/invoke/B" + bait) and victim in PATHS:
            last = bait.lstrip("/")
            attacks.update(dict.fromkeys(Attack(path.format(last).encode(), access) for path in _SPELLED_OTHERWISE))
    return list(attacks)


def relatives() -> list[Attack]:
    """Return thousands of attacks of the same kinds: each separator, start and end at each place."""
    attacks: dict[Attack, None] = {}
    for access in ACCESSES[:4]:
        bait = _bait(access).encode()
        main = (DISCOVER_HANDLER if access.audience == DISCOVER else SECRET).encode()
        targets: list[bytes] = []
        for separator in SEPARATORS:
            targets += [main + separator + bait, main + separator + bait.lstrip(b"/"), bait + separator + main]
        for start in STARTS:
            targets += [start + main + end + bait for end in (b"#", b"%23", b"%3F", b"?", b";", b"%2F..")]
            targets += [start + main, start + main[1:], start + bait]
        targets += [bait + end for end in ENDS]
        targets += _in_place(access)
        attacks.update(dict.fromkeys(Attack(target, access) for target in targets))
    for access in (Access(NONE, None), Access(NONE, OPEN), Access(NONE, DISCOVER), Access(SDK_HEALTH_CHECK, None)):
        for victim in _victims(access):
            attacks.update(dict.fromkeys(Attack(target, access) for target in _spellings(victim.encode())))
    return list(attacks)


def _in_place(access: Access) -> Iterator[bytes]:
    """The victim itself, spelled so that its end alone may look like the bait."""
    last = _bait(access).rsplit("/", 1)[1]
    for victim in _victims(access):
        if not victim.endswith(f"/{last}"):
            continue
        path = victim.encode()
        for position, byte in enumerate(path):
            if byte == b"/"[0]:
                for separator in SEPARATORS:
                    yield path[:position] + separator + path[position + 1 :]
                    yield path[:position] + separator + path[position:]
                    yield path[: position + 1] + separator + path[position + 1 :]
        yield from _spellings(path)


def _spellings(path: bytes) -> Iterator[bytes]:
    """The same path in other words."""
    yield from (path, path.upper(), path.lower(), path.title(), path.replace(b"invoke", b"INVOKE"))
    yield from (path.replace(b"invoke", b"Invoke"), path.replace(b"discover", b"Discover"))
    yield from (
        path.replace(b"/", b"//"),
        path.replace(b"/", b"/./"),
        path.replace(b"/", b"%2F"),
        path.replace(b"/", b"\\"),
    )
    yield b"/" + b"".join(b"%%%02X" % byte for byte in path[1:])
    yield b"/" + b"".join(b"%%25%02X" % byte for byte in path[1:])
    yield from (path + end for end in ENDS)
    yield from (path + b"?" + OPEN.encode(), path + b"?" + HEALTH.encode(), path + b"?" + DISCOVER.encode())
    yield from (b"/a" * 40 + b"/.." * 40 + path, b"/a" * 9000 + path, path + b"/a" * 9000, b"/" + b"%61" * 6000 + path)


class Mutator:
    """Draws attacks; the same seed draws the same ones."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def attacks(self, count: int) -> Iterable[Attack]:
        for _ in range(count):
            access = self._random.choice(ACCESSES)
            yield Attack(self._target(access), access)

    def _target(self, access: Access) -> bytes:
        draw = self._random
        bait, victim = _bait(access).encode(), draw.choice(_victims(access)).encode()
        target = draw.choice(
            (
                victim,
                bait,
                victim + draw.choice(SEPARATORS) + bait,
                bait + draw.choice(SEPARATORS) + victim,
                draw.choice(STARTS) + victim + draw.choice(SEPARATORS) + bait,
                PREFIX.encode() + victim + draw.choice(SEPARATORS) + bait,
            )
        )
        for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
            target = self._changed(target)
        return target

    def _changed(self, target: bytes) -> bytes:
        draw = self._random
        position = draw.randrange(len(target) + 1)
        before, after = target[:position], target[position:]
        change = draw.randrange(9)
        if change == 0:
            return before + draw.choice(SEPARATORS) + after
        if change == 1:
            return before + bytes([draw.randrange(256)]) + after
        if change == 2:
            return draw.choice(STARTS) + target
        if change == 3:
            return target + draw.choice(ENDS)
        if change == 4:
            return before + after[1:]
        if change == 5:
            return before + after[:1].swapcase() + after[1:]
        if change == 6:
            return before + self._escaped(after[:1]) + after[1:]
        # Between two segments, where it means most.
        slash = draw.choice([index for index, byte in enumerate(b"/" + target) if byte == b"/"[0]])
        before, after = target[: max(slash - 1, 0)], target[slash:]
        return before + (draw.choice(SEPARATORS) if change == 7 else self._escaped(b"/")) + after

    def _escaped(self, byte: bytes) -> bytes:
        digits = byte.hex() if self._random.random() < 0.5 else byte.hex().upper()
        return self._random.choice((b"%", b"%", b"%25", b"%2525")) + digits.encode() if byte else b""

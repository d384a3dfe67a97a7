"""What every fuzz target is made of: an input to try, and what its outcome must not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Violation(AssertionError):  # noqa: N818
    """The reader did something forbidden."""


class Attempt(NamedTuple):
    """A decoded input: the call to make and measure, and the check of its outcome."""

    call: Callable[[], Any]
    judge: Callable[[Any], None]


class Target(NamedTuple):
    """A reader to fuzz. Its first seed is a genuine input, whose cost is the unit for all others."""

    attempt: Callable[[bytes], Attempt]
    seeds: Callable[[], list[bytes]]


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def demand(fact: bool, what: str) -> None:
    if not fact:
        raise Violation(what)


def is_safe_to_log(message: str) -> None:
    # Quoted text is cut to some hundred characters, and escaping can turn one character into ten.
    demand(message.isascii() and message.isprintable() and len(message) < 5000, "a message that is not safe to log")

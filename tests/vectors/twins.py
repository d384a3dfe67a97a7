"""Find the twin of a refused case: the genuine request of the suite that differs from it in one thing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from tests.support.base64url import from_base64url
from tests.vectors.forge import TOKEN_HEADER

THINGS = ("keys", "path", "headers", "time")


def differences(case: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [thing for thing in THINGS if case[thing] != other[thing]]


def with_twins(files: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name in each refused case the closest accepted one; a case that differs in more than one thing gets none."""
    genuine = [case for file in files.values() for case in file["cases"] if case["verdict"] == "valid"]
    parts = {case["id"]: _parts(case) for file in files.values() for case in file["cases"]}

    def twin(case: dict[str, Any]) -> dict[str, str]:
        near = [other for other in genuine if len(differences(case, other)) == 1]
        group = case["id"].rpartition("-")[0]

        def rank(other: dict[str, Any]) -> tuple[float, float, bool, bool, str]:
            seconds = abs(case["time"] - other["time"])
            distance = _distance(parts[case["id"]], parts[other["id"]])
            name = other["id"]
            return seconds, distance, name != "genuine-001", not name.startswith(group), name

        return {"twin": min(near, key=rank)["id"]} if near else {}

    return {
        name: {**file, "cases": [{**case, **({} if case["reason"] is None else twin(case))} for case in file["cases"]]}
        for name, file in files.items()
    }


class Parts(NamedTuple):
    around: bytes
    """The headers without the token."""
    signed: list[str]
    decoded: list[bytes]
    signature: bytes


def _parts(case: dict[str, Any]) -> Parts:
    token = next((value for name, value in case["headers"] if name == TOKEN_HEADER), "")
    around = [(name, "" if value == token else value) for name, value in case["headers"]]
    *signed, signature = token.split(".")
    return Parts(repr(around).encode(), signed, [*map(_decoded, signed)], signature.encode())


def _decoded(part: str) -> bytes:
    with suppress(ValueError):
        return from_base64url(part)
    return part.encode()


def _distance(one: Parts, other: Parts) -> float:
    """Return how much the headers and the signed parts differ. The signature counts only if they are equal."""
    if len(one.signed) != len(other.signed):
        return 10**6
    distance = _span(one.around, other.around) + sum(map(_span, one.decoded, other.decoded))
    if distance:
        return distance
    # The same bytes in another encoding, or the same text with another signature.
    return 0.5 if one.signed != other.signed else 0.25 if one.signature != other.signature else 0


def _span(one: bytes, other: bytes) -> int:
    """Return the length of the differing part, between the common beginning and the common end."""
    if one == other:
        return 0
    shorter = min(len(one), len(other))
    start = _agreement(one, other)
    return max(len(one), len(other)) - min(start + _agreement(one[::-1], other[::-1]), shorter)


def _agreement(one: bytes, other: bytes) -> int:
    """How many bytes are the same at the beginning; halving, as tokens are long."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low

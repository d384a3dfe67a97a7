"""The ids of connections and workers."""

from __future__ import annotations

import time
from functools import reduce
from operator import and_, or_

from restate_identity.tunnel.ulids import new_ulid

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_a_ulid_is_the_time_in_milliseconds_and_80_random_bits() -> None:
    before = time.time_ns() // 1_000_000
    ulids = [new_ulid() for _ in range(100)]
    after = time.time_ns() // 1_000_000
    assert {len(ulid) for ulid in ulids} == {26}
    numbers = [reduce(lambda number, digit: number * 32 + ALPHABET.index(digit), ulid, 0) for ulid in ulids]
    assert all(before <= number >> 80 <= after for number in numbers)
    # Each random bit is set in some of them, and not in all.
    random = [number % 2**80 for number in numbers]
    assert (reduce(or_, random), reduce(and_, random)) == (2**80 - 1, 0)

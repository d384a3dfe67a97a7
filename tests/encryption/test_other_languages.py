"""Values travel both ways between this codec and one in JavaScript, and have the bytes of the vectors."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from restate_identity.encryption import DataKey, JournalEncryption
from tests.encryption.vectors import ENCRYPTED_KEY, FILE, KEY, SIZES, frame, pattern, vectors
from tests.support.processes import ran

JAVASCRIPT = Path(__file__).with_name("rtv1.mjs")


class OneKey:
    """The only data key is that of the vectors."""

    async def generate_data_key(self) -> DataKey:
        return DataKey(KEY, ENCRYPTED_KEY)

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:
        assert encrypted == ENCRYPTED_KEY
        return KEY


def by_javascript(command: dict[str, object]) -> list[str]:
    told = json.dumps({**command, "key": KEY.hex(), "named": ENCRYPTED_KEY.hex()})
    done = ran("node", JAVASCRIPT, input=told + "\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def texts(values: Iterable[bytes]) -> list[str]:
    return [base64.b64encode(value).decode() for value in values]


async def test_what_this_codec_writes_is_read_in_javascript() -> None:
    codec = await JournalEncryption.create(OneKey())
    read = by_javascript({"do": "open", "values": texts(codec.encode(pattern(size)) for size in SIZES)})
    assert read == [str(size) for size in SIZES]


async def test_what_javascript_writes_is_read_by_this_codec() -> None:
    codec = await JournalEncryption.create(OneKey())
    written = [base64.b64decode(line) for line in by_javascript({"do": "seal", "sizes": SIZES})]
    assert [await codec.decode(value) == pattern(size) for size, value in zip(SIZES, written, strict=True)] == [
        True for _ in SIZES
    ]


async def test_the_vectors_are_read_and_are_what_their_program_writes() -> None:
    kept = json.loads(FILE.read_text("utf-8"))
    assert kept == vectors()
    codec = await JournalEncryption.create(OneKey())
    assert [case["size"] for case in kept["cases"]] == SIZES
    for case in kept["cases"]:
        value = bytes.fromhex(case["value"]) if "value" in case else frame(case["size"])
        assert hashlib.sha256(value).hexdigest() == case["sha256"]
        assert await codec.decode(value) == pattern(case["size"])


async def test_20000_values_have_20000_ivs() -> None:
    codec = await JournalEncryption.create(OneKey())
    start = len(codec.encode(b"")) - 12 - 16
    assert len({codec.encode(b"")[start : start + 12] for _ in range(20_000)}) == 20_000


@pytest.mark.parametrize("size", [0, 1, 2**21])
async def test_a_value_grows_by_the_same_number_of_bytes_whatever_it_is(size: int) -> None:
    codec = await JournalEncryption.create(OneKey())
    assert len(codec.encode(pattern(size))) - size == 7 + len(ENCRYPTED_KEY) + 12 + 16

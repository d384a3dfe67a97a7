"""Encrypt a million values with one data key, in threads and forked processes, and fail if two have the same IV.

``python -m tests.encryption.million [VALUES]``; ``make soak`` runs it. With one key, two values with the same IV would
give away both.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from restate_identity.encryption import DataKey, JournalEncryption
from restate_identity.encryption.frames import IV_SIZE, read_frame

FORKS, THREADS = 3, 2


class OneKey:
    """Makes a single data key. So the forks, which ask for keys of their own, go on with that of their parent."""

    def __init__(self) -> None:
        self._left = [DataKey(os.urandom(32), os.urandom(184))]

    async def generate_data_key(self) -> DataKey:
        return self._left.pop()

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:  # noqa: ARG002
        raise AssertionError("it is known")


def ivs(codec: JournalEncryption, key: bytes, count: int) -> bytes:
    """Encrypt as many values, in threads, and return their IVs one after another."""

    def some(count: int) -> bytes:
        frames = (read_frame(codec.encode(b"value")) for _ in range(count))
        return b"".join(frame.iv for frame in frames if frame.encrypted_key == key)

    with ThreadPoolExecutor(THREADS) as pool:
        return b"".join(pool.map(some, [count // THREADS] * THREADS))


def encrypted_with_one_key(values: int, folder: Path) -> list[bytes]:
    """Return the IVs of the parent and of each fork."""
    codec = asyncio.run(JournalEncryption.create(OneKey()))
    first = codec.encode(b"value")
    assert asyncio.run(codec.decode(first)) == b"value"
    key, share = read_frame(first).encrypted_key, values // (FORKS + 1)
    children = []
    for number in range(FORKS):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                (folder / str(number)).write_bytes(ivs(codec, key, share))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    own = ivs(codec, key, share)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * FORKS
    return [own, *((folder / str(number)).read_bytes() for number in range(FORKS))]


def main() -> None:
    # That the forks have no keys of their own is logged, rightly.
    logging.getLogger("restate_identity").setLevel(logging.CRITICAL)
    values = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="million-") as folder:
        written = b"".join(encrypted_with_one_key(values, Path(folder)))
    distinct = {written[at : at + IV_SIZE] for at in range(0, len(written), IV_SIZE)}
    print(
        f"{len(written) // IV_SIZE:,} values with one data key, {FORKS + 1} processes with {THREADS} threads each: "
        f"{len(distinct):,} distinct IVs, in {time.monotonic() - started:.1f} s"
    )
    if not len(distinct) * IV_SIZE == len(written) == values * IV_SIZE:
        sys.exit("two values have the same IV, or some were not encrypted with the one key")


if __name__ == "__main__":
    main()

"""Values in the format RTv1, made by nothing but AES-GCM: `python -m tests.encryption.vectors` writes `vectors.json`.

A plaintext of *n* bytes is `pattern(n)`. Three values are there whole, the others by their SHA-256: every size from 0
to 300 bytes, and those around the powers of two up to 2 MiB.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = Path(__file__).with_name("vectors.json")
KEY = hashlib.sha256(b"the data key of the vectors").digest()
# As many bytes as AWS KMS encrypts a data key of 32 bytes to.
ENCRYPTED_KEY = hashlib.shake_256(b"the encrypted data key of the vectors").digest(184)
SIZES = [*range(301), *sorted({2**power + more for power in range(9, 22) for more in (-1, 0, 1)} - {2**21 + 1})]
WHOLE = 64


def pattern(size: int) -> bytes:
    return (bytes(number * 7 % 256 for number in range(256)) * (size // 256 + 1))[:size]


def frame(size: int) -> bytes:
    """Return the value of *size* bytes, with an IV that is made of the size, for the vectors alone."""
    iv = hashlib.sha256(b"IV %d" % size).digest()[:12]
    head = b"RTv1\0" + len(ENCRYPTED_KEY).to_bytes(2, "big") + ENCRYPTED_KEY + iv
    return head + AESGCM(KEY).encrypt(iv, pattern(size), None)


def vectors() -> dict[str, object]:
    cases = []
    for size in SIZES:
        whole = frame(size)
        case = {"size": size, "sha256": hashlib.sha256(whole).hexdigest()}
        cases.append({**case, "value": whole.hex()} if size in (0, 1, WHOLE) else case)
    return {"data_key": KEY.hex(), "encrypted_data_key": ENCRYPTED_KEY.hex(), "cases": cases}


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors()).replace('{"size"', '\n{"size"') + "\n", "utf-8")

"""The runtime dependencies and their own dependencies, as locked in requirements/dev.txt."""

from __future__ import annotations

import re

from tests.support import ROOT

NAMES = {"base58", "cffi", "pycparser", "pynacl"}


def runtime_requirements() -> str:
    """Return the lines of the lock, hashes included, for `NAMES` and nothing else."""
    lock = (ROOT / "requirements" / "dev.txt").read_text("utf-8")
    blocks = re.findall(r"^[\w.-]+==.*(?:\n    --hash=.*)+", lock, flags=re.MULTILINE)
    return "\n".join(block for block in blocks if block.partition("==")[0] in NAMES) + "\n"

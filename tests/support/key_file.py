"""Replace a key file as an operator does, and see that services take it up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from restate_identity.signing import RequestSigner

DEADLINE = 60.0


def replace_keys(key_file: Path, signers: Iterable[RequestSigner], logs: Iterable[Path]) -> None:
    """Let *key_file* hold the keys of *signers*, and wait until each of *logs* says that they are trusted."""
    keys = [str(signer.public_key) for signer in signers]
    new = key_file.with_name("new")
    new.write_text("".join(f"{key}\n" for key in keys))
    new.replace(key_file)
    line = f"now trusting {', '.join(keys)}\n"
    give_up_at = time.monotonic() + DEADLINE
    for log in logs:
        while line not in log.read_text():
            assert time.monotonic() < give_up_at, f"{log} does not say that the file was taken up"
            time.sleep(0.05)

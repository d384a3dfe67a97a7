"""Replace a key file as an operator does, and see that services take it up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from restate_identity.signing import RequestSigner
from tests.support.eventually import eventually


def replace_keys(key_file: Path, signers: Iterable[RequestSigner], logs: Iterable[Path]) -> None:
    """Let *key_file* hold the keys of *signers*, and wait until each of *logs* says that they are trusted."""
    keys = [str(signer.public_key) for signer in signers]
    new = key_file.with_name("new")
    new.write_text("".join(f"{key}\n" for key in keys))
    new.replace(key_file)
    line = f"now trusting {', '.join(keys)}\n"
    for log in logs:
        eventually(lambda log=log: line in log.read_text(), failure=f"{log} does not say that the file was taken up")  # type: ignore[misc]

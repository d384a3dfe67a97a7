"""Write a file with a secret: only its owner can read it, and it is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from restate_identity._regular_file import shown_path
from restate_identity.cli.complaints import fail


def write_new(out: str, content: bytes, *, instead: str) -> None:
    """Write *content* to the new file *out*; fail, and leave nothing, if that cannot be done.

    Args:
        out: Where to.
        content: What to write.
        instead: What to do if there is such a file, for the message.
    """
    name = shown_path(out)
    try:
        descriptor = os.open(out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        fail(f"{name} exists and is not overwritten: {instead}")
    except OSError as error:
        fail(f"cannot make {name}: {error.strerror}; name another file with --out")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write_through(file, content)
    except OSError as error:
        Path(out).unlink()
        fail(f"cannot write {name}: {error.strerror}; nothing was kept")


def write_through(file: BinaryIO, content: bytes) -> None:
    """Write *content* through to the disk."""
    file.write(content)
    file.flush()
    os.fsync(file.fileno())

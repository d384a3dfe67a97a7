"""The file with local keys: one key a line, its id and 32 bytes in base64. The first encrypts, all decrypt."""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from typing import NamedTuple

from restate_identity._regular_file import read_regular_file, shown_path
from restate_identity.encryption.errors import EncryptionError, EncryptionReason

KEY_SIZE = 32
MAX_FILE_SIZE = 64 * 1024
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORM = "write one key a line, its id and 32 bytes in base64, as restate-identity encryption keygen does"


class LocalKeyFile(NamedTuple):
    """What a file with local keys holds.

    Attributes:
        keys: The keys by their ids, in the order of the file. There is at least one.
        may_others_read: Whether others than the owner can read it.
    """

    keys: dict[str, bytes]
    may_others_read: bool


def is_key_id(text: str) -> bool:
    """Return whether *text* can be the id of a local key: 1 to 64 letters, digits, dots, dashes and underscores."""
    return _ID.fullmatch(text) is not None


def line_of(key_id: str, key: bytes) -> str:
    """Return the line of a file for one key."""
    return f"{key_id} {base64.b64encode(key).decode()}\n"


def read_local_keys(path: str | os.PathLike[str]) -> LocalKeyFile:
    """Read the file at *path*.

    Raises:
        EncryptionError: With the reason ``unusable_keys``. The message names the file and the line, never a key.
    """
    name = f"the file of local keys {shown_path(path)}"
    try:
        content, status = read_regular_file(path, limit=MAX_FILE_SIZE)
    except OSError as error:
        raise _unusable(f"{name} cannot be read: {error.strerror or type(error).__name__}") from None
    mode = status.st_mode if os.name == "posix" else 0
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(
            f"{name} can be written by others than its owner, who could put keys of their own there: chmod 600"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unusable(f"{name} is not UTF-8 text") from None
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        place = f"{name}, line {number}"
        if len(words) != 2 or not is_key_id(words[0]):
            raise _unusable(f"{place} is no key: {_FORM}")
        key_id, key = words[0], _decoded(words[1])
        if key is None:
            raise _unusable(f"{place} is no key of {KEY_SIZE} bytes: {_FORM}")
        if key_id in keys:
            raise _unusable(f"{place} has the id of an earlier line")
        if key in keys.values():
            raise _unusable(f"{place} has the key of an earlier line under another id")
        keys[key_id] = key
    if not keys:
        raise _unusable(f"{name} has no keys in it: {_FORM}")
    return LocalKeyFile(keys, may_others_read=bool(mode & (stat.S_IRGRP | stat.S_IROTH)))


def _decoded(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_SIZE and any(key) else None


def _unusable(hint: str) -> EncryptionError:
    return EncryptionError(EncryptionReason.UNUSABLE_KEYS, hint)

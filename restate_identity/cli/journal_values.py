"""Read a value of a journal as it was copied: bare, in base64 or hexadecimal digits, or as a list of numbers."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

from restate_identity._regular_file import shown_path
from restate_identity.cli.complaints import fail

MAX_VALUE = 64 * 1024 * 1024
PREFIX = b"RTv1\0"
_BASE64 = base64.b64encode(PREFIX[:3])
_LIST = b"[82,84,118,49"
_NUMBERS = re.compile(rb"\[[0-9]{1,3}(,[0-9]{1,3})*\]")


def read_value(file: str) -> bytes:
    """Return the content of *file*; "-" reads standard input."""
    name = "standard input" if file == "-" else shown_path(file)
    try:
        if file == "-":
            content = b"" if sys.stdin is None else sys.stdin.buffer.read(4 * MAX_VALUE + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(4 * MAX_VALUE + 1)
    except OSError as error:
        fail(f"cannot read {name}: {error.strerror}; pass the value's file, or - for standard input, never the value")
    if len(content) > 4 * MAX_VALUE:
        fail(f"{name} has more than {4 * MAX_VALUE >> 20} MiB, so it is no value of a journal")
    return content


def encrypted_value_in(content: bytes) -> bytes:
    """Return the encrypted value that *content* is, or writes in text; fail if it is neither."""
    if content.startswith(PREFIX):
        return content
    text = b"".join(content.split()).strip(b"\"'")
    for prefix in (b"0x", b"0X", b"\\x"):
        text = text.removeprefix(prefix)
    try:
        value = _value_of(text)
    except ValueError:
        fail("this begins as an encrypted value does, but it is no whole base64, hexadecimal number or list of bytes")
    if value is None:
        fail(
            "this is no encrypted value: pass its bytes, or these in base64, in hexadecimal digits, or as a list of "
            "numbers"
        )
    return value


def _value_of(text: bytes) -> bytes | None:
    """Return the value that *text* writes, None if it begins otherwise; raise ValueError if it is not whole."""
    if text[:10].lower() == PREFIX.hex().encode():
        return bytes.fromhex(text.decode("ascii"))
    if text.startswith(_BASE64):
        plain = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    if text.startswith(_LIST):
        if _NUMBERS.fullmatch(text) is None:
            raise ValueError
        return bytes(map(int, text[1:-1].split(b",")))
    return None

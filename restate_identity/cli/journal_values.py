"""Read a value of a journal as it was copied: bare, in base64 or hexadecimal digits, or as a list of numbers.

``sys_journal`` has whole entries: ``raw`` is protobuf in hexadecimal digits, ``entry_json`` has the value as a list of
numbers. The value is found in both. (Measured with restate-server 1.7.12.)
"""

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
_SPACE = b" \t\n\r\v\f"
_HEX = re.compile(rb"[0-9A-Fa-f]+")


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
    text = content.translate(None, _SPACE).strip(b"\"'")
    for prefix in (b"0x", b"0X", b"\\x"):
        text = text.removeprefix(prefix)
    try:
        value = _value_of(text)
    except ValueError:
        fail("this has the beginning of an encrypted value, but not exactly one that is whole")
    if value is None:
        fail(
            "this is no encrypted value: pass its bytes, or these in base64, in hexadecimal digits, or as a list of "
            "numbers; or the columns raw or entry_json of sys_journal"
        )
    return value


def _value_of(text: bytes) -> bytes | None:
    """Return the value that *text* writes, None if there is none; raise ValueError if it is not whole."""
    if _HEX.fullmatch(text):
        whole = bytes.fromhex(text.decode("ascii"))
        return whole if whole.startswith(PREFIX) else _in_an_entry(whole)
    if text.startswith(_BASE64):
        plain = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    start = text.find(_LIST)
    if start < 0:
        return None
    numbers = text[start + 1 : text.index(b"]", start)].split(b",")
    if text.find(_LIST, start + 1) >= 0 or not all(number.isdigit() and len(number) < 4 for number in numbers):
        raise ValueError
    return bytes(map(int, numbers))


def _in_an_entry(entry: bytes) -> bytes | None:
    """Return the value in the protobuf of a journal's entry, where its size stands in front of it."""
    start = entry.find(PREFIX)
    if start < 0:
        return None
    size_at = start - 1
    # Only the last byte of a size has no high bit, and the tag before it ends in such a byte too.
    while size_at > 0 and entry[size_at - 1] & 128:
        size_at -= 1
    size = sum((byte & 127) << 7 * place for place, byte in enumerate(entry[size_at:start][:5]))
    if size_at < 0 or not 0 < size <= len(entry) - start:
        raise ValueError
    return entry[start : start + size]

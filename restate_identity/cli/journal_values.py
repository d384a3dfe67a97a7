"""Read a value of a journal as it was copied: bare, in base64 or hexadecimal digits, or as a list of numbers.

``sys_journal`` has whole entries: ``raw`` is protobuf in hexadecimal digits, ``entry_json`` has the value as a list of
numbers. The value is found in both. (Measured with restate-server 1.7.12.)
"""

from __future__ import annotations

import base64
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from restate_identity._regular_file import shown_path
from restate_identity.cli.complaints import fail

MAX_SIZE = 256 << 20
PREFIX = b"RTv1\0"
_BASE64 = base64.b64encode(PREFIX[:3])
_LIST = b"[82,84,118,49,"
_SPACE = b" \t\n\r\v\f"
# A size in protobuf: only its last byte has no high bit, and the tag before it ends in such a byte, too.
_SIZED = re.compile(rb"([\x80-\xff]{0,4}[\x00-\x7f])" + PREFIX)
_HEX = re.compile(rb"[0-9A-Fa-f]+")


def read_value(file: str) -> bytes:
    """Return the content of *file*; "-" reads standard input."""
    name = "standard input" if file == "-" else shown_path(file)
    try:
        with _opened(file) as opened:
            content = opened.read(MAX_SIZE + 1)
    except OSError as error:
        fail(f"cannot read {name}: {error.strerror}; pass the value's file, or - for standard input, never the value")
    if len(content) > MAX_SIZE:
        fail(f"{name} has more than {MAX_SIZE} bytes, so it is no value of a journal")
    return content


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    if file == "-":
        if sys.stdin is None:
            fail("there is no standard input: pass the name of a file")
        return nullcontext(sys.stdin.buffer)
    return Path(file).open("rb")


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
    _, found, rest = text.partition(_LIST)
    if not found:
        return None
    listed, end, more = rest.partition(b"]")
    numbers = listed.split(b",")
    if not end or _LIST in more or not all(number.isdigit() and len(number) < 4 for number in numbers):
        raise ValueError
    return PREFIX[:4] + bytes(map(int, numbers))


def _in_an_entry(entry: bytes) -> bytes | None:
    """Return the value in the protobuf of a journal's entry, where its size stands in front of it."""
    found = _SIZED.search(entry)
    if found is None:
        if PREFIX in entry:
            raise ValueError
        return None
    size = sum((byte & 127) << 7 * place for place, byte in enumerate(found[1]))
    value = entry[found.end(1) :]
    if not size or size > len(value):
        raise ValueError
    return value[:size]

"""Decode Huffman-coded strings (RFC 7541, 5.2) a byte at a time; hpack goes by half bytes and takes four times as long.

The table of hpack says what follows half a byte in each of its 256 states. The steps of whole bytes are derived from it
when they first occur: at most 65,536, of which ordinary headers need some thousands.
"""

from __future__ import annotations

from hpack import HPACKDecodingError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE


class _State(dict[int, tuple["_State", bytes]]):
    """What follows a byte in a state: the next state, and the symbols that the byte completes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __missing__(self, byte: int) -> tuple[_State, bytes]:
        number, output = self.number, b""
        for half in (byte >> 4, byte & 0xF):
            number, flags, symbol = HUFFMAN_TABLE[number * 16 + half]
            if flags & HUFFMAN_FAIL:
                raise HPACKDecodingError("a malformed Huffman code")
            if flags & HUFFMAN_EMIT_SYMBOL:
                output += bytes((symbol,))
        step = self[byte] = (_STATES[number], output)
        return step


_STATES = [_State(number) for number in range(len(HUFFMAN_TABLE) // 16)]
_START = _STATES[0]
# A string may end in these states: what is left is padding.
_MAY_END = {0} | {number for number, flags, _ in HUFFMAN_TABLE if flags & HUFFMAN_COMPLETE}


def decoded(code: bytes) -> bytes:
    """Return the string that *code* stands for.

    Raises:
        HPACKDecodingError: It is malformed.
    """
    state = _START
    parts = []
    for byte in code:
        state, output = state[byte]
        parts.append(output)
    if state.number not in _MAY_END:
        raise HPACKDecodingError("an incomplete Huffman code")
    return b"".join(parts)

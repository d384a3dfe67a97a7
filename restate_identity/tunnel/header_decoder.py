"""Decode HPACK (RFC 7541) with the tables of hpack, in half the time of its decoder."""

from __future__ import annotations

from hpack import Decoder, HPACKDecodingError, InvalidTableSizeError, OversizedHeaderListError

from restate_identity.tunnel.huffman import decoded

Field = tuple[bytes, bytes]

# The maximum length of an encoded integer, enough for any length that fits into a block.
_MAX_SEPTETS = 4


class FieldDecoder(Decoder):
    """Decodes the blocks of one connection, in the order in which they arrive.

    Args:
        limit: The largest header list, counted as in RFC 9113, 6.5.2. After a larger one, no block can be decoded.
        keep: Fields beyond this size are decoded, because later blocks may refer to them, but not returned.
    """

    def __init__(self, limit: int, *, keep: int) -> None:
        super().__init__(limit)
        self._keep = keep

    def fields(self, block: bytes) -> tuple[list[Field], int]:
        """Return the fields of *block*, and the size of all of them.

        Raises:
            OversizedHeaderListError: They are larger than the limit.
            HPACKDecodingError: The block is malformed.
        """
        try:
            return self._fields(block)
        except IndexError:
            raise HPACKDecodingError("a truncated header block") from None

    def _fields(self, block: bytes) -> tuple[list[Field], int]:
        table = self.header_table
        fields: list[Field] = []
        position = total = 0
        end, keep, limit = len(block), self._keep, self.max_header_list_size
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = integer(block, position, 0x7F)
                field = table.get_by_index(index)
            elif first & 0xE0 == 0x20:
                if total:
                    raise HPACKDecodingError("a size update after a field")
                size, position = integer(block, position, 0x1F)
                if size > self.max_allowed_table_size:
                    raise InvalidTableSizeError("a table that is larger than what was agreed")
                self.header_table_size = size
                continue
            else:
                index, position = integer(block, position, 0x3F if first & 0x40 else 0x0F)
                if index:
                    name = table.get_by_index(index)[0]
                else:
                    name, position = _string(block, position)
                value, position = _string(block, position)
                field = (name, value)
                if first & 0x40:
                    table.add(name, value)
            total += len(field[0]) + len(field[1]) + 32
            if total <= keep:
                fields.append(field)
            elif total > limit:
                raise OversizedHeaderListError("a header list that is too large")
        self._assert_valid_table_size()
        return fields, total


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    coded = block[position] & 0x80
    length, position = integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise IndexError
    text = block[position:end]
    return (decoded(text) if coded else text), end


def integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Return the integer at *position*, with a prefix of the bits in *mask*, and where it ends (RFC 7541, 5.1).

    Raises:
        HPACKDecodingError: It is too long.
        IndexError: It is truncated.
    """
    number = block[position] & mask
    position += 1
    if number < mask:
        return number, position
    for shift in range(0, 7 * _MAX_SEPTETS, 7):
        byte = block[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise HPACKDecodingError("an integer that is too long")

"""Any decoder of HPACK reads what our encoder writes."""

from __future__ import annotations

from hpack import Decoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from restate_identity.tunnel.header_encoder import StatelessEncoder

NAMES = st.sampled_from([b":method", b":path", b":status", b"x-a", b"authorization", b"content-type"]) | st.binary(
    min_size=1, max_size=300
)
VALUES = st.sampled_from([b"POST", b"200", b"/", b""]) | st.binary(max_size=70) | st.binary(max_size=20_000)


@given(st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=6), min_size=1, max_size=3))
def test_what_is_encoded_is_decoded(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    encoder, decoder = StatelessEncoder(), Decoder(2**20)
    for fields in blocks:
        assert [tuple(field) for field in decoder.decode(encoder.encode(fields), raw=True)] == fields
    # Blocks do not depend on earlier ones.
    assert StatelessEncoder().encode(blocks[-1]) == encoder.encode(blocks[-1])


def test_a_smaller_table_of_the_other_side_is_acknowledged_once() -> None:
    encoder, decoder = StatelessEncoder(), Decoder()
    decoder.max_allowed_table_size = 100
    encoder.header_table_size = 100
    assert list(decoder.decode(encoder.encode([(b"x-a", b"1")]), raw=True)) == [(b"x-a", b"1")]
    assert decoder.header_table_size == 0
    assert not encoder.encode([(b"x-a", b"1")]).startswith(b"\x20")


def test_secrets_are_marked_so_that_no_proxy_puts_them_into_a_table() -> None:
    fields = [(b"authorization", b"Bearer secret"), (b"x-restate-jwt-v1", b"token"), (b"x-a", b"1")]
    decoded = Decoder().decode(StatelessEncoder().encode(fields), raw=True)
    assert [isinstance(field, NeverIndexedHeaderTuple) for field in decoded] == [True, True, False]

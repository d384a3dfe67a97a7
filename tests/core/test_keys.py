"""Identity keys: their text form, their errors, and the bare check of a signature. `test_ed25519` tries the curve."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from restate_identity import IdentityError, InvalidKeyError, PublicKey
from tests.support.forge import FOREIGN_KEY, KEY


def test_the_key_pair_of_the_servers_own_tests_is_read() -> None:
    key = PublicKey.parse("publickeyv1_AfQwmwfgEZhrWpvv8N52SHpRtZqGGaFr4AZN6qtYWSiY")
    assert key.raw.hex() == "8f9053bc7f96268d101879b685d2ceba4e8feeccca8134319a99e79997bf0dc5"


def test_the_sample_key_of_the_documentation_is_read_and_written() -> None:
    text = "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"
    assert str(PublicKey.parse(text)) == text


@given(st.binary(min_size=32, max_size=32))
def test_parsing_what_was_written_gives_the_same_key(seed: bytes) -> None:
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    key = PublicKey(raw)
    assert PublicKey.parse(str(key)) == key
    assert str(PublicKey.parse(str(key))) == str(key)
    assert PublicKey.parse(str(key)).raw == raw


@given(st.text(max_size=60) | st.text(alphabet="123456789ABCabc \n\u00e9", max_size=48).map("publickeyv1_".__add__))
def test_text_that_is_no_key_is_refused_with_an_invalid_key_error(text: str) -> None:
    with pytest.raises(InvalidKeyError):
        PublicKey.parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begins with publickeyv1_"),
        ("publickeyv2_" + KEY[12:], "begins with publickeyv1_"),
        (KEY[12:], "begins with publickeyv1_"),
        ("PUBLICKEYV1_" + KEY[12:], "begins with publickeyv1_"),
        (" " + KEY, "white space around it"),
        (KEY + " ", "white space around it"),
        (KEY + "\n", "white space around it"),
        ("publickeyv1_", "not publickeyv1_ followed by base58"),
        (KEY[:-9] + " " + KEY[-8:], "not publickeyv1_ followed by base58"),
        (KEY[:-1] + "0", "not publickeyv1_ followed by base58"),
        (KEY[:-1] + "\u00e9", "not publickeyv1_ followed by base58"),
        (KEY[:-2], "holds 31 bytes"),
        ("publickeyv1_" + "1" * 31, "holds 31 bytes"),
        ("publickeyv1_" + "z" * 44, "holds 33 bytes"),
        (KEY + "1" * 20, "characters, and an identity key at most 56: something was added to it"),
        (KEY + KEY, "at most 56: it holds several keys: pass a list with one key in each item, or separate them"),
        (
            f"{KEY},{FOREIGN_KEY}",
            "at most 56: it holds several keys: pass a list with one key in each item, or separate them",
        ),
        ("/etc/restate/keys", "If it is the path of a file with keys, set RESTATE_IDENTITY_KEYS_FILE to it"),
        ("C:\\restate\\keys", "If it is the path of a file with keys, set RESTATE_IDENTITY_KEYS_FILE to it"),
    ],
)
def test_an_unusable_key_is_refused_with_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(InvalidKeyError, match=problem):
        PublicKey.parse(text)


def test_the_error_quotes_the_public_key_that_is_wrong() -> None:
    with pytest.raises(InvalidKeyError) as error:
        PublicKey.parse(KEY[:-2])
    assert KEY[:-2] in str(error.value)


PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPe++4ZTPQDF\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("text", [PEM, PEM.strip(), PEM.replace("\n", " "), "-----BEGIN", f" {PEM}"])
def test_a_pem_is_told_from_an_identity_key_and_the_error_says_how_to_get_that(text: str) -> None:
    with pytest.raises(InvalidKeyError, match=r"this is a PEM, .*`restate-identity public-key FILE`"):
        PublicKey.parse(text)


@pytest.mark.parametrize("text", [PEM, *PEM.split(), "MC4CAQAwBQYDK2VwBCIEIPe++4ZTPQDF", "/MC4CAQAwBQYDK2VwBCIEIPe/"])
def test_text_that_may_be_a_private_key_is_not_repeated_in_the_error(text: str) -> None:
    with pytest.raises(InvalidKeyError) as error:
        PublicKey.parse(text)
    assert "MC4C" not in str(error.value)
    assert text not in str(error.value)


def test_a_megabyte_of_text_is_refused_without_decoding_it() -> None:
    with pytest.raises(InvalidKeyError) as error:
        PublicKey.parse("publickeyv1_" + "z" * 1_000_000)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("value", [None, 5, b"publickeyv1_", ["publickeyv1_"]])
def test_what_is_not_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidKeyError, match="is text that begins with publickeyv1_"):
        PublicKey.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "described"), [(None, "a NoneType"), (["a"], "a list"), (b"abc", "a bytes of 3")])
def test_the_error_describes_what_is_not_text_by_its_type(value: object, described: str) -> None:
    with pytest.raises(InvalidKeyError, match=f"; this is {described}$"):
        PublicKey.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [b"", b"x" * 31, b"x" * 33, "x" * 32, bytearray(32), None])
def test_anything_but_32_bytes_is_refused(raw: object) -> None:
    with pytest.raises(InvalidKeyError, match="has 32 bytes"):
        PublicKey(raw)  # type: ignore[arg-type]


def test_an_invalid_key_is_a_value_error_and_an_identity_error() -> None:
    assert issubclass(InvalidKeyError, ValueError)
    assert issubclass(InvalidKeyError, IdentityError)


def test_keys_compare_by_their_bytes_and_survive_copying() -> None:
    key = PublicKey.parse(KEY)
    assert key == PublicKey(key.raw)
    other = PublicKey.parse(FOREIGN_KEY)
    assert key != other
    assert other != key
    assert key != key.raw
    assert eval(repr(key)) == key
    assert len({key, PublicKey(key.raw)}) == 1
    assert pickle.loads(pickle.dumps(key)) == copy.deepcopy(key) == key


def test_a_key_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        PublicKey.parse(KEY).raw = b"x" * 32  # type: ignore[misc]


def test_the_bare_check_accepts_only_the_signature_of_that_message() -> None:
    private = Ed25519PrivateKey.generate()
    key: Any = PublicKey(private.public_key().public_bytes_raw())
    signature = private.sign(b"message")
    assert key.verify(b"message", signature)
    assert not key.verify(b"messagE", signature)
    assert not key.verify(b"", signature)
    assert not PublicKey.parse(KEY).verify(b"message", signature)


@pytest.mark.parametrize("moved", [-64, -1, 1, 7])
def test_the_border_between_signature_and_message_cannot_be_shifted(moved: int) -> None:
    private = Ed25519PrivateKey.generate()
    key: Any = PublicKey(private.public_key().public_bytes_raw())
    joined = private.sign(b"a message") + b"a message"
    assert key.verify(joined[64:], joined[:64])
    assert not key.verify(joined[64 + moved :], joined[: 64 + moved])


def test_message_and_signature_may_be_any_bytes_and_no_text() -> None:
    private = Ed25519PrivateKey.generate()
    key: Any = PublicKey(private.public_key().public_bytes_raw())
    message, signature = b"a message", private.sign(b"a message")
    assert key.verify(bytearray(message), signature)
    assert key.verify(message, memoryview(signature))
    assert not key.verify(bytearray(message), bytearray(signature)[:63])
    for wrong in ("a message", 9, None):
        with pytest.raises(TypeError):
            key.verify(wrong, signature)

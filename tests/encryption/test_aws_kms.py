"""AWS KMS: the real boto3 against the server of moto, and against servers that fail."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from restate_identity.encryption import AwsKms, EncryptionError, EncryptionReason, JournalEncryption
from restate_identity.encryption.frames import read_frame
from tests.support.kms import new_key, running_kms


@pytest.fixture(scope="module")
def kms() -> Iterator[dict[str, Any]]:
    """Return the options of a client for a KMS."""
    with running_kms() as options:
        yield options


@pytest.fixture(scope="module")
def key(kms: dict[str, Any]) -> str:
    return new_key(kms)


async def refusal(provider: AwsKms, encrypted: bytes) -> EncryptionError:
    with pytest.raises(EncryptionError) as caught:
        await provider.decrypt_data_key(encrypted)
    return caught.value


async def test_values_come_back_also_in_another_process(kms: dict[str, Any], key: str) -> None:
    first, second = [await JournalEncryption.create(AwsKms(key, **kms)) for _ in range(2)]
    assert await second.decode(first.encode(b"value")) == b"value"


async def test_the_data_key_is_aes_256_without_encryption_context(kms: dict[str, Any], key: str) -> None:
    made = await AwsKms(key, **kms).generate_data_key()
    # As the TypeScript library does: no key named, no context.
    assert boto3.client("kms", **kms).decrypt(CiphertextBlob=made.encrypted)["Plaintext"] == made.plaintext
    assert len(made.plaintext) == 32


async def test_a_former_key_is_named_to_read_what_it_encrypted(kms: dict[str, Any], key: str) -> None:
    old, new = await JournalEncryption.create(AwsKms(key, **kms)), new_key(kms)
    value = old.encode(b"value")
    provider = AwsKms(new, also_decrypts=[key], **kms)
    both = await JournalEncryption.create(provider)
    assert await both.decode(value) == b"value"
    # The first one encrypts.
    made = await provider.generate_data_key()
    assert boto3.client("kms", **kms).decrypt(CiphertextBlob=made.encrypted)["KeyId"].endswith(new)
    assert repr(provider) == f"<AwsKms {new!r}>"


async def test_what_is_no_key_of_kms_is_refused_without_a_cause(kms: dict[str, Any], key: str) -> None:
    error = await refusal(AwsKms(key, also_decrypts=[key], **kms), b"made up" * 10)
    assert (error.__cause__, error.__context__) == (None, None)


class Answering:
    """A client of KMS that raises; only the kinds of boto3's errors are of interest here."""

    def __init__(self, raised: Exception) -> None:
        self.raised = raised

    def decrypt(self, **_: object) -> dict[str, Any]:
        raise self.raised


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("InvalidCiphertextException", EncryptionReason.UNKNOWN_DATA_KEY),
        ("IncorrectKeyException", EncryptionReason.UNKNOWN_DATA_KEY),
        ("AccessDeniedException", EncryptionReason.PROVIDER_UNAVAILABLE),
        ("DisabledException", EncryptionReason.PROVIDER_UNAVAILABLE),
        ("NotFoundException", EncryptionReason.PROVIDER_UNAVAILABLE),
        ("KMSInvalidStateException", EncryptionReason.PROVIDER_UNAVAILABLE),
        ("ThrottlingException", EncryptionReason.PROVIDER_UNAVAILABLE),
        ("ExpiredTokenException", EncryptionReason.PROVIDER_UNAVAILABLE),
        ("no code\nat all", EncryptionReason.PROVIDER_UNAVAILABLE),
    ],
)
async def test_only_what_says_that_the_key_is_none_of_ours_is_definite(
    kms: dict[str, Any], key: str, code: str, reason: EncryptionReason
) -> None:
    provider = AwsKms(key, **kms)
    client = boto3.client("kms", **kms)
    provider._client = Answering(
        client.exceptions.ClientError({"Error": {"Code": code, "Message": "arn:secret"}}, "Decrypt")
    )
    error = await refusal(provider, b"encrypted")
    assert error.reason is reason
    assert "secret" not in str(error)
    assert "\n" not in str(error)


async def test_while_one_of_the_keys_cannot_be_asked_a_data_key_is_not_unknown(kms: dict[str, Any], key: str) -> None:
    provider = AwsKms(key, also_decrypts=["former"], **kms)
    error = boto3.client("kms", **kms).exceptions.ClientError
    codes = iter(["IncorrectKeyException", "DisabledException"])

    class Client:
        def decrypt(self, **_: object) -> dict[str, Any]:
            raise error({"Error": {"Code": next(codes)}}, "Decrypt")

    provider._client = Client()
    assert str(await refusal(provider, b"encrypted")) == "provider_unavailable: AWS KMS: DisabledException"


async def test_a_kms_that_cannot_be_reached_is_an_outage_that_names_the_kind_of_error(kms: dict[str, Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        provider = AwsKms("key", **{**kms, "endpoint_url": nobody}, config=Config(retries={"total_max_attempts": 1}))
        error = await refusal(provider, b"encrypted")
    assert str(error) == "provider_unavailable: AWS KMS: EndpointConnectionError"


async def test_a_kms_that_hangs_holds_up_neither_who_waits_nor_the_loop(kms: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}"
        provider = AwsKms("key", **{**kms, "endpoint_url": hanging})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(provider.decrypt_data_key(b"encrypted"), 0.05)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "restate-identity-kms")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_process_makes_connections_of_its_own(kms: dict[str, Any], key: str) -> None:
    provider = AwsKms(key, **kms)
    made = await provider.generate_data_key()
    for parent in (-1, os.getpid() + 1):
        before = provider._client
        provider._owner = parent
        assert await provider.decrypt_data_key(made.encrypted) == made.plaintext
        assert provider._client is not before


def test_a_mistake_in_the_configuration_is_an_error_at_the_start(kms: dict[str, Any]) -> None:
    for wrong in ("", " ", None):
        with pytest.raises(ValueError, match="ARN or the alias"):
            AwsKms(wrong, **kms)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a list of keys"):
        AwsKms("key", also_decrypts="other", **kms)


def test_without_boto3_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ImportError, match=r"pip install 'restate-identity\[encryption-aws\]'$"):
        AwsKms("key")


def test_the_limits_of_time_can_be_changed_and_the_others_stay(kms: dict[str, Any]) -> None:
    config = AwsKms("key", **kms, config=Config(read_timeout=1))._client.meta.config
    assert (config.read_timeout, config.connect_timeout, config.retries["total_max_attempts"]) == (1, 1.5, 2)


def test_the_format_has_room_for_what_kms_returns(kms: dict[str, Any], key: str) -> None:
    codec = asyncio.run(JournalEncryption.create(AwsKms(key, **kms)))
    assert len(read_frame(codec.encode(b"")).encrypted_key) <= 255


async def test_not_even_the_debug_log_has_a_data_key(
    kms: dict[str, Any], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "botocore")
    made = await AwsKms(key, **kms).generate_data_key()
    assert "botocore" in caplog.text
    assert base64.b64encode(made.plaintext).decode() not in caplog.text
    parsers = logging.getLogger("botocore.parsers")
    levels = (1, logging.DEBUG, logging.INFO, logging.ERROR)
    passed = [bool(parsers.filter(logging.makeLogRecord({"levelno": level}))) for level in levels]
    assert passed == [False, False, True, True]

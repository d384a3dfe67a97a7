"""The log of bad values: it says why, within limits, and repeats nothing."""

from __future__ import annotations

import asyncio
import logging

import pytest

from restate_identity.encryption import EncryptionError, JournalEncryption
from restate_identity.encryption.asking import asked
from restate_identity.encryption.log import BURST, INTERVAL
from tests.encryption.providers import Keys, changed, from_another_process, made_up, not_ready
from tests.support.clock import Clock
from tests.support.eventually import eventually


async def test_a_burst_of_bad_values_writes_few_lines_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    codec = await JournalEncryption.create(Keys(), monotonic=clock)
    sealed = codec.encode(b"my plaintext")
    for bad in (b"my plaintext", changed(sealed), made_up(1), sealed[:20]):
        for _ in range(500):
            with pytest.raises(EncryptionError):
                await codec.decode(bad)
    assert len(caplog.records) == 4 * BURST
    assert len(caplog.text) < 4 * BURST * 300
    clock.now += INTERVAL
    with pytest.raises(EncryptionError):
        await codec.decode(b"my plaintext")
    assert "left out 480 more lines about not_encrypted in the last 10 s" in caplog.text
    reasons = {vars(record).get("restate_encryption_reason") for record in caplog.records}
    assert reasons == {"not_encrypted", "changed", "unknown_data_key", "truncated"}
    assert {record.name for record in caplog.records} == {"restate_identity"}
    assert "my plaintext" not in caplog.text


async def test_a_line_says_what_was_tried_and_why_it_failed(caplog: pytest.LogCaptureFixture) -> None:
    provider = Keys()
    codec = await JournalEncryption.create(provider)
    value = await from_another_process(b"abc")
    provider.failure = PermissionError("arn:aws:kms:my-secret")
    with pytest.raises(EncryptionError):
        await codec.decode(value)
    assert "cannot decrypt a value: provider_unavailable: the key provider failed: PermissionError" in caplog.text
    with pytest.raises(EncryptionError):
        not_ready(provider).encode(b"abc")
    assert "cannot encrypt a value: no_data_key: " in caplog.text
    # The provider is asked again in the background, which must not log into the next test.
    eventually(lambda: "no new data key: " in caplog.text)
    provider.failure = None
    assert "my-secret" not in caplog.text


async def test_no_data_key_is_in_the_log_of_asyncio_in_its_debug_mode(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0

    async def call() -> bytes:
        return b"a data key"

    assert await asked(call, 5) == b"a data key"
    await asyncio.sleep(0)
    assert "Executing <Task finished" in caplog.text
    assert "data key" not in caplog.text

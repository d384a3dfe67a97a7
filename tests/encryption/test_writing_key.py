"""The data key that encrypts: made at the start, replaced beforehand, and never waited for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial

import pytest

from restate_identity.encryption import (
    DataKey,
    EncryptionError,
    EncryptionReason,
    JournalEncryption,
    background,
    writing_key,
)
from restate_identity.encryption.frames import read_frame
from tests.encryption.providers import Keys, from_another_process, not_ready, until
from tests.support.clock import Clock


def key_of(codec: JournalEncryption) -> bytes:
    return read_frame(codec.encode(b"")).encrypted_key


def refusal(codec: JournalEncryption) -> EncryptionError:
    with pytest.raises(EncryptionError) as caught:
        codec.encode(b"value")
    return caught.value


def has_failed(codec: JournalEncryption) -> bool:
    return codec._writing._retry_at > codec._writing._clock()


async def test_a_provider_that_fails_at_first_is_asked_again_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_key, "BACKOFF_FIRST", 0.001)
    provider = Keys()
    make = provider.generate_data_key

    async def generate_data_key() -> DataKey:
        provider.failure = OSError("hunter2") if provider.made < 3 else None
        return await make()

    monkeypatch.setattr(provider, "generate_data_key", generate_data_key)
    caplog.set_level(logging.INFO)
    await JournalEncryption.create(Keys())
    assert not caplog.records
    codec = await JournalEncryption.create(provider)
    assert await codec.decode(codec.encode(b"value")) == b"value"
    *lines, last = [record.getMessage() for record in caplog.records]
    assert last == "there is a new data key: the key provider answers again"
    reasons = [vars(record)["restate_encryption_reason"] for record in caplog.records]
    assert reasons == ["provider_unavailable"] * 3 + [""]
    assert len(lines) == 3
    assert all("no new data key: provider_unavailable: the key provider failed: OSError" in line for line in lines)
    assert all("no value can be encrypted until then" in line for line in lines)
    assert "hunter2" not in caplog.text


async def test_a_provider_that_is_down_keeps_nobody_from_starting_and_from_working_later() -> None:
    provider, clock = Keys(), Clock()
    provider.failure = OSError()
    codec = await JournalEncryption.create(provider, wait_limit=0.05)
    assert len(codec._writing._waiters) == 0
    assert refusal(codec).reason is EncryptionReason.NO_DATA_KEY
    codec = not_ready(provider, clock)
    assert refusal(codec).reason is EncryptionReason.NO_DATA_KEY
    await until(lambda: has_failed(codec))
    provider.failure = None
    clock.now += writing_key.BACKOFF_LIMIT * 2
    refusal(codec)
    await until(lambda: codec._writing.is_ready)
    assert await codec.decode(codec.encode(b"value")) == b"value"


async def test_while_it_fails_it_is_not_asked_for_every_value() -> None:
    provider = Keys()
    provider.failure = OSError()
    codec = not_ready(provider, Clock())
    refusal(codec)
    await until(lambda: has_failed(codec) and not codec._writing._is_renewing)
    for _ in range(100):
        refusal(codec)
    assert not codec._writing._is_renewing
    assert provider.made == 1


async def test_while_it_is_asked_it_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    provider, asked, released = Keys(), [], threading.Event()
    make = provider.generate_data_key

    async def generate_data_key() -> DataKey:
        asked.append(1)
        await asyncio.to_thread(released.wait)
        return await make()

    monkeypatch.setattr(provider, "generate_data_key", generate_data_key)
    codec = not_ready(provider, Clock())
    for _ in range(10):
        refusal(codec)
    # What was to begin before this has begun.
    await asyncio.wrap_future(background.in_background(partial(asyncio.sleep, 0)))
    released.set()
    await until(lambda: codec._writing.is_ready)
    assert len(asked) == 1


async def test_the_pauses_become_longer_up_to_a_limit_and_a_success_makes_them_short_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, clock, chance = Keys(), Clock(), 0.5
    codec = await JournalEncryption.create(provider, values_per_key=1, monotonic=clock)
    monkeypatch.setattr("random.random", lambda: chance)

    async def next_pause() -> float:
        made = provider.made
        clock.now += 60
        for _ in range(2):
            codec.encode(b"value")
        await until(lambda: provider.made > made and not codec._writing._is_renewing)
        return round(codec._writing._retry_at - clock.now, 3)

    provider.failure = OSError()
    assert [await next_pause() for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    for chance, pause in ((0.0, 2.5), (1.0, 7.5)):  # noqa: B007
        assert await next_pause() == pause
    provider.failure, chance = None, 0.5
    await next_pause()
    provider.failure = OSError()
    assert await next_pause() == 0.1


def test_one_data_key_encrypts_no_more_values_than_nist_allows() -> None:
    assert writing_key.MOST_VALUES + 2048 * writing_key.MOST_VALUES_OF_A_FORK == 1 << 32


async def test_a_key_is_replaced_before_its_number_of_values_and_the_old_values_are_read() -> None:
    codec = await JournalEncryption.create(Keys(), values_per_key=10)
    values = [codec.encode(b"%d" % number) for number in range(9)]
    first = read_frame(values[0]).encrypted_key
    assert {read_frame(value).encrypted_key for value in values} == {first}
    codec.encode(b"the tenth asks for the next key")
    await until(lambda: codec._writing._present.encrypted != first)  # type: ignore[union-attr]  # there is one
    assert key_of(codec) != first
    assert [await codec.decode(value) for value in values] == [b"%d" % number for number in range(9)]


async def test_a_key_is_replaced_before_its_time() -> None:
    clock = Clock()
    codec = await JournalEncryption.create(Keys(), key_lifetime=100, monotonic=clock)
    first = key_of(codec)
    clock.now += 89
    assert key_of(codec) == first
    clock.now += 1
    assert key_of(codec) == first
    await until(lambda: codec._writing._present.encrypted != first)  # type: ignore[union-attr]  # there is one


async def test_while_the_provider_is_down_the_old_key_goes_on_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider, clock = Keys(), Clock()
    codec = await JournalEncryption.create(provider, values_per_key=1, monotonic=clock)
    first = key_of(codec)
    provider.failure = OSError()
    clock.now += 60
    codec.encode(b"asks for the next key")
    await until(lambda: "values are encrypted with the present one" in caplog.text)
    assert {key_of(codec) for _ in range(100)} == {first}


async def test_beyond_what_a_key_may_encrypt_there_is_an_error_until_there_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing_key, "MOST_VALUES", 5)
    provider, clock = Keys(), Clock()
    codec = await JournalEncryption.create(provider, values_per_key=50, monotonic=clock)
    first = codec._writing._present
    assert first is not None
    first.renew_after = 3
    provider.failure = OSError()
    assert len([codec.encode(b"value") for _ in range(5)]) == 5
    await until(lambda: not codec._writing._is_renewing)
    error = refusal(codec)
    assert error.reason is EncryptionReason.NO_DATA_KEY
    assert "has encrypted 5 values, and there is no other" in error.hint
    provider.failure = None
    clock.now += 60
    refusal(codec)
    await until(lambda: codec._writing._present is not first)
    assert codec.encode(b"value")


async def test_threads_together_keep_the_limit_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing_key, "MOST_VALUES", 100)
    provider = Keys()
    codec = await JournalEncryption.create(provider, values_per_key=50, monotonic=Clock())
    provider.failure = OSError()

    def encoded() -> int:
        count = 0
        try:
            while True:
                codec.encode(b"value")
                count += 1
        except EncryptionError:
            return count

    counts = await asyncio.gather(*(asyncio.to_thread(encoded) for _ in range(4)))
    assert sum(counts) == 100


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (DataKey(bytes(31), b"x"), "no data key of 32 bytes"),
        (DataKey(bytes(32), b""), "1 to 65535 bytes"),
        (DataKey(bytes(32), b"\x02\x00" + bytes(256)), "older revision"),
        (DataKey(bytes(32), bytes(1001)), "no more than 1000 would be read"),
        (DataKey(bytes(32), "a text"), "no bytes"),  # type: ignore[arg-type]
        (DataKey(bytes(32), 5), "no bytes"),  # type: ignore[arg-type]
        (None, "no DataKey"),
    ],
)
async def test_what_a_provider_makes_is_checked(
    made: DataKey | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Keys()

    async def generate_data_key() -> DataKey | None:
        return made

    monkeypatch.setattr(provider, "generate_data_key", generate_data_key)
    codec = not_ready(provider)
    refusal(codec)
    await until(lambda: has_failed(codec))
    assert problem in refusal(codec).hint


async def test_a_provider_that_returns_the_same_key_again_does_not_begin_a_new_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Keys()
    key = await provider.generate_data_key()

    async def generate_data_key() -> DataKey:
        return key

    monkeypatch.setattr(provider, "generate_data_key", generate_data_key)
    codec = await JournalEncryption.create(provider, values_per_key=1)
    first = codec._writing._present
    for _ in range(2):
        codec.encode(b"value")
    await until(lambda: "returned the same data key again" in caplog.text)
    assert codec._writing._present is first


async def test_a_provider_that_cancels_itself_is_asked_again_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    provider = Keys()
    provider.failure = asyncio.CancelledError()
    codec = not_ready(provider)
    refusal(codec)
    await until(lambda: has_failed(codec))
    made = provider.made
    for _ in range(100):
        refusal(codec)
    assert provider.made == made
    assert "no new data key" in caplog.text


@pytest.mark.parametrize(
    ("needed", "error"),
    [("asyncio.new_event_loop", OSError(24, "Too many open files")), ("threading.Thread.start", RuntimeError())],
)
async def test_while_no_thread_can_be_started_the_present_key_goes_on(
    needed: str, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    codec = await JournalEncryption.create(Keys(), values_per_key=1, monotonic=clock)
    other = await from_another_process(b"abc")
    before = codec._writing._present
    with monkeypatch.context() as patched:
        patched.setattr(background, "_background", background._Background())
        loop = asyncio.new_event_loop()
        patched.setattr("asyncio.new_event_loop", lambda: loop)
        patched.setattr(needed, raising(error))
        for _ in range(2):
            assert await codec.decode(codec.encode(b"value")) == b"value"
        assert "no new data key: provider_unavailable: no thread can be started" in caplog.text
        with pytest.raises(EncryptionError, match="provider_unavailable: no thread can be started"):
            await codec.decode(other)
    assert loop.is_closed() or needed == "asyncio.new_event_loop"
    loop.close()
    clock.now += writing_key.BACKOFF_LIMIT * 2
    codec.encode(b"value")
    await until(lambda: codec._writing._present is not before)


def raising(error: Exception) -> Callable[..., None]:
    def call(*_: object) -> None:
        raise error

    return call

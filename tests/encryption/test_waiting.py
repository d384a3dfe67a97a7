"""Waiting for a key provider: bounded, shared, ended by a cancellation, and not to be starved by made-up keys."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restate_identity.encryption import DataKey, EncryptionError, EncryptionReason, JournalEncryption, known_keys
from restate_identity.encryption.frames import read_frame
from restate_identity.encryption.waiters import Waiters
from tests.encryption.providers import (
    START,
    Keys,
    forever,
    from_another_process,
    known_keys_of,
    made_up,
    not_ready,
    until,
)
from tests.support.clock import Clock


async def reason_of(reading: asyncio.Future[bytes]) -> EncryptionReason:
    with pytest.raises(EncryptionError) as caught:
        await reading
    return caught.value.reason


def reading(codec: JournalEncryption, value: bytes) -> asyncio.Task[bytes]:
    return asyncio.ensure_future(codec.decode(value))


async def test_a_provider_that_hangs_is_not_waited_for_beyond_the_limit_and_its_call_is_cancelled() -> None:
    provider = Keys()
    provider.hold = forever
    codec = await JournalEncryption.create(provider)
    known_keys_of(codec)._seconds = 0.05
    value = await from_another_process(b"abc")
    assert await reason_of(reading(codec, value)) is EncryptionReason.PROVIDER_UNAVAILABLE
    await until(lambda: provider.asked == provider.ended == [read_frame(value).encrypted_key])
    provider.hold = None
    known_keys_of(codec)._seconds = 60
    assert await codec.decode(value) == b"abc"


async def test_who_waits_for_the_same_key_shares_one_call() -> None:
    provider = Keys()
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hold(encrypted: bytes) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(released.wait(), loop))

    provider.hold = hold
    codec = await JournalEncryption.create(provider)
    value = await from_another_process(b"abc")
    all_reading = [reading(codec, value) for _ in range(100)]
    await until(lambda: len(provider.asked) == 1)
    released.set()
    assert await asyncio.gather(*all_reading) == [b"abc"] * 100
    assert len(provider.asked) == 1


async def test_the_call_goes_on_until_the_last_who_waits_is_cancelled() -> None:
    provider = Keys()
    provider.hold = forever
    codec = await JournalEncryption.create(provider, wait_limit=60)
    value = await from_another_process(b"abc")
    first, last = reading(codec, value), reading(codec, value)
    await until(lambda: len(provider.asked) == 1)
    first.cancel()
    await asyncio.wait([first])
    assert (first.cancelled(), provider.ended) == (True, [])
    # A third could still join it.
    assert len(known_keys_of(codec)._flights) == 1
    last.cancel()
    await until(lambda: provider.ended == provider.asked)
    assert last.cancelled()
    # Whoever comes later does not join what was cancelled.
    provider.hold = None
    assert await codec.decode(value) == b"abc"


async def test_who_comes_while_a_call_is_being_cancelled_does_not_join_it() -> None:
    provider, ended = Keys(), threading.Event()

    async def slow_to_end(_: bytes) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await until(ended.is_set)

    provider.hold = slow_to_end
    codec = await JournalEncryption.create(provider, wait_limit=60)
    value = await from_another_process(b"abc")
    only = reading(codec, value)
    await until(lambda: len(provider.asked) == 1)
    provider.hold = None
    only.cancel()
    await asyncio.wait([only])
    try:
        assert await codec.decode(value) == b"abc"
        assert provider.ended == provider.asked[1:]
    finally:
        ended.set()


def test_who_waited_in_a_loop_that_was_closed_is_not_woken() -> None:
    waiters = Waiters()

    async def enter() -> None:
        waiters.enter()

    asyncio.run(enter())
    waiters.wake()
    assert len(waiters) == 0


async def test_a_start_that_is_cancelled_as_the_data_key_comes_does_not_go_on() -> None:
    class Held(Keys):
        async def generate_data_key(self) -> DataKey:
            made = await super().generate_data_key()
            released.wait(20)
            return made

    released = threading.Event()
    provider = Held()

    async def start() -> None:
        await JournalEncryption.create(provider)

    for turns in itertools.count():
        released.clear()
        made = provider.made
        starting = asyncio.ensure_future(start())
        await until(lambda: provider.made > made)  # noqa: B023 (it is awaited here)
        released.set()
        time.sleep(0.02)  # noqa: ASYNC251 (the key is there before the next turn of this loop)
        for _ in range(turns):
            await asyncio.sleep(0)
        if not starting.cancel():
            break
        await asyncio.wait({starting})
        assert starting.cancelled(), turns
    assert turns > 2


async def test_what_was_aborted_during_an_outage_does_not_run_on() -> None:
    provider = Keys()
    provider.hold = forever
    codec = await JournalEncryption.create(provider, wait_limit=60)
    values = [await from_another_process(b"abc") for _ in range(5)]
    aborted = [reading(codec, value) for value in values for _ in range(20)]
    await until(lambda: len(provider.asked) == 5)
    for each in aborted:
        each.cancel()
    await asyncio.wait(aborted)
    await until(lambda: len(provider.ended) == 5)
    provider.hold = None
    assert await codec.decode(values[0]) == b"abc"
    assert len(provider.asked) == 6


async def test_an_outage_is_forgotten_at_once_and_an_unknown_key_after_some_time() -> None:
    provider, clock = Keys(), Clock()
    codec = await JournalEncryption.create(provider, monotonic=clock)
    value = await from_another_process(b"abc")
    unusable = EncryptionError(EncryptionReason.UNUSABLE_KEYS, "the file is not there")
    for failure, reason in ((ConnectionError(), EncryptionReason.PROVIDER_UNAVAILABLE), (unusable, unusable.reason)):
        provider.failure = failure
        assert await reason_of(reading(codec, value)) is reason
    provider.failure = None
    assert await codec.decode(value) == b"abc"

    asked = len(provider.asked)
    for _ in range(3):
        assert await reason_of(reading(codec, made_up(1))) is EncryptionReason.UNKNOWN_DATA_KEY
    assert len(provider.asked) == asked + 1
    clock.now += known_keys.UNKNOWN_FOR
    assert await reason_of(reading(codec, made_up(1))) is EncryptionReason.UNKNOWN_DATA_KEY
    assert len(provider.asked) == asked + 2
    clock.now += known_keys.UNKNOWN_FOR + 1
    assert await reason_of(reading(codec, made_up(1))) is EncryptionReason.UNKNOWN_DATA_KEY
    assert len(provider.asked) == asked + 3


@pytest.mark.parametrize("raised", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), ValueError("secret")])
async def test_whatever_a_provider_raises_is_an_outage(raised: BaseException) -> None:
    provider = Keys()
    codec = await JournalEncryption.create(provider, wait_limit=60)
    value = await from_another_process(b"abc")
    provider.failure = raised
    assert await reason_of(reading(codec, value)) is EncryptionReason.PROVIDER_UNAVAILABLE
    provider.failure = None
    assert await codec.decode(value) == b"abc"


@pytest.mark.parametrize("returned", [b"short", bytes(16), "x" * 32, None, bytes(33)])
async def test_what_is_no_key_is_an_outage(returned: object, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Keys()
    codec = await JournalEncryption.create(provider)

    async def decrypt_data_key(encrypted: bytes) -> object:
        return returned

    monkeypatch.setattr(provider, "decrypt_data_key", decrypt_data_key)
    with pytest.raises(EncryptionError) as caught:
        await codec.decode(made_up(1))
    assert str(caught.value) == "provider_unavailable: the key provider returned no data key of 32 bytes"


async def test_a_provider_that_blocks_its_thread_holds_up_no_loop_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    provider, released = Keys(), threading.Event()
    codec = await JournalEncryption.create(provider)
    known_keys_of(codec)._seconds = 0.05

    async def decrypt_data_key(encrypted: bytes) -> bytes:
        released.wait()
        return bytes(32)

    monkeypatch.setattr(provider, "decrypt_data_key", decrypt_data_key)
    try:
        assert await reason_of(reading(codec, made_up(1))) is EncryptionReason.PROVIDER_UNAVAILABLE
        assert await codec.decode(codec.encode(b"own")) == b"own"
    finally:
        released.set()


async def test_outside_of_a_handler_a_value_is_read_without_a_data_key_to_write_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, value = Keys(), await from_another_process(b"abc")

    async def generate_data_key() -> None:
        raise OSError

    monkeypatch.setattr(provider, "generate_data_key", generate_data_key)
    assert await not_ready(provider).decode(value) == b"abc"


async def test_a_key_that_is_too_large_is_never_asked_for() -> None:
    provider = Keys()
    codec = await JournalEncryption.create(provider, max_encrypted_key_size=100)
    assert await reason_of(reading(codec, made_up(1, bytes(100)))) is EncryptionReason.OVERSIZED_DATA_KEY
    assert provider.asked == []


async def test_a_flood_of_made_up_keys_takes_few_calls_and_keeps_no_genuine_value_waiting() -> None:
    provider = Keys()

    async def hold(encrypted: bytes) -> None:
        if not encrypted.startswith(START):
            await forever(encrypted)

    provider.hold = hold
    codec = await JournalEncryption.create(provider, wait_limit=60)
    flood = [reading(codec, made_up(number)) for number in range(known_keys.WAITING)]
    await until(lambda: len(provider.asked) == known_keys.CALLS)
    # Further ones are refused at once, and no more calls are made.
    assert await reason_of(reading(codec, made_up(9999))) is EncryptionReason.PROVIDER_BUSY
    assert len(provider.asked) == known_keys.CALLS
    # One that waits already may be waited for by more.
    joined = reading(codec, made_up(0))
    # A new key of the same service, and the own one, are read.
    assert await codec.decode(await from_another_process(b"abc")) == b"abc"
    assert await codec.decode(codec.encode(b"own")) == b"own"
    assert not any(each.done() for each in flood)
    for each in [*flood, joined]:
        each.cancel()
    await asyncio.wait([*flood, joined])
    await until(lambda: len(provider.ended) == len(provider.asked))
    # And all places are free again.
    provider.hold = None
    assert await reason_of(reading(codec, made_up(9999))) is EncryptionReason.UNKNOWN_DATA_KEY
    assert known_keys_of(codec)._strange.open == 0


async def test_made_up_keys_push_no_genuine_one_out_of_the_cache() -> None:
    provider = Keys()
    codec = await JournalEncryption.create(provider, cache_size=3)
    value = await from_another_process(b"abc")
    await codec.decode(value)
    for number in range(20):
        await reason_of(reading(codec, made_up(number)))
    asked = len(provider.asked)
    assert await codec.decode(value) == b"abc"
    assert len(provider.asked) == asked


async def test_the_caches_are_bounded_and_keep_what_was_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "UNKNOWN_SIZE", 5)
    monkeypatch.setattr(known_keys, "_STARTS", 2)
    provider = Keys()
    codec = await JournalEncryption.create(provider, cache_size=2)
    values = [await from_another_process(b"%d" % number) for number in range(3)]
    for value in [*values[:2], values[0], values[2]]:
        await codec.decode(value)
    asked = len(provider.asked)
    await codec.decode(values[0])
    assert len(provider.asked) == asked
    await codec.decode(values[1])
    assert len(provider.asked) == asked + 1
    for number in range(20):
        await reason_of(reading(codec, made_up(number)))
    known = known_keys_of(codec)
    assert (len(known._ciphers), len(known._unknown)) == (2, 5)
    asked = len(provider.asked)
    for number in (15, 16, 17, 18, 19, 14):
        await reason_of(reading(codec, made_up(number)))
    assert len(provider.asked) == asked + 1
    for start in (b"a", b"b", b"a", b"c"):
        known.add(start * 40, AESGCM(bytes(32)))
    assert list(known._starts) == [b"a" * 32, b"c" * 32]
    assert list(known._ciphers) == [b"a" * 40, b"c" * 40]
    known.get(b"a" * 40)
    assert list(known._ciphers) == [b"c" * 40, b"a" * 40]


async def test_a_provider_whose_task_exits_ends_nobody_elses_calls() -> None:
    async def exits() -> None:
        raise SystemExit

    class Exiting(Keys):
        async def generate_data_key(self) -> DataKey:
            await asyncio.wait_for(exits(), 5)
            raise AssertionError

    await JournalEncryption.create(Exiting(), wait_limit=0.2)
    codec = await JournalEncryption.create(Keys())
    assert await codec.decode(await from_another_process(b"value")) == b"value"
    # Nor do the calls hold up the end of the process.
    threads = [thread for thread in threading.enumerate() if thread.name == "restate-identity-keys"]
    assert threads
    assert all(thread.daemon for thread in threads)

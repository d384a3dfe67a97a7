"""The codec: what it writes it reads, in any loop, thread and process."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import FrozenInstanceError
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import restate
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restate_identity.encryption import (
    DataKey,
    EncryptionError,
    EncryptionReason,
    JournalEncryption,
    journal,
)
from restate_identity.encryption.frames import read_frame
from tests.encryption.providers import Keys, changed, from_another_process, made_up, until
from tests.support import ROOT

SIZES = [0, 1, 15, 16, 17, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 1 << 20]


async def refusal(codec: JournalEncryption, value: bytes) -> EncryptionError:
    with pytest.raises(EncryptionError) as caught:
        await codec.decode(value)
    return caught.value


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("into", [True, False], ids=["in place", "without encrypt_into"])
async def test_a_value_of_any_size_comes_back(size: int, into: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not into:
        monkeypatch.setattr(journal, "_CAN_WRITE_INTO", False)
    codec, value = await JournalEncryption.create(Keys()), os.urandom(size)
    sealed = codec.encode(value)
    assert type(sealed) is bytes
    assert len(sealed) == 5 + 2 + 52 + 12 + size + 16
    assert await codec.decode(sealed) == value
    assert await (await JournalEncryption.create(Keys())).decode(sealed) == value


async def test_it_is_aes_256_gcm_without_associated_data() -> None:
    # An encrypted data key may be as large as the limit.
    codec = await JournalEncryption.create(Keys(), max_encrypted_key_size=52)
    frame = read_frame(codec.encode(b"value"))
    assert AESGCM(Keys._all[frame.encrypted_key]).decrypt(frame.iv, bytes(frame.sealed), None) == b"value"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_no_iv_comes_twice_under_one_data_key_in_threads_and_forked_processes() -> None:
    """`make soak` encrypts a million."""
    command = [sys.executable, "-m", "tests.encryption.million", "20000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "20,000 distinct IVs" in done.stdout


async def test_each_codec_has_a_data_key_of_its_own() -> None:
    provider = Keys()
    first, second = await JournalEncryption.create(provider), await JournalEncryption.create(provider)
    assert read_frame(first.encode(b"")).encrypted_key != read_frame(second.encode(b"")).encrypted_key
    assert provider.made == 2


def test_the_sdk_takes_it_as_a_codec() -> None:
    assert issubclass(JournalEncryption, restate.JournalValueCodec)


async def test_without_the_sdk_it_encrypts_and_decrypts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("restate", "restate.extensions"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = spec_from_file_location("journal_without_the_sdk", journal.__file__)
    assert spec
    assert spec.loader
    without = module_from_spec(spec)
    spec.loader.exec_module(without)
    codec = await without.JournalEncryption.create(Keys())
    assert await codec.decode(codec.encode(b"value")) == b"value"
    assert (await refusal(codec, b"my plaintext")).reason is EncryptionReason.NOT_ENCRYPTED


async def test_any_changed_byte_is_noticed() -> None:
    codec = await JournalEncryption.create(Keys())
    sealed = codec.encode(b"abc")
    for place in range(len(sealed)):
        error = await refusal(codec, changed(sealed[: place + 1]) + sealed[place + 1 :])
        assert error.reason in {
            *(EncryptionReason.NOT_ENCRYPTED, EncryptionReason.TRUNCATED, EncryptionReason.OVERSIZED_DATA_KEY),
            *(EncryptionReason.UNKNOWN_DATA_KEY, EncryptionReason.CHANGED),
        }
    assert (await refusal(codec, changed(sealed))).reason is EncryptionReason.CHANGED
    assert (await refusal(codec, sealed + b"x")).reason is EncryptionReason.CHANGED


async def test_a_refusal_has_no_value_no_key_and_no_cause() -> None:
    provider = Keys()
    codec = await JournalEncryption.create(provider)
    provider.failure = RuntimeError("plaintext key: hunter2")
    for value in (b"my plaintext", changed(codec.encode(b"abc")), made_up(1), await from_another_process(b"abc")):
        error = await refusal(codec, value)
        assert (error.__cause__, error.__context__) == (None, None)
        assert "plaintext key" not in str(error)
        assert "my plaintext" not in repr(error)


def test_a_data_key_does_not_show_its_plaintext_and_does_not_change() -> None:
    key = DataKey(b"secret" * 5 + b"..", b"encrypted")
    assert repr(key) == str(key) == "DataKey(encrypted=b'encrypted')"
    with pytest.raises(FrozenInstanceError):
        key.plaintext = b""  # type: ignore[misc]  # the point of this test


def test_an_error_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(EncryptionError(reason=EncryptionReason.CHANGED, hint="cut")))
    assert (error.reason, error.hint, str(error)) == (EncryptionReason.CHANGED, "cut", "changed: cut")


def test_it_works_in_other_loops_than_the_one_it_was_made_in() -> None:
    provider = Keys()
    codec = asyncio.run(JournalEncryption.create(provider))
    other = asyncio.run(from_another_process(b"of another process"))
    assert asyncio.run(codec.decode(codec.encode(b"own"))) == b"own"
    assert asyncio.run(codec.decode(other)) == b"of another process"
    assert len(provider.asked) == 1


def test_loops_in_several_threads_share_one_call() -> None:
    provider, threads = Keys(), 4
    codec = asyncio.run(JournalEncryption.create(provider))
    other = asyncio.run(from_another_process(b"of another process"))
    waiting = threading.Barrier(threads)

    async def hold(encrypted: bytes) -> None:
        await asyncio.sleep(0.05)

    provider.hold = hold

    def read() -> bytes:
        waiting.wait()
        return asyncio.run(codec.decode(other))

    with ThreadPoolExecutor(threads) as pool:
        assert {each.result() for each in [pool.submit(read) for _ in range(threads)]} == {b"of another process"}
    assert len(provider.asked) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_and_writes_and_soon_has_a_data_key_of_its_own() -> None:
    provider, released = Keys(), threading.Event()
    codec = asyncio.run(JournalEncryption.create(provider))
    other = asyncio.run(from_another_process(b"of another process"))
    parents = read_frame(codec.encode(b"")).encrypted_key

    async def hold(_: bytes) -> None:
        await until(released.is_set)

    # The child does not wait for a call that is in flight in its parent.
    provider.hold = hold
    waiting = threading.Thread(target=lambda: asyncio.run(codec.decode(other)), daemon=True)
    waiting.start()
    asyncio.run(until(lambda: len(provider.asked) == 1))
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        found: object = None
        provider.hold = None
        try:
            found = asyncio.run(asyncio.wait_for(_in_a_fork(codec, other, parents), 30))
        except BaseException as error:  # noqa: BLE001 (the parent says it)
            found = repr(error)
        finally:
            os.write(there, pickle.dumps(found))
            os._exit(0)
    os.close(there)
    os.waitpid(child, 0)
    with os.fdopen(here, "rb") as pipe:
        assert pickle.load(pipe) == (b"of another process", True)
    released.set()
    waiting.join()
    # The parent goes on with its own, and can still ask for others.
    assert read_frame(codec.encode(b"")).encrypted_key == parents
    assert asyncio.run(codec.decode(other)) == b"of another process"


async def _in_a_fork(codec: JournalEncryption, other: bytes, parents: bytes) -> tuple[bytes, bool]:
    first = codec.encode(b"at once")
    read = await codec.decode(other)
    await until(lambda: read_frame(codec.encode(b"")).encrypted_key != parents)
    return read, await codec.decode(first) == b"at once"


async def test_as_an_async_provider_of_the_sdk_it_survives_the_abort_of_the_first_attempt() -> None:
    provider = Keys()
    provider.failure = OSError()
    task = asyncio.ensure_future(partial(JournalEncryption.create, provider, wait_limit=60)())
    attempt = asyncio.ensure_future(_awaiting(task))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    attempt.cancel()
    # What the SDK keeps for ever is a codec, which works once the provider does.
    codec = await task
    provider.failure = None
    other = await from_another_process(b"abc")
    assert await codec.decode(other) == b"abc"
    await codec._writing.ready(30)
    assert await codec.decode(codec.encode(b"x")) == b"x"


def test_beside_one_other_task_a_cancelled_create_returns_a_codec_and_alone_it_is_cancelled() -> None:
    provider = Keys()
    provider.failure = OSError()

    async def beside() -> JournalEncryption:
        task = asyncio.ensure_future(JournalEncryption.create(provider, wait_limit=60))
        asyncio.get_running_loop().call_later(0.01, task.cancel)
        return await task

    assert isinstance(asyncio.run(beside()), JournalEncryption)
    with closing(asyncio.new_event_loop()) as loop:
        task = loop.create_task(JournalEncryption.create(provider, wait_limit=60))
        loop.call_later(0.01, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


async def _awaiting(task: asyncio.Task[JournalEncryption]) -> JournalEncryption:
    return await task


async def test_otherwise_a_cancelled_create_is_cancelled() -> None:
    provider = Keys()
    provider.failure = OSError()

    async def start() -> None:
        await JournalEncryption.create(provider, wait_limit=60)

    task = asyncio.ensure_future(start())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "wrong",
    [
        *({"wait_limit": 0}, {"wait_limit": float("inf")}, {"wait_limit": float("nan")}, {"wait_limit": "1"}),
        *({"values_per_key": 0}, {"values_per_key": 50_000_001}, {"values_per_key": 1.5}, {"values_per_key": True}),
        *({"key_lifetime": 0}, {"cache_size": 0}, {"max_encrypted_key_size": 0}, {"max_encrypted_key_size": 65536}),
    ],
    ids=str,
)
async def test_an_option_out_of_its_range_is_an_error_that_names_it(wrong: dict[str, object]) -> None:
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"^{name} is a number, at least ") as caught:
        await JournalEncryption.create(Keys(), **wrong)  # type: ignore[arg-type]
    limits = {"values_per_key": " and at most 50000000", "max_encrypted_key_size": " and at most 65535"}
    assert re.findall(r"at least [\d.]+(.*), not ", str(caught.value)) == [limits.get(name, "")]


@pytest.mark.parametrize(
    "ends",
    [
        {"wait_limit": 0.001, "key_lifetime": 0.001, "values_per_key": 1, "cache_size": 1, "max_encrypted_key_size": 1},
        {"values_per_key": 50_000_000, "max_encrypted_key_size": 65535},
    ],
    ids=["least", "most"],
)
async def test_an_option_may_be_at_the_end_of_its_range(ends: dict[str, float]) -> None:
    codec = await JournalEncryption.create(Keys(), **ends)  # type: ignore[arg-type]
    await until(lambda: not codec._writing._is_renewing)

"""Measure the encryption of the journal beside bare AES-GCM, and a handler of the SDK with it and without."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from time import perf_counter_ns
from typing import Any

import restate
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.measure import Case
from benchmarks.servers.sdk_handler import greeter
from benchmarks.session import Outcome, Session
from restate_identity.encryption import DataKey, JournalEncryption
from tests.support.invocation import CONTENT_TYPE, invocation_body

# In bytes, with how many calls of a sample: each takes some milliseconds.
SIZES = {"100 B": (100, 1), "1 KiB": (1024, 1), "100 KiB": (100 * 1024, 20), "10 MiB": (10 * 1024**2, 500)}
HANDLED = ("100 B", "100 KiB")
KEY = os.urandom(32)


def encode(size: str) -> str:
    """Return the name of the case that encrypts values of *size*."""
    return f"encode, {size}"


def decode(size: str) -> str:
    """Return the name of the case that decrypts them."""
    return f"decode, {size}"


def bare(case: str) -> str:
    """Return the name of what *case* costs with AES-GCM alone."""
    return f"{case}, bare AES-GCM"


class _OneKey:
    async def generate_data_key(self) -> DataKey:
        # As many bytes as those of AWS KMS.
        return DataKey(KEY, bytes(184))

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:  # noqa: ARG002
        return KEY


def run(session: Session) -> Outcome:
    """Encrypt and decrypt values of each size, and call a handler."""
    with closing(asyncio.new_event_loop()) as loop:
        codec = loop.run_until_complete(JournalEncryption.create(_OneKey()))
        cases = [case for size in SIZES for case in _values(size, codec, session.scale.fast)]
        cases += [
            _handled(f"handler of the SDK, {size}, {name}", served, loop, SIZES[size][0], encoded, session.scale.slow)
            for size in HANDLED
            for name, served, encoded in (
                ("no codec", restate.app([greeter]), bytes),
                ("encrypted", restate.app([greeter], journal_value_codec=codec), codec.encode),
            )
        ]
        return Outcome(session.interleave(cases, turns=session.scale.turns))


def _values(size: str, codec: JournalEncryption, fast: int) -> list[Case]:
    length, share = SIZES[size]
    count = max(3, fast // share)
    value, cipher = os.urandom(length), AESGCM(KEY)
    sealed, iv = codec.encode(value), os.urandom(12)
    bare_sealed = cipher.encrypt(iv, value, None)

    def decoded() -> bytes:
        # Nothing here waits, because the data key is known.
        try:
            codec.decode(sealed).send(None)
        except StopIteration as result:
            return bytes(result.value)
        raise AssertionError("decoding waits for something")

    assert decoded() == value
    return [
        _timed(encode(size), lambda: codec.encode(value), count),
        _timed(bare(encode(size)), lambda: cipher.encrypt(os.urandom(12), value, None), count),
        _timed(decode(size), decoded, count),
        _timed(bare(decode(size)), lambda: cipher.decrypt(iv, bare_sealed, None), count),
    ]


def _timed(name: str, call: Callable[[], object], count: int) -> Case:
    def sample() -> float:
        # Once untimed: the allocator takes megabytes from the system, and the next calls reuse them.
        call()
        start = perf_counter_ns()
        for _ in range(count):
            call()
        return (perf_counter_ns() - start) / count

    return Case(name, sample)


def _handled(
    name: str, served: Any, loop: asyncio.AbstractEventLoop, size: int, encoded: Callable[[bytes], bytes], slow: int
) -> Case:
    argument = '"' + "x" * (size - 2) + '"'

    async def calls() -> float:
        bodies = [invocation_body("", encoded(argument.encode())) for _ in range(slow)]
        start = perf_counter_ns()
        answers = [await _answer(served, body) for body in bodies]
        elapsed = perf_counter_ns() - start
        # An answer that is encrypted has the prefix of the format.
        assert all((b"Hello" if encoded is bytes else b"RTv1") in answer for answer in answers)
        return elapsed / slow

    return Case(name, lambda: loop.run_until_complete(calls()))


async def _answer(served: Callable[..., Awaitable[None]], body: bytes) -> bytes:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "2",
        "method": "POST",
        "scheme": "http",
        "path": "/invoke/Greeter/greet",
        "raw_path": b"/invoke/Greeter/greet",
        "query_string": b"",
        "headers": [(b"content-type", CONTENT_TYPE.encode())],
    }
    received, sent = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive() -> dict[str, Any]:
        return received.pop() if received else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    await served(scope, receive, send)
    return b"".join(sent)

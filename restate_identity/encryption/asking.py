"""Ask a key provider: with a limit of time, and so that every failure is an `EncryptionError` without its text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from restate_identity._waiting import limited
from restate_identity.encryption.errors import EncryptionError, EncryptionReason

Answer = TypeVar("Answer")


async def asked(call: Callable[[], Awaitable[Answer]], seconds: float) -> Answer:
    """Return the answer of a provider, or raise EncryptionError."""
    try:
        answer = await limited(_translated(call), seconds)
    except asyncio.TimeoutError:
        pass
    else:
        return answer()
    raise unavailable(f"the key provider did not answer within {seconds:g} s")


async def _translated(call: Callable[[], Awaitable[Answer]]) -> Callable[[], Answer]:
    try:
        answer = await call()
    except EncryptionError as error:
        if isinstance(error.reason, EncryptionReason) and isinstance(error.hint, str):
            failure = EncryptionError(error.reason, error.hint)
        else:
            failure = unavailable("the key provider raised an EncryptionError whose reason is no EncryptionReason")
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 (a SystemExit would end the loop that all providers share)
        # Its text comes from elsewhere and may quote a key, so it goes nowhere.
        failure = unavailable(f"the key provider failed: {type(error).__name__}")
    else:
        # In its debug mode, asyncio logs the result of a task, which must not be a key.
        return lambda: answer
    # Out here, because the failure must not refer to what the provider raised.
    raise failure


def unavailable(hint: str) -> EncryptionError:
    """Return the error for an outage, which is over some time."""
    return EncryptionError(EncryptionReason.PROVIDER_UNAVAILABLE, hint)

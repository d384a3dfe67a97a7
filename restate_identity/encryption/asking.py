"""Ask a key provider: with a limit of time, and so that every failure is an `EncryptionError` without its text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from restate_identity.encryption.errors import EncryptionError, EncryptionReason

Answer = TypeVar("Answer")


async def asked(call: Callable[[], Awaitable[Answer]], seconds: float) -> Answer:
    """Return the answer of a provider, or raise EncryptionError."""
    try:
        return await asyncio.wait_for(call(), seconds)
    except EncryptionError as error:
        failure = EncryptionError(error.reason, error.hint)
    except asyncio.TimeoutError:
        failure = unavailable(f"the key provider did not answer within {seconds:g} s")
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 (a SystemExit of the provider would end the thread of all)
        # Its text comes from elsewhere and may quote a key, so it goes nowhere.
        failure = unavailable(f"the key provider failed: {type(error).__name__}")
    # Out here, because the failure must not refer to what the provider raised.
    raise failure


def unavailable(hint: str) -> EncryptionError:
    """Return the error for an outage, which is over some time."""
    return EncryptionError(EncryptionReason.PROVIDER_UNAVAILABLE, hint)

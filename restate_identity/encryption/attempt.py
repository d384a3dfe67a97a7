"""Make a failure end the attempt of an invocation, and never the invocation.

The Restate SDK turns an exception of the codec into different things. For the input of a handler, every `Exception`
becomes a TerminalError with status 400, and the invocation is lost. For a result of ``ctx.run``, it uses up the
attempts of the run. Elsewhere user code may catch it and go on with what it did not read. So in a handler, the failure
is told to Restate here, and raised as what the SDK itself raises to end an attempt, which is no `Exception`. Restate
then tries again, as the service's retry policy says.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from restate_identity.encryption.errors import EncryptionError


def is_in_a_handler() -> bool:
    """Return whether the running code is part of an attempt of an invocation."""
    return _vm() is not None


def ending_the_attempt(error: EncryptionError) -> BaseException:
    """Return what to raise for *error*: itself outside of the SDK's handlers."""
    vm = _vm()
    if vm is None:
        return error
    from restate.exceptions import SdkInternalException

    # An attempt that is over cannot be told anything more.
    with suppress(Exception):
        # No stack trace: Restate stores it unencrypted.
        vm.notify_error(f"encryption: {error}", "")
    return SdkInternalException()


def _vm() -> Any:
    """Return the state machine of the attempt, or None outside of one."""
    try:
        from restate.extensions import current_context
    except ImportError:
        return None
    try:
        return getattr(current_context(), "vm", None)
    except LookupError:
        return None

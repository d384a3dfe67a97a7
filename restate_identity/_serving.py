"""Makes an identity the `current_identity()` while code of the application runs, and at no other time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import Token
from types import TracebackType

from restate_identity.identity import Identity, identity_context


class serving:
    """Make *identity* the `current_identity()` for the time of a ``with`` block.

    An exempt request has none, and is shown none: whatever the thread served before is hidden.
    """

    __slots__ = ("_identity", "_token")

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity

    def __enter__(self) -> None:
        self._token: Token[Identity | None] = identity_context.set(self._identity)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            identity_context.reset(self._token)
        except ValueError:
            # A generator that is closed from another context, as by a garbage collector, left nothing there.
            pass


def steps(iterable: Iterable[bytes], identity: Identity | None) -> Iterator[bytes]:
    """Iterate over *iterable* with *identity* as the `current_identity()` of each step, but not between them."""
    with serving(identity):
        iterator = iter(iterable)
    while True:
        with serving(identity):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item

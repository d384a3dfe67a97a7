"""The verified identity of a request, and `current_identity()` to read it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class Identity(NamedTuple):
    """The signed facts about a request: which key signed it, for which path and object key, and when.

    It proves nothing about the body, the other headers, the method or the host, because Restate does not sign them.
    """

    key: str
    """The identity key that signed the request, as ``publickeyv1_…``."""
    audience: str
    """The signed path: ``/discover`` or ``/invoke/<service>/<handler>``."""
    subject: str | None
    """The key of the virtual object or workflow, decoded; ``None`` for services and discovery."""
    issued_at: int
    """When Restate signed, in Unix seconds."""
    not_before: int
    """The first second at which the token is valid, in Unix seconds."""
    expires_at: int
    """The first second at which the token is no longer valid, in Unix seconds."""


identity_context: ContextVar[Identity | None] = ContextVar("restate_identity", default=None)


def current_identity() -> Identity | None:
    """Return the identity of the request being served, or ``None`` outside a verified request.

    Every adapter sets it while the wrapped application runs. It is a context variable: tasks and
    ``asyncio.to_thread`` inherit it, plain threads do not.
    """
    return identity_context.get()

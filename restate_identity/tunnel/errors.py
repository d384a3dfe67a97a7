"""The error that ends a tunnel for good."""

from __future__ import annotations

from restate_identity.errors import IdentityError


class TunnelError(IdentityError):
    """The tunnel cannot serve, and dialling again would not help. The message says what to do, without the token."""

"""What ends a tunnel for good."""

from __future__ import annotations

from restate_identity.errors import IdentityError


class TunnelError(IdentityError):
    """The tunnel cannot serve, and dialling again cannot help. The message names the remedy, and never the token."""

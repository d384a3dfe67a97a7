"""An observer that notes what it is told."""

from __future__ import annotations

from restate_identity import Identity, VerificationError


class Notes:
    """Records the calls of a guard."""

    def __init__(self) -> None:
        self.accepted_requests: list[tuple[Identity, str, float]] = []
        self.refused_requests: list[tuple[VerificationError, str, float]] = []

    def accepted(self, identity: Identity, *, path: str, seconds: float) -> None:
        self.accepted_requests.append((identity, path, seconds))

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:
        self.refused_requests.append((error, path, seconds))

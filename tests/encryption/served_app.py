"""The services as a process serves them; the environment has `PROTOCOL`, `IDENTITY_KEY`, `KEYS`, `DOWN` and `STEPS`."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from restate_identity.encryption import DataKey, JournalEncryption, LocalKeys
from restate_identity.restate_sdk import app as restate_app
from tests.encryption.services import desk, signup, vault


class DistantKeys(LocalKeys):
    """Keys that cannot be reached while the file `DOWN` is there."""

    async def generate_data_key(self) -> DataKey:
        self._reach()
        return await super().generate_data_key()

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:
        self._reach()
        return await super().decrypt_data_key(encrypted)

    def _reach(self) -> None:
        if Path(os.environ["DOWN"]).exists():
            raise ConnectionError


create = partial(JournalEncryption.create, DistantKeys(os.environ["KEYS"]), wait_limit=1.0)
bidirectional = os.environ["PROTOCOL"] == "bidi"

app = restate_app(
    [desk, vault, signup],
    identity_keys=[os.environ["IDENTITY_KEY"]],
    protocol="bidi" if bidirectional else "request_response",
    # Both ways that the SDK offers: made at the first call, or before.
    journal_value_codec=create if bidirectional else asyncio.run(create()),
)

"""The services as a process serves them; the environment has `PROTOCOL`, `IDENTITY_KEY` and `KEYS`."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from restate_identity.encryption import JournalEncryption, LocalKeys
from restate_identity.restate_sdk import app as restate_app
from tests.encryption.services import desk, signup, vault

create = partial(JournalEncryption.create, LocalKeys(os.environ["KEYS"]))
bidirectional = os.environ["PROTOCOL"] == "bidi"

app = restate_app(
    [desk, vault, signup],
    identity_keys=[os.environ["IDENTITY_KEY"]],
    protocol="bidi" if bidirectional else "request_response",
    # Both ways that the SDK offers: made at the first call, or before.
    journal_value_codec=create if bidirectional else asyncio.run(create()),
)

"""The answer and the log of every application here."""

from __future__ import annotations

import json
import logging
import os
import sys

from restate_identity import Identity, current_identity

KEYS = [os.environ["IDENTITY_KEY"]]
EXEMPT = ["/open"]

# One line for each refusal, for the tests to read; each stream has only one process that writes to it.
logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")


def answer(given: Identity | None) -> bytes:
    """Return the identity *given* by the adapter, and whether `current_identity()` agrees."""
    return json.dumps(
        {
            "app": "ran",
            "identity": given and {"key": given.key, "audience": given.audience, "subject": given.subject},
            "current_identity_agrees": current_identity() is given,
        }
    ).encode()

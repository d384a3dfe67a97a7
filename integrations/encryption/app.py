"""A service whose journal is encrypted, with keys from a file or from AWS KMS."""

import asyncio
import os

import restate

from restate_identity.encryption import AwsKms, JournalEncryption, KeyProvider, LocalKeys
from restate_identity.restate_sdk import app as restate_app

patient = restate.VirtualObject("Patient")


@patient.handler()
async def note(ctx: restate.ObjectContext, text: str) -> int:
    notes = [*(await ctx.get("notes", type_hint=list[str]) or []), text]
    ctx.set("notes", notes)
    return len(notes)


@patient.handler(kind="shared")
async def notes(ctx: restate.ObjectSharedContext) -> list[str]:
    return await ctx.get("notes", type_hint=list[str]) or []


def key_provider() -> KeyProvider:
    if "JOURNAL_KMS_KEY" in os.environ:
        return AwsKms(os.environ["JOURNAL_KMS_KEY"])
    return LocalKeys(os.environ["JOURNAL_KEYS"])


# The identity keys come from RESTATE_IDENTITY_KEYS.
app = restate_app([patient], journal_value_codec=asyncio.run(JournalEncryption.create(key_provider())))

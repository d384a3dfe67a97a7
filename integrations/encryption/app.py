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
    kms_key, file = os.environ.get("JOURNAL_KMS_KEY"), os.environ.get("JOURNAL_KEYS")
    if kms_key and not file:
        return AwsKms(kms_key)
    if file and not kms_key:
        return LocalKeys(file)
    raise SystemExit("set JOURNAL_KEYS, a file of local keys, or JOURNAL_KMS_KEY, and not both")


# The identity keys come from RESTATE_IDENTITY_KEYS.
app = restate_app([patient], journal_value_codec=asyncio.run(JournalEncryption.create(key_provider())))

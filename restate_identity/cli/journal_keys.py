"""The options that name the keys of encrypted values, for several commands."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from restate_identity.cli.complaints import NAME, fail
from restate_identity.cli.options import FILE

if TYPE_CHECKING:
    from restate_identity.encryption import KeyProvider

_Command = TypeVar("_Command", bound=Callable[..., Any])


def journal_keys_options(command: _Command) -> _Command:
    """Add the options for the keys of encrypted values to *command*."""
    local = click.option("--local-keys", type=FILE, metavar="FILE", help="The file with local keys.")
    kms = click.option(
        "--kms-key",
        "kms_keys",
        multiple=True,
        metavar="ID",
        help="A key of AWS KMS instead: its id, ARN or alias. The first encrypts; more may follow to decrypt with.",
    )
    return local(kms(command))


def provider_with(local_keys: str | None, kms_keys: tuple[str, ...]) -> KeyProvider:
    """Return the provider that the options name; fail if they name none, or two, or one that cannot be used."""
    if (local_keys is None) == (not kms_keys):
        raise click.UsageError("pass --local-keys or --kms-key, and not both.")
    logging.basicConfig(level=logging.WARNING, format=f"{NAME}: %(message)s")
    # These bring much with them, which no other command needs.
    from restate_identity.encryption import AwsKms, EncryptionError, LocalKeys

    if local_keys is not None:
        try:
            return LocalKeys(local_keys)
        except EncryptionError as error:
            fail(error.hint)
    # Its errors and its log quote the environment, where a secret may stand in the wrong variable.
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    try:
        return AwsKms(kms_keys[0], also_decrypts=kms_keys[1:])
    except ImportError as error:
        fail(str(error))
    except Exception as error:  # noqa: BLE001 (botocore's are many: no region, no profile)
        fail(
            f"AWS KMS cannot be used: {type(error).__name__}; check --kms-key, and the region, profile and endpoint in "
            "the variables AWS_... and the files of AWS"
        )

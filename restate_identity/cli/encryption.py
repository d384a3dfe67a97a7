"""`encryption`: encrypts and decrypts single values; `keygen` and `serve` are in modules of their own."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from restate_identity.cli.codec_server import serve
from restate_identity.cli.complaints import fail
from restate_identity.cli.journal_keygen import keygen
from restate_identity.cli.journal_keys import journal_keys_options, provider_with
from restate_identity.cli.journal_values import encrypted_value_in, read_value
from restate_identity.cli.options import FILE
from restate_identity.cli.printing import printable


@click.group(short_help="Encrypt and decrypt values of the journal.")
def encryption() -> None:
    """Make keys for the encryption of the journal, and encrypt or decrypt single values.

    \b
    Examples:
      restate-identity encryption keygen
      restate-identity encryption decrypt --local-keys journal-keys.txt - < copied.txt
      restate-identity encryption encrypt --local-keys journal-keys.txt --raw input.json > body
    """


@encryption.command(short_help="Encrypt a value.")
@journal_keys_options
@click.option("--raw", is_flag=True, help="Print the bytes, not base64.")
@click.argument("file", type=FILE, default="-")
def encrypt(local_keys: str | None, kms_keys: tuple[str, ...], raw: bool, file: str) -> None:
    """Encrypt a value, which is read from FILE or from standard input, and print it in base64.

    \b
    Example:
      restate-identity encryption encrypt --local-keys journal-keys.txt --raw input.json |
        curl --data-binary @- --header content-type:application/json http://127.0.0.1:8080/Greeter/greet
    """
    provider = provider_with(local_keys, kms_keys)
    from restate_identity.encryption import EncryptionError, JournalEncryption

    value = read_value(file)
    try:
        with _log_held_back():
            sealed = asyncio.run(JournalEncryption.create(provider)).encode(value)
    except EncryptionError as error:
        fail(str(error))
    if raw:
        _write_bytes(sealed)
    else:
        click.echo(base64.b64encode(sealed))


@encryption.command(short_help="Decrypt a value, copied from the UI or from sys_journal.")
@journal_keys_options
@click.argument("file", type=FILE, default="-")
def decrypt(local_keys: str | None, kms_keys: tuple[str, ...], file: str) -> None:
    """Decrypt a value, which is read from FILE or from standard input, never from the command line.

    It may be the bare bytes, base64, hexadecimal digits, or a list of numbers; or a whole entry, as the columns raw and
    entry_json of sys_journal have it.

    \b
    Example:
      restate-identity encryption decrypt --local-keys journal-keys.txt - < copied.txt
    """
    provider = provider_with(local_keys, kms_keys)
    from restate_identity.encryption import EncryptionError
    from restate_identity.encryption.opening import decrypted

    value = encrypted_value_in(read_value(file))
    try:
        plaintext = asyncio.run(decrypted(provider, value))
    except EncryptionError as error:
        fail(str(error))
    _write_bytes(plaintext)


encryption.add_command(keygen)
encryption.add_command(serve)


@contextmanager
def _log_held_back() -> Iterator[None]:
    """Log nothing: what the log would say is the message of the error."""
    logger = logging.getLogger("restate_identity")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _write_bytes(value: bytes) -> None:
    if sys.stdout is not None and sys.stdout.isatty():
        click.echo(printable(value.decode("utf-8", "backslashreplace")))
    else:
        click.echo(value, nl=False)

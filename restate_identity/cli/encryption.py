"""`encryption`: makes keys for encrypted values, and encrypts and decrypts single ones."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from restate_identity._redaction import shown
from restate_identity._regular_file import shown_path
from restate_identity.cli.codec_server import serve
from restate_identity.cli.complaints import fail
from restate_identity.cli.journal_keys import journal_keys_options, provider_with
from restate_identity.cli.journal_values import encrypted_value_in, read_value
from restate_identity.cli.new_files import write_new, write_through
from restate_identity.cli.options import FILE
from restate_identity.cli.printing import printable

DEFAULT_FILE = "journal-keys.txt"


@click.group(short_help="Encrypt and decrypt values of the journal.")
def encryption() -> None:
    """Make keys for the encryption of the journal, and encrypt or decrypt single values.

    \b
    Examples:
      restate-identity encryption keygen
      restate-identity encryption decrypt --local-keys journal-keys.txt - < copied.txt
      restate-identity encryption encrypt --local-keys journal-keys.txt --raw input.json > body
    """


@encryption.command(short_help="Make a file with a local key, or add a key to it.")
@click.option("--out", type=FILE, help=f"The file to make. It must not exist.  [default: {DEFAULT_FILE}]")
@click.option("--append", type=FILE, help="The file to add the key to, at its end, where it only decrypts.")
@click.option("--id", "key_id", metavar="NAME", help="The id of the key.  [default: the date]")
def keygen(out: str | None, append: str | None, key_id: str | None) -> None:
    """Make a local key, for restate_identity.encryption.LocalKeys. Only the owner can read the file.

    The first key of a file encrypts, and all decrypt. To rotate, add a key with --append, give the file to all
    services, and then move the key to the top.

    \b
    Examples:
      restate-identity encryption keygen
      restate-identity encryption keygen --append journal-keys.txt
    """
    from restate_identity.encryption.errors import EncryptionError
    from restate_identity.encryption.local_key_file import KEY_SIZE, is_key_id, line_of, read_local_keys

    if out is not None and append is not None:
        raise click.UsageError("--out and --append exclude each other: choose one.")
    key_id = time.strftime("%Y-%m-%d") if key_id is None else key_id
    if not is_key_id(key_id):
        fail(f"{shown(key_id)!r} cannot be the id of a key: use 1 to 64 letters, digits, '.', '-' and '_'")
    line = line_of(key_id, os.urandom(KEY_SIZE)).encode()
    if append is None:
        _make_file(DEFAULT_FILE if out is None else out, line)
        return
    try:
        ids = read_local_keys(append).keys
        if key_id in ids:
            fail(f"{shown_path(append)} has a key with the id {key_id} already: name another one with --id")
        _append(Path(append), line)
    except EncryptionError as error:
        fail(error.hint)
    except OSError as error:
        fail(f"cannot write {shown_path(append)}: {error.strerror}; the file is as it was")
    click.echo(f"added the key {key_id} at the end of {shown_path(append)}, after {', '.join(ids)}", err=True)


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


def _make_file(out: str, content: bytes) -> None:
    if out in ("", "-"):
        fail("--out is the name of a new file: a key is never printed")
    write_new(out, content, instead="add a key to it with --append, or name another file with --out")
    click.echo(
        f"wrote a local key to {shown_path(out)}: whoever has it can read what it encrypts, and without it nobody can",
        err=True,
    )


def _append(path: Path, line: bytes) -> None:
    """Replace the file by one with the line at its end, so that no reader sees half of it."""
    path = path.resolve()
    content = path.read_bytes()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    status = path.stat()
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        # The service may run as another user than the one who adds a key.
        if hasattr(os, "fchown"):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        new.chmod(status.st_mode & 0o777)
        write_through(descriptor, content + (b"" if content.endswith(b"\n") else b"\n") + line)
        new.replace(path)
    except OSError:
        new.unlink()
        raise

"""`encryption keygen`: makes a file with a local key, or adds a key to it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from restate_identity._redaction import shown
from restate_identity._regular_file import shown_path
from restate_identity.cli.complaints import fail
from restate_identity.cli.new_files import write_new, write_through
from restate_identity.cli.options import FILE

DEFAULT_FILE = "journal-keys.txt"


@click.command(short_help="Make a file with a local key, or add a key to it.")
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
        # Nothing is made beside what is no file of keys.
        read_local_keys(append)
        ids = _append(append, key_id, line)
    except EncryptionError as error:
        fail(error.hint)
    except OSError as error:
        fail(f"cannot write {shown_path(append)}: {error.strerror}; the file is as it was")
    click.echo(f"added the key {key_id} at the end of {shown_path(append)}, after {', '.join(ids)}", err=True)


def _make_file(out: str, content: bytes) -> None:
    if out in ("", "-"):
        fail("--out is the name of a new file: a key is never printed")
    write_new(out, content, instead="add a key to it with --append, or name another file with --out")
    click.echo(
        f"wrote a local key to {shown_path(out)}: whoever has it can read what it encrypts, and without it nobody can",
        err=True,
    )


def _append(file: str, key_id: str, line: bytes) -> list[str]:
    """Replace *file* by one with the line at its end, so that no reader sees half of it; return the ids before it."""
    path = Path(file).resolve()
    # All give it the same name, so only one at a time can make it.
    new = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        fail(f"{shown_path(new)} exists: another keygen is at work, so try again; if it was killed, remove that file")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            ids, content = _with_another(file, key_id, line)
            status = path.stat()
            # The service may run as another user than the one who adds a key.
            if hasattr(os, "fchown"):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            new.chmod(status.st_mode & 0o777)
            write_through(opened, content)
        new.replace(path)
    except BaseException:
        new.unlink()
        raise
    return ids


def _with_another(file: str, key_id: str, line: bytes) -> tuple[list[str], bytes]:
    """Return the ids in *file*, and its content with the line at its end."""
    from restate_identity.encryption.local_key_file import MAX_FILE_SIZE, read_local_keys

    ids = list(read_local_keys(file).keys)
    if key_id in ids:
        fail(f"{shown_path(file)} has a key with the id {key_id} already: name another one with --id")
    content = Path(file).read_bytes()
    content += (b"" if content.endswith(b"\n") else b"\n") + line
    if len(content) > MAX_FILE_SIZE:
        fail(f"{shown_path(file)} is full: it may have {MAX_FILE_SIZE} bytes; remove comments, or keys no longer used")
    return ids, content

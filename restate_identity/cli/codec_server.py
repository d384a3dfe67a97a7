"""`encryption serve`: a small server that encrypts and decrypts values for people."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import click

from restate_identity._redaction import shown
from restate_identity._regular_file import read_regular_file, shown_path
from restate_identity.cli.complaints import fail, warn
from restate_identity.cli.journal_keys import journal_keys_options, provider_with
from restate_identity.cli.options import FILE

TOKEN_VARIABLE = "RESTATE_ENCRYPTION_TOKEN"


@click.command("serve", short_help="Run a server that encrypts and decrypts values.")
@journal_keys_options
@click.option("--listen", default="127.0.0.1:9002", show_default=True, metavar="host:port|unix:/path")
@click.option("--token-file", type=FILE, metavar="FILE", help=f"The file with the bearer token.  [{TOKEN_VARIABLE}]")
@click.option("--allow-origin", metavar="https://host", help="The origin of the UI whose scripts may read the answers.")
def serve(
    local_keys: str | None,
    kms_keys: tuple[str, ...],
    listen: str,
    token_file: str | None,
    allow_origin: str | None,
) -> None:
    """Answer POST /encrypt and POST /decrypt with the bare bytes of the value, for everybody who has the token.

    The token is at least 16 characters, in a file or in RESTATE_ENCRYPTION_TOKEN, and goes into the header
    "Authorization: Bearer ...". Whoever has it can read everything that is encrypted with these keys. The server speaks
    no TLS. It runs until SIGTERM or SIGINT.

    \b
    Example:
      restate-identity encryption serve --local-keys journal-keys.txt --token-file token.txt
    """
    try:
        from restate_identity.edge.listening import is_reachable_from_outside, listener, serve_edge
    except ImportError as error:
        fail(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    provider = provider_with(local_keys, kms_keys)
    from restate_identity.encryption import JournalEncryption
    from restate_identity.encryption.codec_server import CodecServer, checked_access

    token = _token(token_file)
    try:
        checked_access(token, allow_origin)
    except ValueError as error:
        fail(str(error))
    try:
        if is_reachable_from_outside(listen):
            warn(
                f"--listen {shown(listen)} can be reached from other machines, and the token and the values cross the "
                "network in the clear: put a proxy with TLS in front"
            )
        with listener(listen) as listening:
            # This may wait for the key provider, so it comes when nothing else can be wrong.
            codec = asyncio.run(JournalEncryption.create(provider))
            application = CodecServer(codec, token=token, origin=allow_origin)
            serve_edge(application, listening, behind="", health_port=None, metrics_port=None, status_host="")
    except ValueError as error:
        fail(f"--listen {shown(listen)}: {error}")
    except OSError as error:
        fail(f"cannot listen on {shown(listen)}: {error.strerror or error}")


def _token(file: str | None) -> str:
    if file is None:
        if TOKEN_VARIABLE not in os.environ:
            fail(f"there is no token: pass --token-file, or set {TOKEN_VARIABLE}")
        return os.environ[TOKEN_VARIABLE].strip()
    try:
        return read_regular_file(Path(file), limit=4096).content.decode().strip()
    except OSError as error:
        fail(f"cannot read {shown_path(file)}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{shown_path(file)} has no token in it: it is not text")

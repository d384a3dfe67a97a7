"""`keygen` and `public-key`: make a private key, and print the identity key of a private key."""

from __future__ import annotations

import sys

import click

from restate_identity._redaction import shown
from restate_identity._regular_file import shown_path
from restate_identity.cli.complaints import fail
from restate_identity.cli.manifests import is_object_name, manifests
from restate_identity.cli.new_files import write_new
from restate_identity.cli.options import FILE
from restate_identity.cli.reading import read_signer
from restate_identity.signing import RequestSigner


@click.command(short_help="Make a private key, and print its identity key.")
@click.option("--out", type=FILE, help="The file to make. It must not exist.  [default: private.pem]")
@click.option("--kubernetes", "name", metavar="NAME", help="Print a Secret and a ConfigMap of this name instead.")
def keygen(out: str | None, name: str | None) -> None:
    """Make a private key for the Restate server, and print the identity key for the service.

    Only the owner can read the file. Set RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE to it for the
    server, and configure the service with the printed key.

    With --kubernetes, no file is made. The Secret has the private key for the server, as private.pem; the ConfigMap has
    the identity key for the services, in a file called keys.

    \b
    Examples:
      restate-identity keygen
      restate-identity keygen --out secrets/private.pem > identity-key.txt
      restate-identity keygen --kubernetes restate-identity | kubectl apply --filename -
    """
    if name is not None:
        if out is not None:
            raise click.UsageError("--out and --kubernetes exclude each other: choose one.")
        _print_manifests(name)
        return
    out = "private.pem" if out is None else out
    if out in ("", "-"):
        fail("--out is the name of a new file: a private key is never printed")
    signer = RequestSigner.generate()
    write_new(out, signer.to_pem(), instead="remove it, or name another file with --out")
    click.echo(f"wrote the private key to {shown_path(out)}; the service needs only this:", err=True)
    click.echo(signer.public_key)


@click.command("public-key", short_help="Print the identity key of a private key.")
@click.argument("pem", type=FILE, metavar="private.pem")
def public_key(pem: str) -> None:
    """Print the identity key, publickeyv1_..., of a private key. "-" reads the PEM from standard input.

    \b
    Examples:
      restate-identity public-key private.pem
      openssl genpkey -algorithm ed25519 | restate-identity public-key -
    """
    click.echo(read_signer(pem).public_key)


def _print_manifests(name: str) -> None:
    if not is_object_name(name):
        fail(f"{shown(name)!r} cannot be the name of a Secret: use lower-case letters, digits, '-' and '.'")
    if sys.stdout is not None and sys.stdout.isatty():
        fail("a private key is not printed on a terminal: pipe it, for instance into kubectl apply --filename -")
    click.echo(manifests(name, RequestSigner.generate()), nl=False)

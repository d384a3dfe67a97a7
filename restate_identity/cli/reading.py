"""Read the input of a command from arguments, files, standard input and the environment."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from restate_identity._headers import TOKEN_HEADER
from restate_identity._regular_file import shown_path
from restate_identity.cli.complaints import NAME, fail, warn
from restate_identity.cli.pasted import Pasted, pasted
from restate_identity.errors import InvalidKeyError
from restate_identity.keyring import VARIABLES, verifier_from_environment
from restate_identity.keys import PublicKey
from restate_identity.paths import mismatch, signed_path
from restate_identity.signing import RequestSigner
from restate_identity.verifier import IdentityVerifier

# Four times the largest token that a verifier reads, and far more than a PEM needs.
MAX_INPUT = 64 * 1024


def require_path(path: str) -> None:
    """Fail if *path* cannot be the path of a request."""
    if not path.startswith("/"):
        fail("--path is the path of the request and must begin with /, for instance /invoke/Greeter/greet")


def warn_of_unusable(path: str) -> None:
    """Print a warning if every guard refuses a token for *path*."""
    problem = mismatch(signed_path(path), path)
    if problem is None:
        return
    if "?" in path:
        problem = "a query is never signed; omit it from --path"
    warn(f"every guard refuses this token: {problem}")


def path_of(url: str, what: str) -> str:
    """Return the decoded path of *url*. Fail with *what* if it is not an HTTP URL, or contains a user or password."""
    try:
        address = urlsplit(url)
        is_valid = address.username is None
        is_valid &= address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        fail(f"{what} and begins with http:// or https://, without user and password")
    return unquote(address.path)


def read_token(argument: str) -> Pasted:
    """Return the token in *argument*, and the signature scheme if it is there too; "-" reads standard input."""
    text = _read_stdin().decode("ascii", "replace") if argument == "-" else argument
    if len(text) > MAX_INPUT:
        fail(f"this is not a token: it has more than {MAX_INPUT} characters, but Restate's have a few hundred")
    text = text.strip()
    if not text:
        fail(f"there is no token: pass the value of the header {TOKEN_HEADER}")
    if argument != "-" and os.path.isfile(text):  # noqa: PTH113 (Path.is_file raises an error for a name that is too long)
        fail("this is the name of a file, not a token: to read the file, write - < FILE")
    return pasted(text)


def _read_stdin() -> bytes:
    if sys.stdin is None:
        fail("there is no standard input to read from")
    try:
        return sys.stdin.buffer.read(MAX_INPUT + 1)
    except OSError as error:
        fail(f"cannot read standard input: {error.strerror}")


def verifier_with(identity_keys: Sequence[PublicKey]) -> IdentityVerifier:
    """Return a verifier with *identity_keys*, or if there are none, with those of the environment, as for a service."""
    if identity_keys:
        return IdentityVerifier(identity_keys)
    if not any(name in os.environ for name in VARIABLES):
        fail(f"there is no key to verify with: pass --identity-key, or set {' or '.join(VARIABLES[:2])}")
    try:
        return verifier_from_environment(os.environ)
    except (ValueError, ImportError) as error:
        fail(str(error))


def read_signer(pem: str) -> RequestSigner:
    """Return a signer with the private key in the file *pem*; "-" reads standard input."""
    name = "standard input" if pem == "-" else shown_path(pem)
    try:
        content, may_others_use_it = (_read_stdin(), False) if pem == "-" else _read_file(pem)
        if len(content) > MAX_INPUT:
            fail(f"{name} is not a PEM file: it has more than {MAX_INPUT} bytes")
        signer = RequestSigner.from_pem(content)
    except OSError as error:
        fail(f"cannot read {name}: {error.strerror}; pass the private key's PEM file")
    except InvalidKeyError as error:
        fail(f"{name}: {error}; make a new one with: {NAME} keygen")
    if may_others_use_it:
        shown_name = click.format_filename(pem)
        warn(f"others can use {shown_name}; run: chmod 600 {shlex.quote(shown_name)}")
    return signer


def _read_file(path: str) -> tuple[bytes, bool]:
    """Return the first bytes of a file, and whether others than its owner have access to it."""
    with Path(path).open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        # Windows has no such permissions.
        has_permissions = hasattr(os, "getuid") and stat.S_ISREG(mode)
        return file.read(MAX_INPUT + 1), has_permissions and bool(mode & 0o077)

"""`inspect`: what a token says, proven or not."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from restate_identity.cli.complaints import fail
from restate_identity.cli.exit_status import NO, YES
from restate_identity.cli.options import identity_key_option
from restate_identity.cli.printing import printable, show, shown_value, words
from restate_identity.cli.reading import read_token
from restate_identity.errors import VerificationError
from restate_identity.keys import PublicKey
from restate_identity.tokens import TokenAuthenticator


@click.command()
@identity_key_option(required=False)
@click.argument("token", metavar="TOKEN|-")
def inspect(token: str, identity_keys: tuple[PublicKey, ...]) -> int:
    """Show what a token says: JOSE header, claims, times. "-" reads it from standard input. Header lines are fine, too.

    Without --identity-key nothing of it is proven: anybody can write a token. With it, the exit status is 1 if none of
    the keys signed the token.

    \b
    Examples:
      restate-identity inspect - < token.txt
      restate-identity inspect --identity-key publickeyv1_... - < token.txt
    """
    text = read_token(token).token
    parts = text.split(".")
    if len(parts) != 3:
        fail(f"a token has three parts joined by dots, this text has {len(parts)}: pass the value of x-restate-jwt-v1")
    header, claims = _members(parts[0], "JOSE header"), _members(parts[1], "payload")
    now = time.time()
    rows = [("JOSE header", ""), *((f"  {name}", shown_value(value)) for name, value in header.items()), ("Claims", "")]
    for name, value in claims.items():
        told = f"{value}  {_when(value, now)}" if name in ("exp", "iat", "nbf") and type(value) is int else ""
        rows.append((f"  {name}", told or shown_value(value)))
    width = max(len(printable(name)) for name, _ in rows) + 2
    show(*(f"{printable(name):<{width}}{told}".rstrip() for name, told in rows))
    show(f"Window       {_window(claims, now)}")
    if not identity_keys:
        show(Text("Signature    not checked, so nothing above is proven: pass --identity-key", style="yellow"))
        return YES
    try:
        identity = TokenAuthenticator(identity_keys).authenticate(text)
    except VerificationError as error:
        show(Text(f"Signature    REFUSED, {error}", style="red"))
        return NO
    show(Text(f"Signature    holds: signed by {identity.key}", style="green"))
    return YES


def _members(part: str, what: str) -> dict[str, Any]:
    """Return the members of a part of a token, also of one that no verifier would take."""
    try:
        members = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        fail(f"the token's {what} is not a JSON object in base64url: was the token cut while copying?")
    return members


def _when(seconds: int, now: float) -> str:
    try:
        local = datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ")
    except (ValueError, OverflowError, OSError):
        return "not a date"
    distance = seconds - now
    return f"{local}, in {words(distance)}" if distance > 0 else f"{local}, {words(-distance)} ago"


def _window(claims: dict[str, Any], now: float) -> str:
    not_before, expires_at = claims.get("nbf"), claims.get("exp")
    if type(not_before) is not int or type(expires_at) is not int:
        return "none: nbf and exp are not both times in whole seconds"
    if now < not_before:
        return "not yet valid by this machine's clock"
    if now >= expires_at:
        return "expired by this machine's clock"
    return "open by this machine's clock"

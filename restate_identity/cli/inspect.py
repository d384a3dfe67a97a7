"""`inspect`: shows the content of a token, whether its signature is checked or not."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime
from typing import Any

import click

from restate_identity.cli.complaints import fail
from restate_identity.cli.exit_status import NO, YES
from restate_identity.cli.options import identity_key_option, json_option
from restate_identity.cli.printing import bad, doubtful, good, printable, show, shown_value, words
from restate_identity.cli.reading import read_token
from restate_identity.errors import VerificationError
from restate_identity.identity import Identity
from restate_identity.keys import PublicKey
from restate_identity.tokens import TokenAuthenticator

# The state of a token's validity window: the value in JSON, and the text for people.
_WINDOWS = {
    "none": "none: nbf and exp are not both times in whole seconds",
    "not_yet_valid": "not yet valid by this machine's clock",
    "expired": "expired by this machine's clock",
    "open": "open by this machine's clock",
}


@click.command(short_help="Show what a token says, and whether its signature is right.")
@identity_key_option
@json_option
@click.argument("token", metavar="TOKEN|-")
def inspect(token: str, identity_keys: tuple[PublicKey, ...], as_json: bool) -> int:
    """Show the content of a token: JOSE header, claims, times. "-" reads standard input. Header lines are accepted too.

    Without --identity-key, the signature is not checked, and anybody can write such a token. With it, the exit status
    is 1 if none of the keys signed the token.

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
    verdict = _verdict(text, identity_keys)
    if as_json:
        _print_json(header, claims, verdict)
    else:
        _show(header, claims, verdict)
    return NO if isinstance(verdict, VerificationError) else YES


def _members(part: str, what: str) -> dict[str, Any]:
    """Return the members of a part of a token, even of a token that every verifier refuses."""
    try:
        members = json.loads(base64.urlsafe_b64decode(part + "=="))
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        fail(f"the token's {what} is not a JSON object in base64url: was the token cut while copying?")
    return members


def _verdict(text: str, identity_keys: tuple[PublicKey, ...]) -> Identity | VerificationError | None:
    """Return the identity or the error from checking the signature; None if there are no keys."""
    if not identity_keys:
        return None
    try:
        return TokenAuthenticator(identity_keys).authenticate(text)
    except VerificationError as error:
        return error


def _print_json(header: dict[str, Any], claims: dict[str, Any], verdict: Identity | VerificationError | None) -> None:
    signature: dict[str, Any] = {"holds": None if verdict is None else isinstance(verdict, Identity)}
    if isinstance(verdict, VerificationError):
        signature.update(reason=verdict.reason, hint=verdict.hint)
    told = {"header": header, "claims": claims, "window": _window(claims, time.time()), "signature": signature}
    try:
        click.echo(json.dumps(told, allow_nan=False))
    except ValueError:
        fail("the token contains a number that JSON cannot express: omit --json")


def _show(header: dict[str, Any], claims: dict[str, Any], verdict: Identity | VerificationError | None) -> None:
    now = time.time()
    rows = [("JOSE header", ""), *((f"  {name}", shown_value(value)) for name, value in header.items()), ("Claims", "")]
    for name, value in claims.items():
        told = f"{value}  {_when(value, now)}" if name in ("exp", "iat", "nbf") and type(value) is int else ""
        rows.append((f"  {name}", told or shown_value(value)))
    width = max(len(printable(name)) for name, _ in rows) + 2
    show(*(f"{printable(name):<{width}}{told}".rstrip() for name, told in rows))
    show(f"Window       {_WINDOWS[_window(claims, now)]}")
    if verdict is None:
        show(doubtful("Signature    not checked, so nothing above is proven: pass --identity-key"))
    elif isinstance(verdict, VerificationError):
        show(bad(f"Signature    REFUSED, {verdict}"))
    else:
        show(good(f"Signature    holds: signed by {verdict.key}"))


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
        return "none"
    if now < not_before:
        return "not_yet_valid"
    return "expired" if now >= expires_at else "open"

"""`doctor`: shows which keys a service trusts, what checks signatures, and whether the clock is right."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from restate_identity._ed25519 import ED25519_IMPLEMENTATION, accelerator_file
from restate_identity._regular_file import shown_path
from restate_identity.cli.clock import seconds_ahead_of
from restate_identity.cli.exit_status import NO, YES
from restate_identity.cli.options import json_option
from restate_identity.cli.printing import bad, doubtful, good, printable, show, words
from restate_identity.cli.reading import path_of
from restate_identity.errors import Reason
from restate_identity.keyring import KEYS_FILE_VARIABLE, LOOKALIKES, VARIABLES, verifier_from_environment
from restate_identity.signing import DEFAULT_LEEWAY


@click.command(short_help="Check the keys and the clock of a service's environment.")
@click.option("--url", help="A URL of the Restate server, not of the service: the clocks are compared.")
@json_option
def doctor(url: str | None, as_json: bool) -> int:
    """Read the environment as a service does: which keys are in force, from where, and is the clock right?

    The exit status is 1 if a service would not start, or if the clocks differ so much that it would refuse everything.

    \b
    Examples:
      restate-identity doctor
      RESTATE_IDENTITY_KEYS_FILE=/etc/restate/keys restate-identity doctor --url http://127.0.0.1:9070
    """
    if url is not None:
        path_of(url, "--url is a URL of your Restate server")
    keys = _keys()
    # Read the keys first, because asking for the clock may fail.
    if not as_json:
        _show_keys(keys)
    clock = None if url is None else _clock(seconds_ahead_of(url))
    if as_json:
        implementation = {"ed25519": ED25519_IMPLEMENTATION, "ed25519_file": accelerator_file}
        click.echo(json.dumps({"keys": keys, **implementation, "clock": clock}))
    elif clock is not None:
        _show_clock(clock)
    return YES if keys["sound"] and (clock is None or clock["sound"]) else NO


def _keys() -> dict[str, Any]:
    present = [name for name in VARIABLES if name in os.environ]
    found: dict[str, Any] = {"sound": True, "variable": present[0] if present else None, "file": None}
    if found["variable"] == KEYS_FILE_VARIABLE:
        found["file"] = shown_path(os.environ[KEYS_FILE_VARIABLE].strip())
    unread = [*present[1:], *(name for name in LOOKALIKES if name in os.environ)]
    try:
        keys = [str(key) for key in verifier_from_environment(os.environ).keys]
    except (ValueError, ImportError) as error:
        return {**found, "sound": False, "keys": [], "not_read": unread, "problem": str(error)}
    return {**found, "keys": keys, "not_read": unread, "problem": None}


def _show_keys(found: dict[str, Any]) -> None:
    if found["problem"] is not None:
        show(bad(f"Keys    PROBLEM: {printable(found['problem'])}"))
        return
    file = "" if found["file"] is None else f", the file {found['file']}"
    show(f"Keys    from {found['variable']}{file}")
    show(*(good(f"        {key}  sound") for key in found["keys"]))
    module = "" if accelerator_file is None else f", {shown_path(accelerator_file)}"
    show(f"        signatures are checked by {ED25519_IMPLEMENTATION}{module}")
    if found["not_read"]:
        show(doubtful(f"        also set, and not read: {', '.join(found['not_read'])}"))


def _clock(ahead: float) -> dict[str, Any]:
    refused = None
    if ahead >= DEFAULT_LEEWAY:
        refused = Reason.EXPIRED
    elif ahead <= -DEFAULT_LEEWAY:
        refused = Reason.NOT_YET_VALID
    return {"sound": refused is None, "seconds_ahead": round(ahead, 1), "refused_as": refused}


def _show_clock(found: dict[str, Any]) -> None:
    ahead = found["seconds_ahead"]
    if abs(ahead) < 2:  # a Date has whole seconds
        show(good("Clock   the same as the server's"))
        return
    difference = f"{words(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's"
    if found["sound"]:
        show(doubtful(f"Clock   {difference}; tokens allow for {DEFAULT_LEEWAY} seconds"))
        return
    told = f"Clock   PROBLEM: {difference}: every request is refused as {found['refused_as']}; synchronise them"
    show(bad(told))

"""`doctor`: which keys a service would trust in this environment, and whether its clock is right."""

from __future__ import annotations

import os

import click
from rich.text import Text

from restate_identity._regular_file import shown_path
from restate_identity.cli.clock import seconds_ahead_of
from restate_identity.cli.exit_status import NO, YES
from restate_identity.cli.printing import printable, show, words
from restate_identity.cli.reading import path_of
from restate_identity.errors import Reason
from restate_identity.keyring import KEYS_FILE_VARIABLE, VARIABLES, verifier_from_environment
from restate_identity.signing import DEFAULT_LEEWAY

# Easily taken for the first variable. Only code that names it reads it.
NEVER_READ = ("RESTATE_IDENTITY_KEY",)


@click.command()
@click.option("--url", help="A URL of your Restate server: the clocks are compared.")
def doctor(url: str | None) -> int:
    """Read the environment as a service does: which keys are in force, from where, and is the clock right?

    The exit status is 1 if a service would not start, or if the clocks differ so much that it would refuse everything.

    \b
    Examples:
      restate-identity doctor
      RESTATE_IDENTITY_KEYS_FILE=/etc/restate/keys restate-identity doctor --url http://127.0.0.1:9070
    """
    if url is not None:
        path_of(url, "--url is a URL of your Restate server")
    verdicts = [_diagnose_keys()]
    if url is not None:
        verdicts.append(_diagnose_clock(url))
    return max(verdicts)


def _diagnose_keys() -> int:
    present = [name for name in VARIABLES if name in os.environ]
    try:
        verifier = verifier_from_environment(os.environ)
    except (ValueError, ImportError) as error:
        show(Text(f"Keys    PROBLEM: {printable(str(error))}", style="red"))
        return NO
    origin = present[0]
    if origin == KEYS_FILE_VARIABLE:
        origin += f", the file {shown_path(os.environ[origin].strip())}"
    show(f"Keys    from {origin}")
    show(*(Text(f"        {key}  sound", style="green") for key in verifier.keys))
    unread = [*present[1:], *(name for name in NEVER_READ if name in os.environ)]
    if unread:
        show(Text(f"        also set, and not read: {', '.join(unread)}", style="yellow"))
    return YES


def _diagnose_clock(url: str) -> int:
    ahead = seconds_ahead_of(url)
    if abs(ahead) < 2:  # a Date has whole seconds
        show(Text("Clock   the same as the server's", style="green"))
        return YES
    difference = f"{words(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's"
    if abs(ahead) < DEFAULT_LEEWAY:
        show(Text(f"Clock   {difference}; tokens allow for {DEFAULT_LEEWAY} seconds", style="yellow"))
        return YES
    refused = Reason.EXPIRED if ahead > 0 else Reason.NOT_YET_VALID
    show(Text(f"Clock   PROBLEM: {difference}: every request is refused as {refused}; synchronise them", style="red"))
    return NO

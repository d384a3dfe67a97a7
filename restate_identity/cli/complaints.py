"""Print errors and warnings as one line each, without repeating secrets."""

from __future__ import annotations

from typing import NoReturn

import click

from restate_identity._redaction import may_be_secret

NAME = "restate-identity"


def fail(message: str) -> NoReturn:
    """End the command with *message* and exit status 2."""
    raise click.ClickException(message)


def warn(message: str) -> None:
    """Print *message* to standard error, and continue."""
    click.echo(f"{NAME}: warning: {message}", err=True)


def as_line(error: click.ClickException) -> str:
    """Return the message of *error* as one line; or the help, if no command was named."""
    message = error.format_message()
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return f"{NAME}: {message}"
    if not message or isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.ctx.get_help()
    if isinstance(error, click.NoSuchOption) and "-----BEGIN" in message:
        message = "this is a PEM, which must be in a file: pass the name of the file, or - for standard input."
    return f"{error.ctx.command_path}: {_redacted(message)} Try: {error.ctx.command_path} --help"


def _redacted(message: str) -> str:
    """Return click's *message*, which quotes unknown arguments, without words that may be a secret."""
    words = message.split()
    hidden = [place for place, word in enumerate(words) if may_be_secret(word)]
    if hidden:
        words[hidden[0] : hidden[-1] + 1] = ["(not repeated, as it may be a secret)"]
    return " ".join(words)

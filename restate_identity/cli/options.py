"""The options and arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from restate_identity.errors import InvalidKeyError
from restate_identity.keys import PublicKey

_Command = TypeVar("_Command", bound=Callable[..., Any])

FILE = click.Path()
"""The name of a file, which shells complete. Whether the file exists is checked when it is opened."""


def identity_key_option(command: _Command) -> _Command:
    """Add the option for the keys to trust to *command*."""
    option = click.option(
        "--identity-key",
        "identity_keys",
        callback=_parsed,
        multiple=True,
        metavar="publickeyv1_...",
        help="A key to trust, or several, separated by commas; it may be repeated.",
    )
    return option(command)


def private_key_option(command: _Command) -> _Command:
    """Add the option for the private key to sign with to *command*."""
    option = click.option(
        "--key",
        "pem",
        type=FILE,
        required=True,
        metavar="private.pem",
        help="The private key, an unencrypted PKCS#8 PEM.",
    )
    return option(command)


def prefix_option(command: _Command) -> _Command:
    """Add the option for what stands before the signed path to *command*."""
    option = click.option(
        "--prefix",
        default="",
        metavar="/restate",
        help="What stands before /discover and /invoke in the path that the proxy sees; nothing by default.",
    )
    return option(command)


def json_option(command: _Command) -> _Command:
    """Add the option to print JSON to *command*."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(command)


def as_options(message: str, command: click.Command) -> str:
    """Return *message* with the names of arguments replaced by options: `tunnel_name=...` by `--tunnel-name`."""
    names = {str(param.name): param.opts[0] for param in command.params if isinstance(param, click.Option)}
    # Some arguments are also ordinary words, so match only where a message names an argument.
    spoken = re.compile(rf"(?:(?<=^)|(?<=pass )|(?<= or )|(?<=\())({'|'.join(names)})\b(?:=\.\.\.)?")
    return spoken.sub(lambda found: names[found[1]], message)


def _parsed(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[PublicKey, ...]:
    try:
        return tuple(PublicKey.parse(word) for text in texts for word in text.replace(",", " ").split() or [text])
    except InvalidKeyError as error:
        message = str(error)
        raise click.BadParameter(message if message.endswith("?") else f"{message}.", ctx, param) from None

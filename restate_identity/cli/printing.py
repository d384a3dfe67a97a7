"""Print lines: with colours on a terminal, plain for programs, and without control characters from untrusted text."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(*lines: str | Text | Table) -> None:
    """Print *lines*, with colours if standard output is a terminal."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),
        force_terminal=is_terminal,
        width=None if is_terminal else sys.maxsize,  # programs read lines, and do not want them folded or cut
        highlight=False,
        markup=False,
        emoji=False,
    )
    with console.capture() as capture:
        for line in lines:
            console.print(line, soft_wrap=True)
    click.echo("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()), nl=False, color=True)


def good(text: str) -> Text:
    """Return *text* in the colour of what is as it should be."""
    return Text(text, style="green")


def doubtful(text: str) -> Text:
    """Return *text* in the colour of what to look at."""
    return Text(text, style="yellow")


def bad(text: str) -> Text:
    """Return *text* in the colour of what is wrong."""
    return Text(text, style="red")


def printable(text: str) -> str:
    """Return untrusted *text* with control characters, bidirectional marks and lone surrogates escaped.

    Otherwise they could change what the terminal shows.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown_value(value: Any) -> str:
    """Return *value*, from a token, as one printable line."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def words(seconds: float) -> str:
    """Return a duration in words, rounded to one unit."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if round(seconds) >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return "1 second" if round(seconds) == 1 else f"{round(seconds)} seconds"

"""Print the table at the end of the demo: request, answer, reason, and whether that was expected."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One request and its outcome."""

    sender: str
    sent: str
    came_back: str
    reason: str
    as_expected: bool


def print_table(rows: Sequence[Row]) -> None:
    """Print *rows*, aligned; in colour on a terminal."""
    green, red, plain = ("\033[32m", "\033[1;31m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
    titles = ("FROM", "WHAT WAS SENT", "CAME BACK", "REASON IN THE LOG", "VERDICT")
    lines = [(*row[:4], "ok" if row.as_expected else "NOT AS EXPECTED") for row in rows]
    widths = [max(map(_width, column)) for column in zip(titles, *lines, strict=True)]
    print(_aligned(titles, widths))
    print("  ".join("-" * width for width in widths))
    for line, row in zip(lines, rows, strict=True):
        print(f"{green if row.as_expected else red}{_aligned(line, widths)}{plain}")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _width(text: str) -> int:
    # An emoji or a CJK character takes two columns.
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)

"""The normalisers of other languages: one process for each language, with all paths at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ran

HERE = Path(__file__).parent

# By the program that must be there.
COMMANDS = {
    "node": ("node", "--no-deprecation", os.fspath(HERE / "normalise.mjs")),
    "go": ("go", "run", os.fspath(HERE / "normalise.go")),
    "java": ("java", os.fspath(HERE / "Normalise.java")),
}


class Normalised(NamedTuple):
    """What the normalisers of a language made of paths: by name, in the order of the paths; None for a refusal."""

    readers: dict[str, list[str | None]]
    writers: dict[str, list[str | None]]


def normalised(program: str, paths: Sequence[str]) -> Normalised:
    """Have *program* normalise *paths*."""
    # A main program outside of any module, built by the Go that is here.
    env = {**os.environ, "GO111MODULE": "off", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    done = ran(*COMMANDS[program], input="".join(f"{path.encode().hex()}\n" for path in paths), env=env, seconds=300)
    assert done.returncode == 0, f"{program} failed:\n{done.stderr[-2000:]}"
    first, second, *lines = ([*map(_decoded, line.split(" "))] for line in done.stdout.splitlines())
    assert len(lines) == len(paths)
    columns = dict(zip([*first, *second], ([*column] for column in zip(*lines, strict=True)), strict=True))
    return Normalised(*({str(name): columns[name] for name in names} for names in (first, second)))


def _decoded(word: str) -> str | None:
    return None if word == "!" else bytes.fromhex(word).decode(errors="backslashreplace")

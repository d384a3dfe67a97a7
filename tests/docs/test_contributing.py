"""``CONTRIBUTING.md`` names every folder and every module, and nothing that is gone."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
FILES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    check=True,
    capture_output=True,
    encoding="utf-8",
).stdout.splitlines()


def named_under(heading: str) -> list[str]:
    """Return the names in the first column of the table with this first heading."""
    table = PAGE.split(f"| {heading} | its one job |\n", 1)[1].split("\n\n", 1)[0]
    return [name for row in table.splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])]


def folders_in(prefix: str) -> set[str]:
    """Return the names of the folders directly below *prefix*."""
    below = (file.removeprefix(prefix) for file in FILES if file.startswith(prefix))
    return {path.split("/")[0] for path in below if "/" in path}


def modules_in(package: str) -> set[str]:
    """Return the names of the modules of *package*, and of the packages in it."""
    names = (file.removeprefix(f"{package}/") for file in FILES if file.startswith(f"{package}/"))
    return {name.split("/")[0].removesuffix(".py") for name in names if name.endswith(".py")}


@pytest.mark.parametrize(
    ("heading", "existing"),
    [
        ("folder", folders_in("")),
        ("folder in `tests`", folders_in("tests/")),
        ("module", modules_in("restate_identity")),
        ("module in `cli`", modules_in("restate_identity/cli") - {"__init__"}),
    ],
)
def test_every_folder_and_module_is_named_once_and_none_that_is_gone(heading: str, existing: set[str]) -> None:
    assert sorted(named_under(heading)) == sorted(existing)


def test_the_modules_stand_in_the_order_in_which_they_may_import_each_other() -> None:
    contract = (ROOT / "pyproject.toml").read_text("utf-8").split("layers = [\n", 1)[1].split("]", 1)[0]
    layers = [re.findall(r"restate_identity\.(\w+)", line) for line in contract.splitlines()]
    ranks = {name: rank for rank, layer in enumerate(reversed(layers)) for name in layer}
    order = [ranks[name] for name in named_under("module") if name in ranks]
    assert len(order) == len(ranks)
    assert order == sorted(order)

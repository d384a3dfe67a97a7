"""Every change of a public name or signature shows in the diff of ``tests/public_api.txt``."""

from __future__ import annotations

import importlib
import re
from difflib import unified_diff

import pytest

from tests.public_api import FILE, PACKAGE, exported, public_api
from tests.support import ROOT

# Their names are public as names of `restate_identity`. And the command is no module to import.
NOT_BY_THEMSELVES = {"errors", "identity", "keys", "paths", "tokens", "verifier", "cli"}


def test_the_public_names_and_signatures_are_those_that_were_agreed() -> None:
    agreed, found = FILE.read_text("utf-8"), public_api()
    if agreed != found:
        lines = unified_diff(agreed.splitlines(), found.splitlines(), "agreed", "found", lineterm="", n=1)
        pytest.fail(
            "the public API is another one. If that is meant: python -m tests.public_api, and a line in CHANGELOG.md\n"
            + "\n".join(lines),
            pytrace=False,
        )


def test_every_module_is_public_or_says_by_an_underscore_that_it_is_not() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    shown = {module.rpartition(".")[2] for module in exported()} - {"restate_identity"}
    assert {module for module in modules if not module.startswith("_")} == shown | NOT_BY_THEMSELVES


@pytest.mark.parametrize("module", exported())
def test_a_module_has_what_it_exports(module: str) -> None:
    assert all(hasattr(importlib.import_module(module), name) for name in exported()[module])


def test_the_page_on_the_api_lists_exactly_what_the_modules_export() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    listed: dict[str, set[str]] = {}
    for module, options in re.findall(r"^\.\. automodule:: (\S+)\n((?:   :.*\n)*)", page, flags=re.MULTILINE):
        members = re.search(r":members:(.*)", options)
        names = members[1].replace(",", " ").split() if members else []
        listed[module] = set(names or exported()[module])
    for name in re.findall(r"^\.\. auto(?:data|class|function|exception):: (\S+)", page, flags=re.MULTILINE):
        listed.setdefault(name.rpartition(".")[0], set()).add(name.rpartition(".")[2])
    assert listed == {module: set(names) for module, names in exported().items()}

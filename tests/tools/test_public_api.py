"""A change of a public name or signature is meant: it shows in the diff of ``tests/public_api.txt``."""

from __future__ import annotations

from difflib import unified_diff

import pytest

import restate_identity
from tests.public_api import FILE, public_api


def test_the_public_names_and_signatures_are_those_that_were_agreed() -> None:
    agreed, found = FILE.read_text("utf-8"), public_api()
    if agreed != found:
        lines = unified_diff(agreed.splitlines(), found.splitlines(), "agreed", "found", lineterm="", n=1)
        pytest.fail(
            "the public API is another one. If that is meant: python -m tests.public_api, and a line in CHANGELOG.md\n"
            + "\n".join(lines),
            pytrace=False,
        )


def test_what_the_package_exports_is_in_it() -> None:
    [package, *_] = public_api().split("\n\n")
    assert package.split() == ["restate_identity", *restate_identity.__all__]

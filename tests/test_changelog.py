"""CHANGELOG.md keeps to the form of Keep a Changelog."""

from __future__ import annotations

import re
from pathlib import Path

CHANGELOG = (Path(__file__).parent.parent / "CHANGELOG.md").read_text()


def test_what_is_unreleased_comes_first_and_releases_are_dated() -> None:
    first, *releases = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    assert first == "[Unreleased]"
    for release in releases:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\S*\] - \d{4}-\d{2}-\d{2}", release)


def test_changes_stand_under_the_allowed_kinds_only() -> None:
    kinds = re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)
    assert kinds
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

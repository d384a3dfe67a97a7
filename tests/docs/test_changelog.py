"""The changelog has the form of https://keepachangelog.com/en/1.1.0/."""

from __future__ import annotations

import re

from packaging.version import Version

import restate_identity
from tests.support import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text("utf-8")
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
SECTIONS = re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", TEXT, flags=re.MULTILINE)
RELEASES = [Version(name.partition(" - ")[0]) for name, _ in SECTIONS[1:]]


def test_what_is_not_released_yet_comes_first() -> None:
    assert TEXT.startswith("# Changelog\n")
    assert SECTIONS[0][0] == "Unreleased"


def test_the_version_of_the_package_is_the_newest_release_or_is_not_released_yet() -> None:
    version = Version(restate_identity.__version__)
    assert all(version >= release for release in RELEASES)
    assert version in RELEASES or SECTIONS[0][1].strip(), "nothing says what is in it"


def test_changes_are_lists_under_the_kinds_that_the_form_knows_each_once() -> None:
    for name, body in SECTIONS:
        kinds = re.findall(r"^### (.*)$", body, flags=re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds], name
        for line in body.splitlines():
            assert re.match(r"$|### |- \S|  \S", line), f"{name}: {line}"

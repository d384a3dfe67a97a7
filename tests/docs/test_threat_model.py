"""Every test that the threat model names as evidence exists."""

from __future__ import annotations

import re

from tests.support import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
EVIDENCE = re.findall(r"`((?:tests|demo)/[\w/]+\.py)` ((?:\"[^\"]+\"(?:, )?)+)", PAGE)


def test_every_case_that_is_named_is_in_the_file_that_is_named() -> None:
    assert len(EVIDENCE) >= 20
    for file, cases in EVIDENCE:
        text = (ROOT / file).read_text("utf-8")
        for case in re.findall(r"\"([^\"]+)\"", cases):
            assert case in text, f"{case} is not in {file}"


def test_every_attack_and_every_vulnerability_has_its_evidence() -> None:
    for heading in ("## Who attacks", "## What happened"):
        rows = re.findall(r"^\|(.*)\|$", PAGE.split(heading)[1].split("\n## ")[0], flags=re.MULTILINE)[2:]
        assert len(rows) >= 9
        for row in rows:
            assert "`tests/" in row or "`demo/" in row or "out of scope" in row, row

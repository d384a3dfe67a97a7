import json
from pathlib import Path

import pytest

from restate_identity import signed_path

CASES = json.loads((Path(__file__).parent / "vectors" / "signed_path.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["path"] or "(empty)" for case in CASES])
def test_the_signed_part_of_a_path_follows_the_rule(case: dict[str, str]) -> None:
    assert signed_path(case["path"]) == case["signed"], case["comment"]


def test_only_the_end_of_a_very_long_path_counts() -> None:
    assert signed_path("/x" * 1_000_000 + "/invoke/a/b") == "/invoke/a/b"

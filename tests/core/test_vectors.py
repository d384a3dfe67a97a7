"""The language-neutral suite of `tests/vectors`, case by case, and the files themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from restate_identity import Identity, IdentityVerifier, InvalidKeyError, Reason, VerificationError
from tests.support import ROOT
from tests.vectors.ed25519 import BASE, NEUTRAL, ORDER_2, ORDER_4, ORDER_8, L, secret_scalar
from tests.vectors.forge import OWN, TIME
from tests.vectors.generate import GROUPS, recorded, rendered, stored, suite
from tests.vectors.twins import differences

VECTORS = ROOT / "tests" / "vectors"
FILES = {name: stored(name) for name in (*GROUPS, "recorded")}
CASES = {case["id"]: case for file in FILES.values() for case in file["cases"]}


def judged(case: dict[str, Any], *, later: float = 0) -> Identity | str:
    """What becomes of the request of *case*: an identity, or the reason of the refusal."""
    try:
        verifier = IdentityVerifier(case["keys"], clock=lambda: case["time"] + later)
    except InvalidKeyError:
        return "invalid_key"
    except ValueError:
        return "no_key"
    try:
        return verifier.verify(case["path"], [(name, value) for name, value in case["headers"]])
    except VerificationError as error:
        return error.reason.value


def refusal(case: dict[str, Any], *, later: float = 0) -> str | None:
    outcome = judged(case, later=later)
    return outcome if isinstance(outcome, str) else None


@pytest.mark.parametrize("name", FILES)
def test_the_verdict_and_the_reason_are_the_expected_ones(name: str) -> None:
    for case in FILES[name]["cases"]:
        outcome = judged(case)
        if case["verdict"] == "valid":
            assert isinstance(outcome, Identity), (case["id"], outcome)
            assert outcome.subject == case["subject"], case["id"]
            assert outcome.key in case["keys"], case["id"]
        else:
            assert outcome == case["reason"], case["id"]


def test_a_refused_case_differs_in_one_thing_from_its_twin_which_is_accepted() -> None:
    refused = [case for case in CASES.values() if case["verdict"] == "invalid"]
    twins = {case["id"]: CASES[case["twin"]] for case in refused if "twin" in case}
    for identifier, twin in twins.items():
        assert twin["verdict"] == "valid", identifier
        assert len(differences(CASES[identifier], twin)) == 1, identifier
    # A key of its own or a path of its own needs a token of its own.
    alone = {case["reason"] for case in refused if case["id"] not in twins}
    assert alone <= {"invalid_key", "no_key", "wrong_audience"}
    assert len(twins) > 0.85 * len(refused)


def test_only_cases_flagged_clock_depend_on_the_exact_second() -> None:
    steady = [case for case in CASES.values() if "clock" not in case["flags"]]
    for case in steady:
        for later in (-15, 15):
            assert refusal(case, later=later) == case["reason"], case["id"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_follows_the_schema(name: str) -> None:
    schema = json.loads((VECTORS / "schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    errors = [error.json_path for error in Draft202012Validator(schema).iter_errors(FILES[name])]
    assert errors == []


def test_the_schema_refuses_a_valid_case_with_a_reason() -> None:
    schema = json.loads((VECTORS / "schema.json").read_text("utf-8"))
    case = {**FILES["genuine"]["cases"][0], "reason": "expired"}
    assert not Draft202012Validator(schema).is_valid({**FILES["genuine"], "cases": [case]})


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_the_generator_writes_bit_for_bit(name: str) -> None:
    file = recorded() if name == "recorded" else suite()[name]
    assert (VECTORS / f"{name}.json").read_text("utf-8") == rendered(file)


def test_no_file_is_left_over_from_a_group_that_is_gone() -> None:
    assert {file.stem for file in VECTORS.glob("*.json")} == {*FILES, "schema", "signed_path", "plain_path"}


def test_the_documentation_counts_the_cases_of_every_file() -> None:
    page = (VECTORS.parent.parent / "docs" / "conformance.md").read_text("utf-8")
    for name, file in FILES.items():
        assert f"| `{name}.json` | {len(file['cases'])} |" in page
    assert f"{len(CASES)} cases in {len(FILES)}" in " ".join(page.split())


def test_ids_are_unique_and_name_their_group() -> None:
    ids = [(name, case["id"]) for name, file in FILES.items() for case in file["cases"]]
    assert len(set(ids)) == len(ids) == len(CASES)
    assert all(identifier.rpartition("-")[0] == name for name, identifier in ids)


def test_every_reason_but_that_of_an_option_has_a_case() -> None:
    reasons = {case["reason"] for case in CASES.values()}
    assert reasons == {reason.value for reason in Reason if reason is not Reason.TOO_OLD} | {
        None,
        "invalid_key",
        "no_key",
    }


def test_the_same_cases_are_made_for_another_second() -> None:
    later = suite(TIME + 1000)
    for name in GROUPS:
        pairs = zip(FILES[name]["cases"], later[name]["cases"], strict=True)
        assert all((a["id"], a["reason"], a["time"] + 1000) == (b["id"], b["reason"], b["time"]) for a, b in pairs)
        for case in later[name]["cases"]:
            assert refusal(case) == case["reason"], case["id"]


def test_the_curve_written_out_for_the_vectors_is_that_of_openssl() -> None:
    assert BASE.times(secret_scalar(OWN.seed)).encoded() == OWN.raw
    assert BASE.times(L) == NEUTRAL
    for order, torsion in ((2, ORDER_2), (4, ORDER_4), (8, ORDER_8)):
        assert torsion.times(order) == NEUTRAL
        assert torsion.times(order // 2) != NEUTRAL

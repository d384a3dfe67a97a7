"""The benchmarks run, measure the right thing, and compute correctly. These tests never check speeds."""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import recording
from benchmarks.contenders import PATH, Contender, ContenderError, ours, prove, python_contenders
from benchmarks.measure import Case, calls, interleave
from benchmarks.signed import LEEWAY, KeyPair
from benchmarks.workloads import WORKLOADS
from restate_identity import IdentityVerifier
from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.base64url import from_base64url
from tests.support.edge_proxies import INSTALLED

ROUNDS = 2


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--no-node", "--rounds", str(ROUNDS), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    completed = run("--output", str(folder))
    assert completed.returncode == 0, completed.stderr
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("*.json")
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def samples_of(workload: str, result: dict[str, Any]) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = result["workloads"][workload]["samples"]
    return samples


def budgets_of(workload: str, result: dict[str, Any]) -> list[dict[str, Any]]:
    return [budget for budget in result["budgets"] if budget["workload"] == workload]


def test_every_workload_gives_one_sample_of_each_case_in_every_round(result: dict[str, Any]) -> None:
    assert list(result["workloads"]) == list(WORKLOADS)
    for name, workload in result["workloads"].items():
        # Memory is measured once, and so is what an import loads.
        lengths = {case: len(values) for case, values in workload["samples"].items()}
        once = {case for case, length in lengths.items() if length == 1}
        assert {length for case, length in lengths.items() if case not in once} <= {ROUNDS}
        assert bool(once) == (name in ("imports", "memory", "tunnel", "tunnel-client"))


def test_the_verdicts_follow_from_the_raw_samples(result: dict[str, Any]) -> None:
    unjudged = {"servers", "shortcuts", "keys", "objects", "cache"}
    assert {budget["workload"] for budget in result["budgets"]} == set(WORKLOADS) - unjudged
    for budget in result["budgets"]:
        samples = result["workloads"][budget["workload"]]["samples"]
        ratios = []
        for number, value in enumerate(samples[budget["over"]]):
            if budget["less"]:
                value -= samples[budget["less"]][number]
            if budget["under"]:
                value /= samples[budget["under"]][number]
            ratios.append(value / budget["unit"])
        assert budget["per_round"] == pytest.approx(ratios)
        assert budget["median"] == pytest.approx(statistics.median(ratios))
        assert budget["p5"] <= budget["median"] <= budget["p95"]
        kept = budget["median"] >= budget["limit"] if budget["at_least"] else budget["median"] <= budget["limit"]
        assert budget["met"] is kept


def test_a_quick_or_partial_run_keeps_nothing_in_the_tree() -> None:
    results = ROOT / "benchmarks" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    assert run("--only", "keys").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before


def test_whole_requests_are_served_and_counted(result: dict[str, Any]) -> None:
    samples = samples_of("servers", result)
    rates = [name for name in samples if not name.endswith((", p50", ", p99"))]
    assert len(rates) == 2 * 4
    for name in rates:
        halves, tails = samples[f"{name}, p50"], samples[f"{name}, p99"]
        assert len(samples[name]) == len(halves) == len(tails) == ROUNDS
        assert all(half <= tail for half, tail in zip(halves, tails, strict=True))


def test_requests_are_counted_through_the_tunnel_and_without_it(folder: Path, result: dict[str, Any]) -> None:
    samples = samples_of("tunnel", result)
    assert "through the tunnel" in (folder / "tunnel.svg").read_text()
    one = ["through the tunnel, one connection", "through restate.connect, one connection"]
    rates = ["hypercorn, directly", "through the tunnel", *one]
    assert set(samples) == {
        *(f"{name}{series}" for name in rates for series in ("", ", p50", ", p99")),
        "memory of an idle connection, TLS",
    }
    assert all(min(samples[name]) > 0 for name in rates)
    assert len(budgets_of("tunnel", result)) == 3


def test_requests_are_counted_through_the_tunnel_client_nginx_and_neither(result: dict[str, Any]) -> None:
    samples = samples_of("tunnel-client", result)
    for service in ("hypercorn", "granian"):
        for way in ("directly", "through the tunnel client"):
            assert min(samples[f"{service}, {way}"]) > 0
    assert min(samples["granian, through the local port"]) > 0
    assert samples["memory of an idle client"]


def test_each_proxy_is_measured_with_an_edge_and_without(result: dict[str, Any]) -> None:
    samples = samples_of("edge", result)
    for proxy in INSTALLED:
        for case in ("asks nobody", "asks, token seen before", "asks, new tokens"):
            assert min(samples[f"{proxy}: {case}"]) > 0
            assert f"{proxy}: {case}, p99" in samples
    assert len(budgets_of("edge", result)) == 2 + 2 * len(INSTALLED)


def test_the_cases_of_a_round_are_sampled_in_turn_and_the_warm_up_is_dropped() -> None:
    order: list[str] = []

    def case(name: str) -> Case:
        def sample() -> float:
            order.append(name)
            return float(len(order))

        return Case(name, sample)

    assert interleave([case("A"), case("B")], rounds=2, warm_up=1) == {"A": [3.0, 5.0], "B": [4.0, 6.0]}
    assert order == ["A", "B"] * 3


def test_every_contender_accepts_the_genuine_and_refuses_the_forged() -> None:
    pair = KeyPair()
    contenders = python_contenders(pair)
    assert len(contenders) == 8
    stranger = KeyPair()
    for contender in contenders:
        with pytest.raises(ContenderError, match="refuses a genuine token"):
            prove(contender, stranger)


def test_a_contender_that_checks_nothing_is_rejected() -> None:
    lazy = Contender("lazy", lambda request: (request,), lambda _request: None)
    with pytest.raises(ContenderError, match="accepts a token whose signature was changed"):
        prove(lazy, KeyPair())


@pytest.mark.parametrize(
    ("leeway", "judges", "accepted"),
    [
        (1e12, {"time", "audience"}, "that has expired"),
        (0, {"signature", "audience"}, "for another handler"),
    ],
)
def test_a_contender_that_leaves_a_check_out_is_rejected(leeway: float, judges: set[str], accepted: str) -> None:
    pair = KeyPair()
    verifier = IdentityVerifier([pair.public], leeway=leeway)

    def check(path: str, token: str) -> None:
        audience = json.loads(_payload(token))["aud"] if "signature" in judges else path
        verifier.verify_signature(audience, "v1", token)

    careless = Contender("careless", lambda request: (request.path, request.token), check, frozenset(judges))
    with pytest.raises(ContenderError, match=f"accepts a token {accepted}"):
        prove(careless, pair)


def _payload(token: str) -> bytes:
    part = token.split(".")[1]
    return from_base64url(part)


def test_a_refusal_that_is_accepted_is_no_measurement() -> None:
    pair = KeyPair()
    contender = ours([pair.public])
    genuine = contender.arguments([pair.request(PATH)])
    with pytest.raises(AssertionError, match="accepted 1 of 1"):
        calls("refusal", contender.check, lambda: genuine, refuses=True).sample()
    with pytest.raises(Exception, match="missing_scheme"):
        calls("acceptance", contender.check, lambda: [(PATH, None, None)]).sample()


def test_the_tokens_that_are_measured_are_those_of_the_signer() -> None:
    signer = RequestSigner.generate()
    pem = signer.to_pem()
    # The seed is the last 32 bytes of the PKCS#8 form (RFC 8410, 7).
    seed = base64.b64decode(b"".join(pem.splitlines()[1:-1]))[-32:]
    pair = KeyPair(seed)
    for subject in (None, "alice", "ключ"):
        expected = signer.token("/invoke/a/b", subject=subject, now=1_800_000_000, leeway=LEEWAY)
        assert pair.token("/invoke/a/b", subject=subject, now=1_800_000_000) == expected


def test_the_recording_is_genuine_and_half_of_it_goes_to_objects() -> None:
    recorded = recording.read()
    now = 0.0
    verifier = IdentityVerifier([recorded.about["identity_key"]], clock=lambda: now)
    subjects = []
    for request in recorded.requests:
        now = request.at
        subjects.append(verifier.verify_signature(request.path, "v1", request.token).subject)
    of_objects = [subject for subject in subjects if subject is not None]
    assert len(set(of_objects)) == recorded.about["objects"]
    assert len(of_objects) == pytest.approx(len(subjects) / 2, rel=0.02)
    assert verifier.cache_info().hits > 0

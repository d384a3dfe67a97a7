"""The benchmarks run, measure what they say, and their numbers add up. How fast anything was is never judged here."""

from __future__ import annotations

import base64
import json
import shutil
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks import recording
from benchmarks.contenders import PATH, Contender, ContenderError, native, ours, prove, python_contenders
from benchmarks.measure import Case, calls, interleave, per_round, summary
from benchmarks.node_peers import node_contenders
from benchmarks.signed import LEEWAY, KeyPair
from restate_identity import IdentityVerifier
from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.base64url import from_base64url

ROUNDS = 3
# All but those that start servers, which have tests of their own.
WORKLOADS = [
    *("seen", "middleware", "new", "shortcuts", "keys", "refusals"),
    *("recorded", "objects", "cache", "threads", "imports", "memory"),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--no-node", "--rounds", str(ROUNDS), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def result_in(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("*.json")
    result: dict[str, Any] = json.loads(path.read_text())
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("benchmarks")
    only = [argument for name in WORKLOADS for argument in ("--only", name)]
    completed = run(*only, "--output", str(folder))
    assert completed.returncode == 0, completed.stderr
    return completed, folder


@pytest.fixture(scope="module")
def result(finished: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    return result_in(finished[1])


def test_every_workload_gives_one_sample_of_each_case_in_every_round(result: dict[str, Any]) -> None:
    assert list(result["workloads"]) == WORKLOADS
    for name, workload in result["workloads"].items():
        # Memory is measured once, and so is what an import loads.
        lengths = {case: len(values) for case, values in workload["samples"].items()}
        once = {case for case, length in lengths.items() if length == 1}
        assert {length for case, length in lengths.items() if case not in once} <= {ROUNDS}
        assert bool(once) == (name in ("imports", "memory"))


def test_the_verdicts_follow_from_the_raw_samples(result: dict[str, Any]) -> None:
    unjudged = {"shortcuts", "keys", "objects", "cache"}
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


def test_each_verdict_is_printed_beside_its_limit(
    finished: tuple[subprocess.CompletedProcess[str], Path], result: dict[str, Any]
) -> None:
    printed = finished[0].stdout
    table = printed[printed.index("Budgets") :]
    for budget in result["budgets"]:
        (line,) = (line for line in table.splitlines() if line.startswith(f"│ {budget['name']} "))
        median = line.split("│")[4].strip()
        assert median in (f"{budget['median']:.4g}", f"{budget['median']:,.0f}")
        assert ("met" if budget["met"] else "missed") in line


def test_hits_and_misses_add_up_to_the_calls(result: dict[str, Any]) -> None:
    counted = [
        facts
        for name in ("recorded", "objects", "cache")
        for facts in result["workloads"][name]["facts"].values()
        if "hits" in facts
    ]
    assert len(counted) == 1 + 5 + 5
    for facts in counted:
        assert facts["hits"] + facts["misses"] == facts["calls"]
        assert facts["hit rate"] == facts["hits"] / facts["calls"]
        # The caches of these runs hold everything, so every token is checked in full once.
        assert facts["misses"] == facts["distinct tokens"]


def test_the_flood_leaves_no_more_tokens_than_the_cache_may_keep(result: dict[str, Any]) -> None:
    (facts,) = result["workloads"]["memory"]["facts"].values()
    assert facts["kept"] == facts["maxsize"] == result["scale"]["flood_cache"]
    assert facts["hits"] == 0
    assert facts["misses"] == result["scale"]["flood"]


def test_the_versions_of_all_that_was_measured_are_kept(result: dict[str, Any]) -> None:
    for name in ("restate-identity", "restate-sdk", "pynacl", "cryptography", "pyjwt", "joserfc", "authlib", "openssl"):
        assert result["versions"][name]
    assert result["machine"]["processor"]
    assert result["machine"]["python"].endswith(sys.version.split()[0])


def test_the_plots_of_what_was_measured_are_drawn(
    finished: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    plots = {path.stem: path.read_text() for path in finished[1].glob("*.svg")}
    assert set(plots) == set(WORKLOADS) - {"middleware", "imports", "shortcuts"}
    assert all("</svg>" in plot for plot in plots.values())
    assert "this project: verify_signature" in plots["new"]


def test_a_quick_or_partial_run_keeps_nothing_in_the_tree() -> None:
    results = ROOT / "benchmarks" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    assert run("--only", "keys").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before


def test_whole_requests_are_served_and_counted(tmp_path: Path) -> None:
    completed = run("--only", "servers", "--output", str(tmp_path))
    assert completed.returncode == 0, completed.stderr
    samples = result_in(tmp_path)["workloads"]["servers"]["samples"]
    rates = [name for name in samples if not name.endswith((", p50", ", p99"))]
    assert len(rates) == 2 * 4
    for name in rates:
        halves, tails = samples[f"{name}, p50"], samples[f"{name}, p99"]
        assert len(samples[name]) == len(halves) == len(tails) == ROUNDS
        assert all(half <= tail for half, tail in zip(halves, tails, strict=True))


def test_requests_are_counted_through_the_tunnel_and_without_it(tmp_path: Path) -> None:
    completed = run("--only", "tunnel", "--output", str(tmp_path))
    assert completed.returncode == 0, completed.stderr
    result = result_in(tmp_path)
    samples = result["workloads"]["tunnel"]["samples"]
    assert "through the tunnel" in (tmp_path / "tunnel.svg").read_text()
    rates = ["hypercorn, directly", "through the tunnel"]
    assert set(samples) == {
        *(f"{name}{series}" for name in rates for series in ("", ", p50", ", p99")),
        "memory of an idle connection, TLS",
    }
    assert all(min(samples[name]) > 0 for name in rates)
    assert len(result["budgets"]) == 2


def test_the_ratio_is_taken_within_each_round() -> None:
    samples = {"ours": [1.0, 20.0, 3.0], "base": [0.0, 10.0, 1.0], "peer": [2.0, 10.0, 4.0]}
    assert per_round(samples, "ours", None, "peer") == [0.5, 2.0, 0.75]
    assert per_round(samples, "ours", "base", "peer") == [0.5, 1.0, 0.5]


def test_the_cases_of_a_round_are_sampled_in_turn_and_the_warm_up_is_dropped() -> None:
    order: list[str] = []

    def case(name: str) -> Case:
        def sample() -> float:
            order.append(name)
            return float(len(order))

        return Case(name, sample)

    assert interleave([case("A"), case("B")], rounds=2, warm_up=1) == {"A": [3.0, 5.0], "B": [4.0, 6.0]}
    assert order == ["A", "B"] * 3


def test_the_summary_of_a_hundred_rounds_is_their_median_and_percentiles() -> None:
    assert summary([float(value) for value in range(101)]) == (50, 5, 95)


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


def test_distinct_requests_have_distinct_tokens() -> None:
    requests = KeyPair().distinct(PATH, 50)
    assert len({request.token for request in requests}) == 50


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


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    requests = [
        recording.RecordedRequest(1000.25, "/invoke/a/b", "token-1"),
        recording.RecordedRequest(1000.5, "/invoke/a/c", "token-2"),
        recording.RecordedRequest(1000.75, "/invoke/a/b", "token-1"),
        recording.RecordedRequest(1001.5, "/invoke/a/b", "token-1"),
    ]
    recording.write({"started_at": 1000.25}, requests, tmp_path / "recording.gz")
    assert recording.read(tmp_path / "recording.gz").requests == requests
    assert recording.distinct_per_second(requests) == {"/invoke/a/b": [(2, 1), (1, 1)], "/invoke/a/c": [(1, 1)]}


def test_the_contenders_on_node_are_proven_too() -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node is not installed")
    pair = KeyPair()
    with ExitStack() as stack:
        peers, notes = node_contenders(pair, stack)
        assert notes == []
        assert [peer.name for peer in peers] == [
            "TypeScript SDK (Node)",
            "jose (Node)",
            "fast-jwt (Node)",
            "fast-jwt with its cache (Node)",
        ]
        for peer in peers:
            with pytest.raises(ContenderError, match="refuses a genuine token"):
                prove(peer.contender(), KeyPair())
            assert peer.repeated(pair.request(PATH), 2).sample() > 0
            assert peer.distinct(pair.distinct(PATH, 4), 2).sample() > 0


def test_a_token_that_the_native_verifier_tries_last_is_still_accepted() -> None:
    pair = KeyPair()
    prove(native([KeyPair().public, pair.public]), pair)

"""The calls of observers, and the resulting metrics, with the real SDKs."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from restate_identity import Identity, IdentityVerifier, Reason, VerificationError
from restate_identity.guard import RequestGuard
from restate_identity.signing import RequestSigner
from restate_identity.telemetry import Observer, OpenTelemetryObserver, PrometheusObserver
from tests.support import forge
from tests.support.notes import Notes

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]


class Broken:
    """An observer that always fails."""

    def accepted(self, identity: Identity, *, path: str, seconds: float) -> None:
        raise RuntimeError("the collector is down")

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:
        raise ValueError("the collector is down")


def guarded(observer: Observer, **options: Any) -> RequestGuard:
    return RequestGuard(identity_keys=KEYS, observer=observer, **options)


def refuse(guard: RequestGuard, path: str = PATH, scheme: str | None = None, token: str | None = None) -> None:
    with pytest.raises(VerificationError):
        guard.admit(path, scheme, token)


# --- what an observer is told


def test_an_accepted_request_is_told_with_identity_path_and_time() -> None:
    notes = Notes()

    identity = guarded(notes).admit(f"/prefix{PATH}", "v1", SIGNER.token(PATH))

    [(told, path, seconds)] = notes.accepted_requests
    assert (told, path) == (identity, f"/prefix{PATH}")
    assert 0 < seconds < 60
    assert notes.refused_requests == []


def test_a_refused_request_is_told_with_its_error() -> None:
    notes = Notes()

    refuse(guarded(notes), "/x", "v1", SIGNER.token(PATH))

    [(error, path, seconds)] = notes.refused_requests
    assert (error.reason, error.kid, path) == (Reason.WRONG_AUDIENCE, KEYS[0], "/x")
    assert 0 < seconds < 60
    assert notes.accepted_requests == []


def test_a_refused_request_without_a_path_is_told_with_an_empty_one() -> None:
    notes = Notes()

    with pytest.raises(VerificationError):
        guarded(notes).admit(None, "v1", SIGNER.token(PATH))

    assert [path for _, path, _ in notes.refused_requests] == [""]


def test_an_exempt_request_is_not_judged_and_not_told() -> None:
    notes = Notes()

    assert guarded(notes, exempt_paths=["/health"]).admit("/health", None, None) is None

    assert (notes.accepted_requests, notes.refused_requests) == ([], [])


def test_an_observer_that_watches_gets_the_verifier_of_each_guard() -> None:
    class Watching(Notes):
        def watch(self, verifier: IdentityVerifier) -> None:
            verifiers.append(verifier)

    verifiers: list[IdentityVerifier] = []
    observer = Watching()
    guards = [guarded(observer), RequestGuard(verifier=IdentityVerifier(KEYS), observer=observer)]

    assert verifiers == [guard.verifier for guard in guards]


# --- an observer that fails


def test_an_observer_that_fails_changes_no_outcome_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = guarded(Broken())

    for _ in range(3):
        assert guard.admit(PATH, "v1", SIGNER.token(PATH)) is not None
        refuse(guard, PATH, "unsigned")

    (failure,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert failure.getMessage().startswith("the observer failed")
    assert failure.exc_info is not None
    assert "the collector is down" in caplog.text
    assert sum("unsigned" in record.getMessage() for record in caplog.records) == 3


# --- traffic with one of everything


def traffic(observer: Observer) -> RequestGuard:
    """Three accepted requests of two tokens; two of one token that has expired, and one unsigned."""
    guard = guarded(observer)
    now = time.time()
    guard.admit(PATH, "v1", SIGNER.token(PATH, subject="a", now=now))
    guard.admit(PATH, "v1", SIGNER.token(PATH, subject="a", now=now))
    guard.admit(PATH, "v1", SIGNER.token(PATH, subject="b", now=now))
    refuse(guard, PATH, "v1", SIGNER.token(PATH, now=now - 600))
    refuse(guard, PATH, "v1", SIGNER.token(PATH, now=now - 600))
    refuse(guard, PATH, "unsigned")
    return guard


# --- Prometheus


def test_prometheus_counts_outcomes_reasons_and_the_cache() -> None:
    registry = CollectorRegistry()

    guard = traffic(PrometheusObserver(registry))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"restate_identity_{name}", labels)

    assert value("requests_total", outcome="accepted", reason="") == 3
    assert value("requests_total", outcome="refused", reason="expired") == 2
    assert value("requests_total", outcome="refused", reason="unsigned") == 1
    assert value("accepted_total", key=KEYS[0]) == 3
    assert value("cache_lookups_total", result="hit") == guard.verifier.cache_info().hits == 2
    assert value("cache_lookups_total", result="miss") == guard.verifier.cache_info().misses == 3
    assert value("cache_tokens") == guard.verifier.cache_info().currsize == 3
    assert value("verification_duration_seconds_count", outcome="accepted") == 3
    assert value("verification_duration_seconds_count", outcome="refused") == 3
    assert (value("verification_duration_seconds_sum", outcome="accepted") or 0) > 0


def test_prometheus_shows_every_reason_from_the_start_so_that_the_first_refusal_is_an_increase() -> None:
    registry = CollectorRegistry()

    PrometheusObserver(registry)

    page = generate_latest(registry).decode()
    for reason in Reason:
        assert f'restate_identity_requests_total{{outcome="refused",reason="{reason}"}} 0.0' in page


def test_one_prometheus_observer_serves_several_guards() -> None:
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry)

    for _ in range(2):
        guarded(observer).admit(PATH, "v1", SIGNER.token(PATH))

    labels = {"outcome": "accepted", "reason": ""}
    assert registry.get_sample_value("restate_identity_requests_total", labels) == 2


def test_prometheus_shows_which_key_signs_and_an_old_one_at_zero_that_does_not() -> None:
    registry = CollectorRegistry()
    old, new = RequestSigner.generate(), RequestSigner.generate()
    guard = RequestGuard(identity_keys=[old.public_key, new.public_key], observer=PrometheusObserver(registry))

    guard.admit(PATH, "v1", new.token(PATH))

    def accepted(signer: RequestSigner) -> float | None:
        return registry.get_sample_value("restate_identity_accepted_total", {"key": str(signer.public_key)})

    assert (accepted(old), accepted(new)) == (0, 1)


def test_the_cache_of_a_verifier_that_is_gone_is_no_longer_counted() -> None:
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry)
    kept, gone = guarded(observer), guarded(observer)
    for guard in (kept, gone):
        guard.admit(PATH, "v1", SIGNER.token(PATH))
    assert registry.get_sample_value("restate_identity_cache_tokens") == 2

    del guard, gone
    gc.collect()

    assert registry.get_sample_value("restate_identity_cache_tokens") == 1


def test_the_prometheus_clients_own_registry_is_the_default() -> None:
    code = (
        "import prometheus_client as client, restate_identity.telemetry as telemetry\n"
        "telemetry.PrometheusObserver()\n"
        "print('restate_identity_requests_total' in client.generate_latest().decode())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "True"


def test_all_processes_count_together_in_the_clients_multiprocess_mode_but_for_their_caches(tmp_path: Path) -> None:
    work = (
        "from restate_identity.guard import RequestGuard\n"
        "from restate_identity.telemetry import PrometheusObserver\n"
        f"guard = RequestGuard(identity_keys=[{KEYS[0]!r}], observer=PrometheusObserver())\n"
        f"guard.admit({PATH!r}, 'v1', {SIGNER.token(PATH)!r})"
    )
    collect = (
        "from prometheus_client import CollectorRegistry, generate_latest, multiprocess\n"
        "registry = CollectorRegistry()\n"
        "multiprocess.MultiProcessCollector(registry)\n"
        "print(generate_latest(registry).decode())"
    )
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.check_call([sys.executable, "-c", work], env=env)
    metrics = subprocess.check_output([sys.executable, "-c", collect], env=env, text=True)
    assert 'restate_identity_requests_total{outcome="accepted",reason=""} 2.0' in metrics
    assert "restate_identity_cache" not in metrics


IDENTITY = Identity(KEYS[0], PATH, None, 0, 0, 60)
EXPIRED = VerificationError(Reason.EXPIRED, "too late")


def test_prometheus_gets_durations_in_seconds() -> None:
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry)

    observer.accepted(IDENTITY, path=PATH, seconds=0.25)
    observer.refused(EXPIRED, path=PATH, seconds=0.5)

    for outcome, seconds in (("accepted", 0.25), ("refused", 0.5)):
        total = "restate_identity_verification_duration_seconds_sum"
        assert registry.get_sample_value(total, {"outcome": outcome}) == seconds


# --- OpenTelemetry


Metered = tuple[OpenTelemetryObserver, Callable[[], dict[str, Any]]]


@pytest.fixture
def metered() -> Iterator[Metered]:
    """An observer, and a function that collects its metrics by name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])

    def collected() -> dict[str, Any]:
        data = reader.get_metrics_data()
        assert data is not None
        [scope] = data.resource_metrics[0].scope_metrics
        assert scope.scope.name == "restate_identity"
        return {metric.name.removeprefix("restate_identity."): metric for metric in scope.metrics}

    yield OpenTelemetryObserver(provider), collected
    provider.shutdown()


def test_opentelemetry_counts_outcomes_reasons_and_the_cache(metered: Metered) -> None:
    observer, collected = metered

    _kept = traffic(observer)

    metrics = collected()
    counts = {
        (name, *sorted((point.attributes or {}).items())): getattr(point, "count", None) or point.value
        for name, metric in metrics.items()
        for point in metric.data.data_points
    }
    assert counts == {
        ("requests", ("outcome", "accepted")): 3,
        ("requests", ("outcome", "refused"), ("reason", "expired")): 2,
        ("requests", ("outcome", "refused"), ("reason", "unsigned")): 1,
        ("accepted", ("key", KEYS[0])): 3,
        ("cache.lookups", ("result", "hit")): 2,
        ("cache.lookups", ("result", "miss")): 3,
        ("cache.tokens",): 3,
        ("verification.duration", ("outcome", "accepted")): 3,
        ("verification.duration", ("outcome", "refused")): 3,
    }
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "requests": "{request}",
        "accepted": "{request}",
        "verification.duration": "s",
        "cache.lookups": "{lookup}",
        "cache.tokens": "{token}",
    }


def test_opentelemetry_gets_durations_in_seconds_with_buckets_of_microseconds(metered: Metered) -> None:
    observer, collected = metered

    observer.accepted(IDENTITY, path=PATH, seconds=0.25)
    observer.refused(EXPIRED, path=PATH, seconds=0.5)

    points = collected()["verification.duration"].data.data_points
    assert {(point.attributes or {})["outcome"]: point.sum for point in points} == {"accepted": 0.25, "refused": 0.5}
    assert all(max(point.explicit_bounds) < 1 for point in points)


def test_opentelemetry_notes_a_refusal_on_the_span_of_the_request() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    guard = guarded(OpenTelemetryObserver(MeterProvider()))

    with provider.get_tracer("server").start_as_current_span("POST"):
        guard.admit(PATH, "v1", SIGNER.token(PATH))
        refuse(guard, "/x", "v1", SIGNER.token(PATH))
        refuse(guard, PATH, "unsigned")

    [span] = exporter.get_finished_spans()
    assert [event.name for event in span.events] == ["restate_identity.refused"] * 2
    signed, unsigned = (dict(event.attributes or {}) for event in span.events)
    assert signed["restate_identity.reason"] == "wrong_audience"
    assert signed["restate_identity.kid"] == KEYS[0]
    assert "/x" in str(signed["restate_identity.hint"])
    assert unsigned["restate_identity.reason"] == "unsigned"
    assert "restate_identity.kid" not in unsigned


def test_opentelemetry_without_an_sdk_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    traffic(OpenTelemetryObserver())
    # The guard logs what an observer raises.
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@pytest.mark.parametrize(
    ("observer", "missing", "needed", "extra"),
    [
        ("OpenTelemetryObserver", "opentelemetry", "OpenTelemetry", "opentelemetry"),
        ("PrometheusObserver", "prometheus_client", "the Prometheus client", "prometheus"),
    ],
)
def test_a_missing_extra_is_named_by_the_import_error(observer: str, missing: str, needed: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules['{missing}'] = None\n"
        f"from restate_identity.telemetry import {observer}\n"
        f"try: {observer}()\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert said == f"{observer} needs {needed}: pip install 'restate-identity[{extra}]'"


def test_no_observer_is_told_a_token() -> None:
    exporter, registry = InMemorySpanExporter(), CollectorRegistry()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    token = forge.token()
    guards = [guarded(OpenTelemetryObserver(MeterProvider())), guarded(PrometheusObserver(registry))]

    with provider.get_tracer("server").start_as_current_span("POST"):
        for guard in guards:
            refuse(guard, PATH, "v1", token)
            refuse(guard, PATH, token, "v1")

    told = "".join(span.to_json() for span in exporter.get_finished_spans()) + generate_latest(registry).decode()
    assert "restate_identity.refused" in told
    assert 'reason="unsupported_scheme"' in told
    for part in token.split("."):
        assert part[:20] not in told

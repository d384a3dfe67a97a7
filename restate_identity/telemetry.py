"""The observer protocol of the guard, and observers for OpenTelemetry and Prometheus.

Both observers write the same metrics. These are their names in Prometheus. Those in OpenTelemetry have dots, as in
``restate_identity.requests``; its Prometheus exporter converts them:

``restate_identity_requests_total``
    Verified requests, by ``outcome`` (``accepted``, ``refused``) and ``reason`` (a `Reason`, if refused).
``restate_identity_accepted_total``
    Accepted requests, by the ``key`` that signed them. During a rotation it shows when the old key is no longer used.
``restate_identity_verification_duration_seconds``
    A histogram of the duration of verification, by ``outcome``.
``restate_identity_cache_lookups_total``
    Cache lookups since the keys were last replaced, by ``result``: ``hit`` if the token was verified before, else
    ``miss``. Read from `IdentityVerifier.cache_info` when the metrics are collected.
``restate_identity_cache_tokens``
    Tokens in the cache, read in the same way.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

from restate_identity.errors import Reason, VerificationError
from restate_identity.identity import Identity
from restate_identity.verifier import IdentityVerifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

__all__ = ["Observer", "OpenTelemetryObserver", "PrometheusObserver"]

# A cached token takes about 1 µs, a signature check 50 µs, an overloaded machine much more.
DURATION_BUCKETS = (1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 1e-2, 1e-1)


class Observer(Protocol):
    """Receives the outcome of every verified request. Requests for exempt paths are not verified.

    The guard calls the methods on the thread, and in the task, that serves the request, before it is answered: they
    must not block. Exceptions in them are logged and do not change the outcome.

    If the observer has a method ``watch(verifier)``, each guard calls it once, with its `IdentityVerifier`.
    """

    def accepted(self, identity: Identity, *, path: str, seconds: float) -> None:
        """Receive a request that was accepted.

        Args:
            identity: The verified identity.
            path: The verified path, decoded.
            seconds: The duration of verification.
        """

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:
        """Receive a request that was refused.

        Args:
            error: The reason of the refusal.
            path: The decoded path, as the caller chose it; empty if it could not be read.
            seconds: The duration of verification.
        """


class _Caches:
    """Adds up the caches of all verifiers that are still in use."""

    def __init__(self) -> None:
        self._verifiers: weakref.WeakSet[IdentityVerifier] = weakref.WeakSet()

    def watch(self, verifier: IdentityVerifier) -> None:
        self._verifiers.add(verifier)

    def lookups(self) -> dict[str, int]:
        infos = [verifier.cache_info() for verifier in self._verifiers]
        return {"hit": sum(info.hits for info in infos), "miss": sum(info.misses for info in infos)}

    def tokens(self) -> int:
        return sum(verifier.cache_info().currsize for verifier in self._verifiers)


class OpenTelemetryObserver:
    """Writes OpenTelemetry metrics, and an event ``restate_identity.refused`` on the current span.

    Needs the extra ``opentelemetry``.

    Args:
        meter_provider: Receives the metrics; the global provider by default.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise ImportError(
                "OpenTelemetryObserver needs OpenTelemetry: pip install 'restate-identity[opentelemetry]'",
                name=error.name,
            ) from error
        self._current_span = trace.get_current_span
        self._caches = caches = _Caches()
        meter = metrics.get_meter("restate_identity", meter_provider=meter_provider)
        self._requests = meter.create_counter(
            "restate_identity.requests", unit="{request}", description="Verified requests."
        )
        self._accepted = meter.create_counter(
            "restate_identity.accepted", unit="{request}", description="Accepted requests, by the key that signed them."
        )
        self._duration = meter.create_histogram(
            "restate_identity.verification.duration",
            unit="s",
            description="How long verification took.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )

        def lookups(_: CallbackOptions) -> Iterable[Observation]:
            return [metrics.Observation(count, {"result": result}) for result, count in caches.lookups().items()]

        def tokens(_: CallbackOptions) -> Iterable[Observation]:
            return [metrics.Observation(caches.tokens())]

        meter.create_observable_counter(
            "restate_identity.cache.lookups", [lookups], unit="{lookup}", description="Tokens looked up in the cache."
        )
        meter.create_observable_gauge(
            "restate_identity.cache.tokens", [tokens], unit="{token}", description="Tokens in the cache."
        )

    def watch(self, verifier: IdentityVerifier) -> None:
        """Report the cache of *verifier* while it is in use."""
        self._caches.watch(verifier)

    def accepted(self, identity: Identity, *, path: str, seconds: float) -> None:  # noqa: ARG002, D102
        self._requests.add(1, {"outcome": "accepted"})
        self._accepted.add(1, {"key": identity.key})
        self._duration.record(seconds, {"outcome": "accepted"})

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: ARG002, D102
        reason = str(error.reason)
        self._requests.add(1, {"outcome": "refused", "reason": reason})
        self._duration.record(seconds, {"outcome": "refused"})
        attributes = {"restate_identity.reason": reason, "restate_identity.hint": error.hint}
        if error.kid is not None:
            attributes["restate_identity.kid"] = error.kid
        self._current_span().add_event("restate_identity.refused", attributes)


class PrometheusObserver:
    """Writes metrics with the Prometheus client. Needs the extra ``prometheus``.

    A registry accepts each metric only once, so use one observer for all guards of a process.

    Args:
        registry: Receives the metrics; the client's global registry by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            from prometheus_client import REGISTRY, Counter, Histogram
        except ImportError as error:
            raise ImportError(
                "PrometheusObserver needs the Prometheus client: pip install 'restate-identity[prometheus]'",
                name=error.name,
            ) from error
        registry = REGISTRY if registry is None else registry
        requests = Counter("restate_identity_requests", "Verified requests.", ["outcome", "reason"], registry=registry)
        self._by_key = Counter(
            "restate_identity_accepted", "Accepted requests, by the key that signed them.", ["key"], registry=registry
        )
        duration = Histogram(
            "restate_identity_verification_duration_seconds",
            "How long verification took.",
            ["outcome"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._caches = _Caches()
        registry.register(_CacheCollector(self._caches))
        # Create all of them at zero: Prometheus sees an increase only if there was a value before.
        self._accepted = requests.labels("accepted", "")
        self._refused = {reason: requests.labels("refused", str(reason)) for reason in Reason}
        self._accepted_duration, self._refused_duration = duration.labels("accepted"), duration.labels("refused")

    def watch(self, verifier: IdentityVerifier) -> None:
        """Report the cache of *verifier* while it is in use, and a count of zero for each of its keys."""
        self._caches.watch(verifier)
        for key in verifier.keys:
            self._by_key.labels(str(key))

    def accepted(self, identity: Identity, *, path: str, seconds: float) -> None:  # noqa: ARG002, D102
        self._accepted.inc()
        self._by_key.labels(identity.key).inc()
        self._accepted_duration.observe(seconds)

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: ARG002, D102
        self._refused[error.reason].inc()
        self._refused_duration.observe(seconds)


class _CacheCollector:
    """Reads the caches when Prometheus collects the metrics."""

    def __init__(self, caches: _Caches) -> None:
        self._caches = caches

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        lookups = CounterMetricFamily(
            "restate_identity_cache_lookups", "Tokens looked up in the cache.", labels=["result"]
        )
        for result, count in self._caches.lookups().items():
            lookups.add_metric([result], count)
        yield lookups
        yield GaugeMetricFamily("restate_identity_cache_tokens", "Tokens in the cache.", self._caches.tokens())

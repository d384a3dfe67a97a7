"""What a guard tells of its work: the observer protocol, and observers for OpenTelemetry and Prometheus.

Both write the same metrics, OpenTelemetry's names being those of Prometheus with dots (its exporter turns one into the
other):

``restate_identity_requests_total``
    Requests that were judged, by ``outcome`` (``accepted``, ``refused``) and ``reason`` (a `Reason`, if refused).
``restate_identity_cache_lookups_total``
    Requests that were accepted, by ``result``: ``hit``, the token was verified before; or ``miss``.
``restate_identity_verification_duration_seconds``
    A histogram of how long judging took, by ``outcome``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from restate_identity.errors import Reason, VerificationError
from restate_identity.identity import Identity

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from prometheus_client import CollectorRegistry

# From a token that is remembered (1 µs) over a signature check (50 µs) to a machine in trouble.
DURATION_BUCKETS = (1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 1e-2, 1e-1)


class Observer(Protocol):
    """Is told of every request that a guard judges. Requests for exempt paths are not judged.

    Its methods are called on the thread, and in the task, that serves the request, before it is answered: they must not
    block. What they raise is logged and does not change the outcome.
    """

    def accepted(self, identity: Identity, *, path: str, seconds: float, cached: bool) -> None:
        """A request was proven to come from Restate.

        Args:
            identity: The verified identity.
            path: The path that was judged.
            seconds: How long judging took.
            cached: Whether the token had been verified before. While another thread verifies a new token in the same
                microsecond, a repeated one may be told as new.
        """

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:
        """A request was refused.

        Args:
            error: Why.
            path: The path that was judged, as the caller sent it.
            seconds: How long judging took.
        """


class OpenTelemetryObserver:
    """Metrics by OpenTelemetry, and an event ``restate_identity.refused`` on the current span. Extra ``opentelemetry``.

    Args:
        meter_provider: Where the metrics go; the global provider by default.
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
        meter = metrics.get_meter("restate_identity", meter_provider=meter_provider)
        self._requests = meter.create_counter(
            "restate_identity.requests", unit="{request}", description="Requests that were judged."
        )
        self._lookups = meter.create_counter(
            "restate_identity.cache.lookups",
            unit="{lookup}",
            description="Accepted requests, by whether their token was verified before.",
        )
        self._duration = meter.create_histogram(
            "restate_identity.verification.duration",
            unit="s",
            description="How long judging a request took.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )

    def accepted(self, identity: Identity, *, path: str, seconds: float, cached: bool) -> None:  # noqa: ARG002, D102
        self._requests.add(1, {"outcome": "accepted"})
        self._lookups.add(1, {"result": "hit" if cached else "miss"})
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
    """Metrics by the Prometheus client. Extra ``prometheus``.

    A registry takes each metric once: give one observer to all guards of a process.

    Args:
        registry: Where the metrics go; the client's global registry by default.
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
        requests = Counter(
            "restate_identity_requests", "Requests that were judged.", ["outcome", "reason"], registry=registry
        )
        lookups = Counter(
            "restate_identity_cache_lookups",
            "Accepted requests, by whether their token was verified before.",
            ["result"],
            registry=registry,
        )
        duration = Histogram(
            "restate_identity_verification_duration_seconds",
            "How long judging a request took.",
            ["outcome"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        # All of them from the start, at zero: Prometheus sees an increase only where there was a value before.
        self._accepted = requests.labels("accepted", "")
        self._refused = {reason: requests.labels("refused", str(reason)) for reason in Reason}
        self._hit, self._miss = lookups.labels("hit"), lookups.labels("miss")
        self._accepted_duration, self._refused_duration = duration.labels("accepted"), duration.labels("refused")

    def accepted(self, identity: Identity, *, path: str, seconds: float, cached: bool) -> None:  # noqa: ARG002, D102
        self._accepted.inc()
        (self._hit if cached else self._miss).inc()
        self._accepted_duration.observe(seconds)

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: ARG002, D102
        self._refused[error.reason].inc()
        self._refused_duration.observe(seconds)

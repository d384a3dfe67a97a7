"""Metrics of the client for Prometheus. Those with ``restate_cloud_tunnel_`` have the names of Restate's own client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from restate_identity._health_server import Page
from restate_identity.errors import VerificationError
from restate_identity.telemetry import PrometheusObserver
from restate_identity.tunnel.client.client import TunnelClient
from restate_identity.tunnel.client.proxies.cloud_proxy import CloudProxy

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
except ImportError as _error:
    raise ImportError(
        "the metrics need the Prometheus client: pip install 'restate-identity[tunnel-client]'", name=_error.name
    ) from _error

_OFFICIAL = "restate_cloud_tunnel"
_OURS = "restate_identity_tunnel_client"


class ClientMetrics(PrometheusObserver):
    """An observer of the client's guard, and the page that shows its metrics and those of the client.

    Args:
        registry: Receives the metrics; one of its own by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry or CollectorRegistry()
        super().__init__(self._registry)
        self._unverified = 0

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: D102
        super().refused(error, path=path, seconds=seconds)
        self._unverified += 1

    def show(self, client: TunnelClient, proxies: Mapping[str, CloudProxy]) -> None:
        """Report *client* and its remote proxies too."""
        self._registry.register(_Collector(client, proxies, lambda: self._unverified))

    @property
    def page(self) -> Page:
        """Returns the content type and the metrics."""
        return lambda: (CONTENT_TYPE_LATEST, generate_latest(self._registry))


class _Collector:
    """Reads the counts when Prometheus asks for them."""

    def __init__(self, client: TunnelClient, proxies: Mapping[str, CloudProxy], unverified: Callable[[], int]) -> None:
        self._client = client
        self._proxies = proxies
        self._unverified = unverified

    def collect(self) -> Iterator[Metric]:
        yield from self._servers()
        counters = self._client.counters
        local = Counter(counters.requests)
        local[401] += self._unverified()
        remote: Counter[int] = sum((proxy.counters.requests for proxy in self._proxies.values()), Counter())
        yield _by_status("local", "Requests from the tunnel, by the status that they were answered with.", local)
        yield _by_status("remote", "Requests to the remote proxies, by the same.", remote)
        yield CounterMetricFamily(
            f"{_OURS}_refused_targets",
            "Requests to a target that is not in the allow-list.",
            value=counters.refused_targets,
        )
        yield CounterMetricFamily(
            f"{_OURS}_broken_responses", "Responses that were reset after they had begun.", value=counters.resets
        )
        refused = CounterMetricFamily(
            f"{_OURS}_remote_proxy_refused", "Requests that a remote proxy refused.", labels=["proxy", "reason"]
        )
        for name, proxy in self._proxies.items():
            for reason in REASONS:
                refused.add_metric([name, reason], proxy.refused[reason])
        yield refused

    def _servers(self) -> Iterator[Metric]:
        opened = GaugeMetricFamily(f"{_OFFICIAL}_opened", "Connections that serve, by server.", labels=["server"])
        draining = GaugeMetricFamily(f"{_OFFICIAL}_draining", "Connections that drain, by server.", labels=["server"])
        attempts = CounterMetricFamily(f"{_OFFICIAL}_connection_attempts", "Dials, by server.", labels=["server"])
        for server, state in self._client.tunnel.servers.items():
            opened.add_metric([server], state.opened)
            draining.add_metric([server], state.draining)
            attempts.add_metric([server], state.attempts)
        yield from (opened, draining, attempts)


REASONS = ("busy", "connections", "host", "malformed", "method", "origin", "slow")
"""Why a remote proxy refuses a request or a connection."""


def _by_status(side: str, description: str, requests: Mapping[int, int]) -> CounterMetricFamily:
    metric = CounterMetricFamily(f"{_OFFICIAL}_{side}_proxy_requests", description, labels=["status"])
    for status, count in sorted(requests.items()):
        metric.add_metric([str(status)], count)
    return metric

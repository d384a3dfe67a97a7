"""The budgets as data: which cases to divide, and the limit of the ratio.

Every ratio divides two samples of the same round. A budget is met if the median of the ratios is within the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.contenders import LIBSODIUM, NATIVE, SEEN
from benchmarks.measure import per_round, summary
from benchmarks.session import Outcome
from benchmarks.workloads import edge, encryption, imports, memory, middleware, refusals, threads, tunnel, tunnel_client
from benchmarks.workloads.checks import EVICTING
from tests.support.edge_proxies import INSTALLED
from tests.support.proxies import is_installed


class Budget(NamedTuple):
    """A limit for (*over* − *less*) ÷ *under* ÷ *unit*, of cases of one workload."""

    name: str
    workload: str
    over: str
    limit: float
    less: str | None = None
    under: str | None = None
    unit: float = 1.0
    """The unit of the result: 1e6 for a time in milliseconds."""
    unit_name: str = "×"
    at_least: bool = False

    @property
    def definition(self) -> str:
        """A description of the measurement."""
        text = f"({self.over} − {self.less})" if self.less else self.over
        return f"{text} ÷ {self.under}" if self.under else text


class Verdict(NamedTuple):
    """A budget with its measured ratio."""

    budget: Budget
    per_round: list[float]
    median: float
    p5: float
    p95: float
    met: bool

    def as_json(self) -> dict[str, Any]:
        """Return the verdict with all its inputs."""
        return {**self.budget._asdict(), **{key: value for key, value in self._asdict().items() if key != "budget"}}


ONE_KEY = "this project, 1 key, new token"

BUDGETS = (
    Budget("token seen before", "seen", SEEN, 1 / 40, under=NATIVE),
    Budget(
        "token seen before, added by the ASGI middleware",
        "middleware",
        middleware.WRAPPED,
        1 / 20,
        less=middleware.BARE,
        under=NATIVE,
    ),
    Budget("new token", "new", SEEN, 1.12, under=LIBSODIUM),
    Budget("new token, every check evicts another", "new", EVICTING, 1.12, under=LIBSODIUM),
    *(
        Budget(f"refusal: {what}", "refusals", f"this project: {what}", 1 / 5, under=LIBSODIUM)
        for what in refusals.BEFORE_CRYPTOGRAPHY
    ),
    Budget(
        "two threads, new tokens",
        "threads",
        f"this project, {threads.named(1)}",
        1.6,
        under=f"this project, {threads.named(2)}",
        at_least=True,
    ),
    Budget("recorded traffic", "recorded", SEEN, 0.7, under=NATIVE),
    Budget(
        "requests a second through the tunnel",
        "tunnel",
        tunnel.THROUGH,
        1.0,
        under=tunnel.DIRECT,
        at_least=True,
    ),
    Budget(
        "requests a second through the tunnel, over restate.connect's",
        "tunnel",
        tunnel.ONE,
        1.6,
        under=tunnel.SDKS,
        at_least=True,
    ),
    Budget("idle connection of the tunnel", "tunnel", tunnel.MEMORY, 1.0, unit=2**20, unit_name="MiB"),
    *(
        Budget(
            f"requests a second through the tunnel client, {service}",
            "tunnel-client",
            tunnel_client.through_client(service),
            limit,
            under=tunnel_client.through_nginx(service),
            at_least=True,
        )
        for service, limit in {"hypercorn": 0.5, "granian": 0.5}.items()
        if is_installed("nginx")
    ),
    Budget("idle tunnel client", "tunnel-client", tunnel_client.MEMORY, 64.0, unit=2**20, unit_name="MiB"),
    Budget("questions a second, token seen before", "edge", edge.SEEN, 0.8, under=edge.BAREST, at_least=True),
    Budget("questions a second, new tokens", "edge", edge.NEW, 0.6, under=edge.BAREST, at_least=True),
    *(
        Budget(f"requests a second, {proxy}", "edge", edge.seen(proxy), 0.85, under=edge.without(proxy), at_least=True)
        for proxy in INSTALLED
    ),
    *(
        Budget(
            f"one request at a time, {proxy}",
            "edge",
            f"{edge.alone(edge.seen(proxy))}, p50",
            1.0,
            less=f"{edge.alone(edge.without(proxy))}, p50",
            unit=1e6,
            unit_name="ms",
        )
        for proxy in INSTALLED
    ),
    *(
        Budget(
            f"encryption, {case} adds to bare AES-GCM",
            "encryption",
            case,
            5,
            less=encryption.bare(case),
            unit=1e3,
            unit_name="µs",
        )
        for size in ("100 B", "1 KiB")
        for case in (encryption.encode(size), encryption.decode(size))
    ),
    *(
        Budget(f"encryption, throughput of {case}", "encryption", encryption.bare(case), 0.9, under=case, at_least=True)
        for size in ("100 KiB", "10 MiB")
        for case in (encryption.encode(size), encryption.decode(size))
    ),
    Budget(
        "import restate_identity.asgi",
        "imports",
        imports.OURS,
        60,
        less=imports.BARE,
        unit=1e6,
        unit_name="ms",
    ),
    Budget("modules of cryptography and jwt it loads", "imports", imports.LOADED, 0, unit_name=""),
    Budget("memory, each entry of the cache", "memory", memory.ENTRY, 1536, unit_name="bytes"),
    Budget("memory, growth over the second half", "memory", memory.GROWTH, 0.05),
)


# With the accelerator in use the same cases have other limits, and the native verifier is the reference.
ACCELERATED = (
    Budget("new token", "new", SEEN, 0.75, under=NATIVE),
    Budget("new token, every check evicts another", "new", EVICTING, 0.8, under=NATIVE),
    *(
        Budget(f"new token, {count} keys", "keys", f"this project, {count} keys, new token", 1.05, under=ONE_KEY)
        for count in (3, 10)
    ),
    Budget(
        "two threads, new tokens",
        "threads",
        f"this project, {threads.named(1)}",
        1.7,
        under=f"this project, {threads.named(2)}",
        at_least=True,
    ),
    Budget("recorded traffic", "recorded", SEEN, 0.25, under=NATIVE),
    Budget(
        "requests a second through uvicorn, all tokens new",
        "servers",
        "uvicorn: middleware, new tokens",
        1.1,
        under="uvicorn: SDK's native check",
        at_least=True,
    ),
    Budget(
        "import, added by the accelerator", "imports", imports.OURS, 5, less=imports.WITHOUT, unit=1e6, unit_name="ms"
    ),
)


def judge(outcomes: Mapping[str, Outcome]) -> list[Verdict]:
    """Return the verdict on every budget whose workload was run."""
    budgets = ACCELERATED if imports.IS_ACCELERATED else BUDGETS
    return [_verdict(budget, outcomes[budget.workload]) for budget in budgets if budget.workload in outcomes]


def _verdict(budget: Budget, outcome: Outcome) -> Verdict:
    ratios = [value / budget.unit for value in per_round(outcome.samples, budget.over, budget.less, budget.under)]
    median, p5, p95 = summary(ratios)
    met = median >= budget.limit if budget.at_least else median <= budget.limit
    return Verdict(budget, ratios, median, p5, p95, met)

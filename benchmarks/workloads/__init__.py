"""The workloads, one module for each, in the order in which they run."""

from __future__ import annotations

from benchmarks.session import Workload
from benchmarks.workloads import (
    checks,
    edge,
    encryption,
    imports,
    memory,
    middleware,
    recorded,
    refusals,
    servers,
    shortcuts,
    skewed,
    threads,
    tunnel,
    tunnel_client,
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("seen", "A token that was seen before", checks.seen),
        Workload("middleware", "A token that was seen before, through ASGI without a server", middleware.run),
        Workload("new", "A new token at every call", checks.new),
        Workload("shortcuts", "What each shortcut of the fast path buys", shortcuts.run),
        Workload("keys", "1, 3 and 10 configured keys, of which the last one signed", checks.keys),
        Workload("refusals", "Requests that must be refused", refusals.run),
        Workload("recorded", "Traffic recorded from a real Restate server", recorded.run),
        Workload("objects", "Virtual objects with Zipf-distributed keys, a token a key and second", skewed.objects),
        Workload("cache", "Sizes of the cache, 10,000 Zipf-distributed keys", skewed.cache_sizes),
        Workload("threads", "New tokens shared by 1, 2 and 4 threads", threads.run),
        Workload("servers", "The whole request through an ASGI server", servers.run),
        Workload("tunnel", "The whole request through the tunnel, and without it under hypercorn", tunnel.run),
        Workload("tunnel-client", "The whole request through the tunnel client, nginx, and neither", tunnel_client.run),
        Workload("edge", "The whole request through a proxy that asks an edge, and the edge alone", edge.run),
        Workload("encryption", "Encryption of the journal, beside bare AES-GCM", encryption.run),
        Workload("imports", "Import in a fresh interpreter", imports.run),
        Workload("memory", "Memory under a flood of distinct valid tokens", memory.run),
    )
}

"""Attack an edge behind each real proxy for long: ``python -m tests.servers.edge --requests 100000``."""

from __future__ import annotations

import argparse
import logging
import time

from restate_identity.signing import RequestSigner
from tests.servers.edge.attacks import Attacker
from tests.support.edge import running_edge, running_service
from tests.support.edge_proxies import INSTALLED, proxy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="through each proxy")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("proxies", nargs="*", default=INSTALLED, metavar="PROXY")
    arguments = parser.parse_args()
    # uvicorn notes each request that it cannot read, and asyncio each connection that is open when a server ends.
    for name in ("restate_identity", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    signer = RequestSigner.generate()
    print(f"seed {arguments.seed}", flush=True)
    for name in arguments.proxies:
        with (
            running_service() as service,
            running_edge(name, signer) as edge,
            proxy(name, edge=edge.port, service=service.port) as port,
        ):
            attacker = Attacker(port, edge, service, signer, arguments.seed)
            attacker.attack(arguments.requests)
            print(
                f"{name}: {attacker.sent:,} requests, {attacker.let_through:,} reached the "
                "service, each with the prefix and the signed path",
                flush=True,
            )


if __name__ == "__main__":
    main()

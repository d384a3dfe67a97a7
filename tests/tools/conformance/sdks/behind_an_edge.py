"""Services of the Go and the Java SDK without keys, called by a real Restate server through each proxy and its edge.

``make conformance-sdks`` runs this after the vectors. What is not installed is left out by name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import mkdtemp

from tests.support.edge_command import edge
from tests.support.edge_proxies import INSTALLED, PREFIX, proxy
from tests.tools.conformance.sdks.without_keys import calling, services


def main() -> int:
    with calling() as caller:
        keys = {"RESTATE_IDENTITY_KEYS": str(caller.signer.public_key)}
        for service in services():
            for name in INSTALLED:
                folder = Path(mkdtemp(dir=caller.folder))
                with (
                    edge(folder, "--behind", name, keys=keys) as (_, port_of_edge, _),
                    proxy(name, edge=port_of_edge, service=service.port) as port,
                ):
                    print(f"{service.label} without keys, behind {name}: {caller.check(port, PREFIX)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

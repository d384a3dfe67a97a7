"""`restate-identity edge`, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.edge_proxies import PREFIX
from tests.support.processes import accepts_connections, free_port, running


class EdgeProcess(NamedTuple):
    """The running command, its port and the file that it logs to."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path


@contextmanager
def edge(folder: Path, *arguments: str, keys: Mapping[str, str], listen: str | None = None) -> Iterator[EdgeProcess]:
    """Run the command, with its log in *folder*.

    Args:
        arguments: After ``--prefix`` and ``--listen``.
        keys: The variables with the keys.
        listen: A free port by default.
    """
    log = folder / "edge.log"
    address = listen or f"127.0.0.1:{free_port()}"
    port = 0 if address.startswith("unix:") else int(address.rpartition(":")[2])
    socket_file = Path(address.removeprefix("unix:"))
    with running(
        [sys.executable, "-m", "restate_identity", "edge", "--prefix", PREFIX, "--listen", address, *arguments],
        log=log,
        env={**os.environ, **keys},
        ready=lambda: accepts_connections(port) if port else socket_file.is_socket(),
    ) as process:
        yield EdgeProcess(process, port, log)

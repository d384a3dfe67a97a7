"""uvicorn with workers, as ``uvicorn --workers`` has them: ``python -m benchmarks.servers.workers WORKERS PORT APP``.

But for one thing. The socket that ``uvicorn --workers`` makes leaves Nagle's algorithm on, where the event loop is
asyncio's: a response, which is written in two pieces, then waits for the client's delayed acknowledgement, 40 ms. With
16 connections that is 400 requests per second, however many workers there are.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from uvicorn.supervisors import Multiprocess


def main(workers: int, port: int, app: str) -> None:
    """Serve until this process is ended."""
    config = uvicorn.Config(app, workers=workers, log_level="warning", access_log=False)
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    # What is accepted from it inherits this.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if workers == 1:
        uvicorn.Server(config).run(sockets=[listener])
    else:
        Multiprocess(config, sockets=[listener]).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

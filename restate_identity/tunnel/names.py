"""The addresses of a host, asked for in a thread of its own.

The loop's default executor belongs to the application. A name server that does not answer keeps a thread for minutes,
and a dial that was given up cannot end it: a few such dials would take all threads of the executor, and keep the
process from ending. So each host has one thread at most, and the process does not wait for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from concurrent.futures import Future

# The questions that are not answered yet, of all loops.
_asked: dict[str, Future[list[str]]] = {}
_lock = threading.Lock()


async def addresses(host: str) -> list[str]:
    """Return the addresses of *host* in the order in which they are to be tried; at least one.

    Raises:
        OSError: It has none, or that is not known.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return await asyncio.wrap_future(_question(host))
    return [host]


def _question(host: str) -> Future[list[str]]:
    with _lock:
        question = _asked.get(host)
        if question is None:
            question = Future()
            # Whoever waits for it may stop waiting; others go on.
            question.set_running_or_notify_cancel()
            threading.Thread(target=_ask, args=(host, question), name="tunnel-names", daemon=True).start()
            _asked[host] = question
    return question


def _ask(host: str, question: Future[list[str]]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        answer, error = list(dict.fromkeys(str(address[0]) for *_, address in found)), None
    except Exception as raised:  # noqa: BLE001 (it is raised where the answer is awaited)
        answer, error = [], raised
    with _lock:
        del _asked[host]
    if error is not None:
        question.set_exception(error)
    elif answer:
        question.set_result(answer)
    else:
        question.set_exception(OSError("the host has no address"))

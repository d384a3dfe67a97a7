"""Look up the addresses of a host, in a dedicated thread.

The event loop's default executor belongs to the application. If a name server does not answer, a lookup can block its
thread for minutes, and cancelling the dial does not end it. A few such lookups would use up the executor's threads and
keep the process from exiting. So there is at most one thread per host, and it is a daemon thread.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from concurrent.futures import Future

# An address that does not answer may take at least this part of the time. A headless service may have hundreds.
_SHARES = 5
# The pending lookups of all event loops.
_asked: dict[str, Future[list[str]]] = {}
_lock = threading.Lock()


async def addresses(host: str) -> list[str]:
    """Return the addresses of *host* in the order in which to try them; at least one.

    Raises:
        OSError: The host has no address, or the lookup failed.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return await asyncio.wrap_future(_question(host))
    return [host]


def share(left: float, count: int) -> float:
    """Return how many of the *left* seconds the dial of the next of *count* addresses may take.

    It leaves time for the others, and however many there are, the first ones have the time that a dial needs.
    """
    return left / min(count, _SHARES)


def _question(host: str) -> Future[list[str]]:
    with _lock:
        question = _asked.get(host)
        if question is None:
            question = Future()
            # A waiter that is cancelled must not cancel the lookup for the others.
            question.set_running_or_notify_cancel()
            threading.Thread(target=_ask, args=(host, question), name="tunnel-names", daemon=True).start()
            _asked[host] = question
    return question


def _ask(host: str, question: Future[list[str]]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        answer, error = list(dict.fromkeys(str(address[0]) for *_, address in found)), None
    except Exception as raised:  # noqa: BLE001 (raised again where the lookup is awaited)
        answer, error = [], raised
    with _lock:
        del _asked[host]
    if error is not None:
        question.set_exception(error)
    elif answer:
        question.set_result(answer)
    else:
        question.set_exception(OSError("the host has no address"))

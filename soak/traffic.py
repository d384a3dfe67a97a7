"""Send genuine, forged and broken-off requests to the servers, each kind from its own threads."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from soak.control import Control, Moment
from soak.tally import Tally
from tests.support.attacks import ADD, attacks
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.support.restate_server import RestateServer
from tests.support.servers import Server

PAUSE = 0.01  # the servers need the processor too


class Traffic:
    """Sends requests of all kinds to one server.

    Args:
        name: The server's name in the table.
    """

    def __init__(self, name: str, server: Server, control: Control, tally: Tally) -> None:
        self._name = name
        self._server = server
        self._control = control
        self._tally = tally
        # Accepted tokens, with the keys and the clock at that moment.
        self._accepted: deque[tuple[Moment, dict[str, str]]] = deque(maxlen=1000)

    def genuine(self) -> None:
        """Send a request that must be accepted, unless its key or the clock changed meanwhile."""
        moment = self._control.moment
        key = f"key {uuid.uuid4().int % 100}"
        headers = moment.signer.headers(ADD, subject=key, now=moment.now)
        status = self._status(headers, key)
        after = self._control.moment
        if status == 200:
            self._tally.count(f"{self._name}: genuine, accepted")
            self._accepted.append((moment, headers))
        elif not moment.is_same_time(after) or after.rotations > moment.rotations + 1:
            self._tally.count(f"{self._name}: genuine, overtaken by a change")
        else:
            self._tally.violation(f"{self._name}: a genuine request was answered with {status}")

    def hostile(self) -> None:
        """Send every attack of the demo."""
        for attack in attacks(self._control.moment.signer):
            answer = self._server.request(attack.path, list(attack.headers))
            judge_forged(self._tally, self._name, attack.what, answer.status)

    def retired(self) -> None:
        """Send requests signed with a replaced key: a new token, and one that was accepted before."""
        signer = self._control.retired
        if signer is not None:
            headers = signer.headers(ADD, subject="key", now=self._control.moment.now)
            judge_forged(self._tally, self._name, "signed by a retired key", self._status(headers, "key"))
        for moment, headers in list(self._accepted)[:20]:
            now = self._control.moment
            is_retired = now.rotations > moment.rotations + 1
            if not is_retired and now.offset == moment.offset:
                continue
            status = self._status(headers, "key")
            if is_retired or now.is_same_time(self._control.moment):
                judge_forged(self._tally, self._name, "replayed after its key or its time", status)

    def broken_off(self) -> None:
        """Send the beginning of a request, forged or genuine, and hang up."""
        moment = self._control.moment
        genuine = moment.signer.headers(ADD, subject="key", now=moment.now)
        forged = {**genuine, "x-restate-jwt-v1": "e30.e30.e30"}
        for headers in (genuine, forged):
            lines = [f"POST {ADD} HTTP/1.1", "host: x", *(f"{name}: {value}" for name, value in headers.items())]
            head = "\r\n".join([*lines, f"content-type: {CONTENT_TYPE}", "content-length: 1000", "", ""]).encode()
            for sent in (head[: len(head) // 2], head, head + b"half a body"):
                with socket.create_connection(("127.0.0.1", self._server.port), timeout=30) as connection:
                    connection.sendall(sent)
                self._tally.count(f"{self._name}: broken off")
                time.sleep(PAUSE)

    def _status(self, headers: dict[str, str], key: str) -> int:
        content = [("content-type", CONTENT_TYPE), *headers.items()]
        return self._server.request(ADD, content, body=invocation_body(key, 1)).status


def judge_forged(tally: Tally, name: str, what: str, status: int) -> None:
    """Count a forgery that *name* refused; anything else is a violation."""
    # Some servers refuse so long a header themselves.
    if status == 401 or (status in (400, 431) and "17,000 characters" in what):
        tally.count(f"{name}: hostile, refused")
    else:
        tally.violation(f"{name}: answered with {status}: {what}")


def ingress(server: RestateServer, tally: Tally) -> None:
    """Call a service through the real server, which retries calls that are refused while the clock is wrong."""
    name = uuid.uuid4().hex
    response = server.invoke("Greeter/greet", name)
    if response.status_code == 200 and name in response.text:
        tally.count("real server: invocations, done")
    else:
        tally.violation(f"real server: an invocation was answered with {response.status_code}")


@contextmanager
def repeating(work: Iterable[Callable[[], None]], tally: Tally, *, pause: float = PAUSE) -> Iterator[None]:
    """Repeat each function of *work* in its own thread until the ``with`` block ends."""
    stop = threading.Event()

    def repeat(what: Callable[[], None]) -> None:
        while not stop.wait(pause):
            try:
                what()
            except Exception as error:  # noqa: BLE001 (whatever it is, it must be seen)
                tally.violation(f"a client failed: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=repeat, args=[what]) for what in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()

"""``make soak``: a real Restate server, uvicorn, gunicorn and the tunnel in mixed traffic; exits with 1 if anything was
wrong.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path

from soak import in_process, tunnel
from soak.control import Control
from soak.signing_server import signing_server
from soak.tally import Tally
from soak.traffic import Traffic, ingress, repeating
from soak.watch import Memory, judge_log
from tests.support import ROOT
from tests.support.processes import accepts_connections, free_port, running
from tests.support.servers import Server
from tests.tunnel.public import HARM

GUNICORN_WORKERS = 3
KEY_INTERVAL, CLOCK_INTERVAL, REPORT_INTERVAL = 3, 2, 20
PLANTS = ("deaf", "unguarded", "error", "leak")


@contextmanager
def served(folder: Path, name: str, arguments: list[str], env: dict[str, str]) -> Iterator[tuple[Server, Memory, Path]]:
    port, log = free_port(), folder / f"{name}.log"
    argv = [sys.executable, "-m", *(argument.format(port=port) for argument in arguments)]
    with running(
        argv,
        log=log,
        env={**os.environ, **env},
        cwd=ROOT,
        ready=lambda: accepts_connections(port),
        patience=2,  # the SDK takes SIGTERM away from uvicorn, which then does not end by itself
    ) as child:
        yield Server(port, log, child.pid), Memory(name, child.pid), log


UVICORN = ["uvicorn", "--host=127.0.0.1", "--port={port}", "--log-level=warning", "soak.asgi_app:app"]
GUNICORN = [
    *("gunicorn", "--bind=127.0.0.1:{port}", f"--workers={GUNICORN_WORKERS}", "--worker-class=gthread", "--threads=4"),
    *("--no-control-socket", "soak.wsgi_app:app"),
]


def soak(seconds: float, tally: Tally, plants: str) -> list[str]:
    """Send traffic for some seconds; return how the memory of the servers did."""
    with signing_server() as (restate, signer, folder):
        control = Control(str(signer.public_key), folder / "state.json")
        env = {
            "SOAK_STATE": str(folder / "state.json"),
            "SOAK_PLANT": plants,
            "DEMO_IDENTITY_KEY": str(signer.public_key),
        }
        with (
            served(folder, "uvicorn", UVICORN, env) as (asgi, asgi_memory, asgi_log),
            served(folder, "gunicorn", GUNICORN, env) as (wsgi, wsgi_memory, wsgi_log),
        ):
            restate.register(f"http://127.0.0.1:{asgi.port}", use_http_11=True).raise_for_status()
            traffic = [Traffic("uvicorn", asgi, control, tally), Traffic("gunicorn", wsgi, control, tally)]
            work: list[Callable[[], None]] = [
                *(one for to in traffic for one in (to.genuine, to.genuine, to.hostile, to.retired, to.broken_off)),
                *[partial(ingress, restate, tally)] * 2,
            ]
            with repeating(work, tally):
                _change(control, seconds, tally, [asgi_memory, wsgi_memory])
        judge_log("uvicorn", asgi_log, tally)
        judge_log("gunicorn", wsgi_log, tally)
        return [f"{memory.name}: memory, {memory.judge(tally)}" for memory in (asgi_memory, wsgi_memory)]


def _change(control: Control, seconds: float, tally: Tally, memories: list[Memory]) -> None:
    started = time.monotonic()
    tick = 0
    while time.monotonic() - started < seconds:
        time.sleep(1)
        tick += 1
        for memory in memories:
            memory.sample()
        if tick % KEY_INTERVAL == 0:
            control.rotate()
            tally.count("key replacements")
        if tick % CLOCK_INTERVAL == 0:
            control.step()
            tally.count("clock steps")
        if tick % REPORT_INTERVAL == 0:
            done = sum(number for what, number in tally.counts.items() if "uvicorn" in what or "gunicorn" in what)
            print(f"{tick:5} s  {done:9,} requests  {tally.violations.total()} violations", flush=True)
    # The real server's last invocations need a clock that is right.
    while control.moment.offset:
        control.step()


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak real servers in mixed traffic.")
    parser.add_argument(
        "--seconds", type=float, default=300, help="how long; half of it again for the tunnel (default: %(default)s)"
    )
    parser.add_argument("--flood", type=int, default=1_000_000, help="forgeries at the cache (default: %(default)s)")
    parser.add_argument(
        "--plant",
        action="append",
        default=[],
        choices=PLANTS,
        help="break an application, to see that it is noticed; repeat it for several",
    )
    arguments = parser.parse_args()
    versions = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("restate-identity", "restate-sdk", "uvicorn", "gunicorn", "pynacl")
    )
    print(f"{arguments.seconds:g} s; {versions}, Python {platform.python_version()}", flush=True)
    tally = Tally()
    in_process.flood(arguments.flood, tally)
    in_process.threads(arguments.seconds / 20, tally)
    plants = ",".join(arguments.plant)
    memory = soak(arguments.seconds, tally, plants)
    memory.append(tunnel.soak(arguments.seconds / 2, tally, plants))
    print()
    for what, number in sorted(tally.counts.items()):
        print(f"{number:12,}  {what}")
    print("".join(f"{'':12}  {line}\n" for line in memory))
    # What did not happen at all was not tested.
    for expected in EXPECTED:
        if not tally.counts[expected]:
            tally.violation(f"none of these: {expected}")
    print(f"{tally.violations.total()} violations")
    for what, number in tally.violations.most_common(50):
        print(f"{number:8,} x {what}")
    return 1 if tally.violations else 0


EXPECTED = (
    "flood: forged tokens, refused",
    "threads: genuine, accepted",
    "threads: forged, refused",
    "threads: key replacements",
    "real server: invocations, done",
    *(
        f"{name}: {what}"
        for name in ("uvicorn", "gunicorn")
        for what in ("genuine, accepted", "hostile, refused", "broken off")
    ),
    "key replacements",
    "clock steps",
    "tunnel: invocations, done",
    "tunnel: objects read back",
    "tunnel: hostile, refused",
    *(f"tunnel: connections, {harm}" for harm in HARM),
)


if __name__ == "__main__":
    sys.exit(main())

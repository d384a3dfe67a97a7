"""``make soak``: run a real Restate server, uvicorn, gunicorn and the tunnel under mixed traffic; exit with 1 if
anything went wrong.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata

from soak import in_process, local_ports, tunnel, tunnel_client
from soak.control import Control
from soak.signing_server import signing_server
from soak.tally import Tally
from soak.traffic import Traffic, ingress, repeating
from soak.watch import Memory, judge_log
from tests.support.servers import gunicorn, serve, uvicorn
from tests.tunnel.public import HARM

GUNICORN_WORKERS = 3
KEY_INTERVAL, CLOCK_INTERVAL, REPORT_INTERVAL = 3, 2, 20
# Seconds, from which on the tunnel client is soaked too: one round of it sends more than a gigabyte.
WITH_THE_CLIENT = 60
PLANTS = ("deaf", "unguarded", "error", "leak")


UVICORN = uvicorn("soak.asgi_app:app")
GUNICORN = gunicorn("soak.wsgi_app:app", f"--workers={GUNICORN_WORKERS}")


def soak(seconds: float, tally: Tally, plants: str) -> list[str]:
    """Send traffic for some seconds; return the memory of the servers over time."""
    with signing_server() as (restate, signer, folder):
        control = Control(str(signer.public_key), folder / "state.json")
        env = {
            "SOAK_STATE": str(folder / "state.json"),
            "SOAK_PLANT": plants,
            "DEMO_IDENTITY_KEY": str(signer.public_key),
        }
        with (
            serve(*UVICORN, env=env, log=folder / "uvicorn.log") as asgi,
            serve(*GUNICORN, env=env, log=folder / "gunicorn.log") as wsgi,
        ):
            memories = [Memory("uvicorn", asgi.pid), Memory("gunicorn", wsgi.pid)]
            restate.register(f"http://127.0.0.1:{asgi.port}", use_http_11=True).raise_for_status()
            traffic = [Traffic("uvicorn", asgi, control, tally), Traffic("gunicorn", wsgi, control, tally)]
            work: list[Callable[[], None]] = [
                *(one for to in traffic for one in (to.genuine, to.genuine, to.hostile, to.retired, to.broken_off)),
                *[partial(ingress, restate, tally)] * 2,
            ]
            with repeating(work, tally):
                _change(control, seconds, tally, memories)
        judge_log("uvicorn", asgi.log, tally)
        judge_log("gunicorn", wsgi.log, tally)
        return [f"{memory.name}: memory, {memory.judge(tally)}" for memory in memories]


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
    # The real server's last invocations succeed only with a correct clock.
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
    in_process.threads(max(1.0, arguments.seconds / 20), tally)
    plants = ",".join(arguments.plant)
    memory = soak(arguments.seconds, tally, plants)
    memory.append(tunnel.soak(arguments.seconds / 2, tally, plants))
    expected = EXPECTED
    if arguments.seconds >= WITH_THE_CLIENT:
        memory.append(tunnel_client.soak(arguments.seconds / 5, tally))
        memory.append(local_ports.soak(arguments.seconds / 5, tally))
        expected += OF_THE_CLIENT
    print()
    tally.print_counts()
    print("".join(f"{'':12}  {line}\n" for line in memory))
    # Something that never happened was not tested.
    for what in expected:
        if not tally.counts[what]:
            tally.violation(f"none of these: {what}")
    tally.print_violations()
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
OF_THE_CLIENT = (
    "tunnel client: one of 1,000 streams at once",
    "tunnel client: 50 MB both ways",
    "tunnel client: a slow reader's body",
    "local port: a small body both ways",
    "local port: 5 MB both ways",
    "local port: a slow reader's body",
    "local port: a caller that vanished",
    "local port: a response that broke off",
)


if __name__ == "__main__":
    sys.exit(main())

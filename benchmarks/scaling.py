"""How many requests a guarded service answers with 1, 2 and 4 workers, and what a million checks cost.

``python -m benchmarks.scaling``, see ``--help``. It prints the tables of ``docs/scaling.md``.

Several clients load uvicorn at once, so that one of them is not what is measured; they share the machine with it. The
bare application and the guarded one take turns, with each number of workers in every round. What a request costs its
worker is counted in processor time too, which tells more than requests per second do where others use the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from time import perf_counter_ns
from typing import NamedTuple

import psutil

from benchmarks import machine
from benchmarks.contenders import PATH
from benchmarks.signed import KeyPair
from benchmarks.workloads.servers import Client, Served
from restate_identity import IdentityVerifier

WORKERS = (1, 2, 4)
CLIENTS = 2
# Distinct tokens that are checked in this process; fewer than the cache keeps.
TOKENS = 1000
# The price of a core for an hour, to multiply with: put your own provider's in.
PRICE = 0.05
APPS = ("bare", "guarded")


class Load(NamedTuple):
    """What a server did under load."""

    rate: float
    """Requests per second."""
    cost: float
    """Microseconds of processor time that a request cost the server."""


class Checks(NamedTuple):
    """Microseconds of one check."""

    seen: float
    new: float


def measure_workers(
    pair: KeyPair, *, workers: Sequence[int], rounds: int, seconds: float
) -> dict[tuple[str, int], Load]:
    """Return the medians of each app with each number of workers."""
    samples: dict[tuple[str, int], list[Load]] = {(app, count): [] for app in APPS for count in workers}
    with ExitStack() as stack:
        clients = [Client(stack) for _ in range(CLIENTS)]
        for client in clients:
            client.keep("seen", [pair.request("/invoke/Greeter/greet")])
        threads = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        served = {
            (app, count): Served(stack, ["benchmarks.servers.workers", str(count)], app, pair) for app, count in samples
        }
        for number in range(rounds + 1):
            for case, loads in samples.items():
                port = served[case].port()
                before = processor_seconds(port)
                answers = list(
                    threads.map(lambda client, p=port: client.load(p, "seen", seconds, expect="200"), clients)
                )
                used = processor_seconds(port) - before
                rate = sum(float(answer["rate"]) for answer in answers)
                count = sum(sum(answer["statuses"].values()) for answer in answers)
                # The first round warms up.
                if number:
                    loads.append(Load(rate, used / count * 1e6))
    return {case: Load(*map(statistics.median, zip(*loads, strict=True))) for case, loads in samples.items()}


def processor_seconds(port: int) -> float:
    """Return the processor time that the server on *port*, our child, and its workers have used so far."""
    (server,) = (child for child in psutil.Process().children() if str(port) in child.cmdline())
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def measure_checks(pair: KeyPair, *, rounds: int) -> Checks:
    """Return the median times of a check in this process: of a token that was seen before, and of a new one."""
    requests = pair.distinct(PATH, TOKENS)
    verifier = IdentityVerifier([pair.public])
    seen: list[float] = []
    new: list[float] = []
    for _ in range(rounds):
        verifier.replace_keys([pair.public])  # forgets what was verified
        for samples in (new, seen):
            started = perf_counter_ns()
            for path, token, _headers in requests:
                verifier.verify_signature(path, "v1", token)
            samples.append((perf_counter_ns() - started) / len(requests) / 1000)
    return Checks(statistics.median(seen), statistics.median(new))


def cost_of_a_million(microseconds: float, price: float) -> float:
    """Return what a million checks of so many *microseconds* cost, a core costing *price* an hour."""
    return microseconds / 3600 * price


def tables(loads: dict[tuple[str, int], Load], checks: Checks, price: float) -> str:
    """Return the tables, in Markdown."""
    described = machine.describe()
    lines = [
        f"{date.today()}, {described['processor']}, {described['cores']} cores, {described['python']}.",
        "",
        "| workers | bare, requests/s | guarded, requests/s | bare, processor µs each | guarded, processor µs each |",
        "|---|---|---|---|---|",
    ]
    for workers in dict.fromkeys(count for _, count in loads):
        bare, guarded = loads["bare", workers], loads["guarded", workers]
        lines.append(f"| {workers} | {bare.rate:,.0f} | {guarded.rate:,.0f} | {bare.cost:,.0f} | {guarded.cost:,.0f} |")
    lines += ["", "| check | µs | seconds of a core for a million | cost of a million |", "|---|---|---|---|"]
    for name, microseconds in (("token seen before", checks.seen), ("new token", checks.new)):
        cost = cost_of_a_million(microseconds, price)
        lines.append(f"| {name} | {microseconds:.3g} | {microseconds:.3g} | ${cost:.2g} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="how many (default: 1 2 4)")
    parser.add_argument("--rounds", type=int, default=5, help="of each case (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load in each (default: %(default)s)")
    parser.add_argument("--price", type=float, default=PRICE, help="of a core for an hour (default: %(default)s)")
    options = parser.parse_args(arguments)
    pair = KeyPair()
    checks = measure_checks(pair, rounds=options.rounds)
    loads = measure_workers(pair, workers=options.workers, rounds=options.rounds, seconds=options.seconds)
    print(tables(loads, checks, options.price))
    return 0


if __name__ == "__main__":
    sys.exit(main())

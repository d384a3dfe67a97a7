"""How many requests a guarded service answers with 1, 2 and 4 workers, and what a million checks cost.

``python -m benchmarks.scaling``, see ``--help``. It prints the tables of ``docs/scaling.md``.

Several clients load uvicorn at once, so that one of them is not what is measured; they share the machine with it. The
bare application and the guarded one take turns, with each number of workers in every round.
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


class Checks(NamedTuple):
    """Microseconds of one check."""

    seen: float
    new: float


def measure_workers(
    pair: KeyPair, *, workers: Sequence[int], rounds: int, seconds: float
) -> dict[tuple[str, int], float]:
    """Return the median requests per second of each app with each number of workers."""
    samples: dict[tuple[str, int], list[float]] = {(app, count): [] for app in APPS for count in workers}
    with ExitStack() as stack:
        clients = [Client(stack) for _ in range(CLIENTS)]
        for client in clients:
            client.keep("seen", [pair.request("/invoke/Greeter/greet")])
        threads = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        served = {
            (app, count): Served(stack, ["benchmarks.servers.workers", str(count)], app, pair) for app, count in samples
        }
        for number in range(rounds + 1):
            for case, rates in samples.items():
                port = served[case].port()
                answers = threads.map(lambda client, p=port: client.load(p, "seen", seconds, expect="200"), clients)
                rate = sum(float(answer["rate"]) for answer in answers)
                # The first round warms up.
                if number:
                    rates.append(rate)
    return {case: statistics.median(rates) for case, rates in samples.items()}


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


def tables(rates: dict[tuple[str, int], float], checks: Checks, price: float) -> str:
    """Return the tables, in Markdown."""
    described = machine.describe()
    lines = [
        f"{date.today()}, {described['processor']}, {described['cores']} cores, {described['python']}.",
        "",
        "| workers | bare app, requests/s | guarded, requests/s | guarded / bare |",
        "|---|---|---|---|",
    ]
    for workers in dict.fromkeys(count for _, count in rates):
        bare, guarded = rates["bare", workers], rates["guarded", workers]
        lines.append(f"| {workers} | {bare:,.0f} | {guarded:,.0f} | {guarded / bare:.2f} |")
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
    rates = measure_workers(pair, workers=options.workers, rounds=options.rounds, seconds=options.seconds)
    print(tables(rates, checks, options.price))
    return 0


if __name__ == "__main__":
    sys.exit(main())

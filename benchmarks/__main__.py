"""Measure, print the tables, and keep the numbers: `python -m benchmarks`, see ``--help``."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks import budgets, report, results
from benchmarks.plots import draw
from benchmarks.scale import FULL, QUICK, TINY, Scale
from benchmarks.session import Outcome, Session
from benchmarks.workloads import WORKLOADS
from restate_identity import ED25519_IMPLEMENTATION

EXAMPLES = """examples:
  python -m benchmarks                          everything, under 10 minutes; keeps the numbers
  python -m benchmarks --quick                  everything, under a minute; keeps nothing
  python -m benchmarks --only new --only seen   two workloads, at full length; keeps nothing
  python -m benchmarks --quick --output out     everything, quickly; numbers and plots go to the folder out
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return the exit status."""
    options = _parser().parse_args(arguments)
    # Contenders first prove that they refuse forgeries; these refusals need no log lines.
    logging.getLogger("restate_identity").setLevel(logging.CRITICAL)
    scale = _scale(options)
    # Without a terminal, do not cut the tables to a width.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    chosen = [name for name in WORKLOADS if name in (options.only or WORKLOADS)]
    outcomes = _measure(console, chosen, scale, node=not options.no_node)
    for name, outcome in outcomes.items():
        report.show_outcome(console, WORKLOADS[name], outcome)
    verdicts = budgets.judge(outcomes)
    console.print(f"Ed25519 by {ED25519_IMPLEMENTATION}", highlight=False)
    report.show_budgets(console, verdicts)
    complete = scale == FULL and not options.only and not options.no_node
    result = results.as_json(outcomes, verdicts, scale)
    if complete or options.output:
        console.print(f"numbers: {results.write(result, options.output or results.RESULTS)}", highlight=False)
    if options.output:
        for plot in draw(result, options.output):
            console.print(f"plot: {plot}", highlight=False)
    return 0


def _measure(console: Console, chosen: Sequence[str], scale: Scale, *, node: bool) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        overall = progress.add_task("all", total=len(chosen))
        for name in chosen:
            rounds = progress.add_task(name, total=None)

            def expect(more: int, task: TaskID = rounds) -> None:
                progress.update(task, total=(progress.tasks[task].total or 0) + more)

            def tick(task: TaskID = rounds) -> None:
                progress.advance(task)

            session = Session(scale, node=node, expect=expect, tick=tick)
            # Existing objects stay alive, so keep the garbage collector from scanning them inside a timed call.
            gc.collect()
            gc.freeze()
            outcomes[name] = WORKLOADS[name].run(session)
            gc.unfreeze()
            progress.advance(overall)
    return outcomes


def _scale(options: argparse.Namespace) -> Scale:
    scale = TINY if options.tiny else QUICK if options.quick else FULL
    return scale if options.rounds is None else scale._replace(rounds=options.rounds, starts=options.rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what a verification costs, side by side with the peers, and judge the budgets.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer calls in each round; keeps nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds of each workload (default: {FULL.rounds})")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(WORKLOADS),
        metavar="WORKLOAD",
        help=f"run this workload only; may be repeated: {', '.join(WORKLOADS)}",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write the numbers and the plots to this folder")
    parser.add_argument("--no-node", action="store_true", help="leave out the contenders that run on Node")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)  # for the tests of this package
    return parser


if __name__ == "__main__":
    sys.exit(main())

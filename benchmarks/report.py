"""Print the tables of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.budgets import Verdict
from benchmarks.contenders import LIBSODIUM, NATIVE
from benchmarks.measure import per_round, summary
from benchmarks.session import Outcome, Workload

# The last column compares the cases of a workload with the first of these that is among them.
REFERENCES = (NATIVE, LIBSODIUM, "trivial app", "python -c pass", "this project, 1 thread")


def show_outcome(console: Console, workload: Workload, outcome: Outcome) -> None:
    """Print the median and the 5th and 95th percentile of the rounds."""
    reference = next((name for name in REFERENCES if name in outcome.samples), None)
    table = Table(title=workload.title, title_justify="left", title_style="bold")
    table.add_column("")
    for heading in ("median", "5 %", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    if reference is not None:
        table.add_column(f"÷ {reference}", justify="right")
    for name, values in outcome.samples.items():
        unit = outcome.units.get(name, outcome.unit)
        row = [name, *(_shown(value, unit) for value in summary(values))]
        if reference is not None and len(values) == len(outcome.samples[reference]):
            row.append(f"{summary(per_round(outcome.samples, name, None, reference)).median:.3f}")
        table.add_row(*row)
    console.print(table)
    for name, known in outcome.facts.items():
        plain = ", ".join(f"{key} {_fact(value)}" for key, value in known.items() if not isinstance(value, list))
        console.print(f"  {name}: {plain}", highlight=False)
    for note in outcome.notes:
        console.print(f"  {note}", highlight=False)
    console.print()


def show_budgets(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print each budget beside the measured ratio."""
    table = Table(title="Budgets", title_justify="left", title_style="bold")
    for heading in ("budget", "measured as"):
        table.add_column(heading)
    for heading in ("limit", "median", "5 %", "95 %", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for verdict in verdicts:
        budget = verdict.budget
        numbers = [_ratio(value) for value in (budget.limit, verdict.median, verdict.p5, verdict.p95)]
        numbers[0] = f"{'≥' if budget.at_least else '≤'} {numbers[0]} {budget.unit_name}".strip()
        met = "[green]met[/]" if verdict.met else "[red bold]missed[/]"
        table.add_row(budget.name, budget.definition, *numbers, met)
    console.print(table)


def _shown(value: float, unit: str) -> str:
    if unit != "ns":
        return f"{_ratio(value)} {unit if unit != 'ratio' else ''}".strip()
    if value >= 1e6:
        return f"{value / 1e6:.2f} ms"
    return f"{value / 1e3:.2f} µs"


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return _ratio(value)
    return f"{value:,}" if isinstance(value, int) else str(value)

"""Compare the outcomes of the engines."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.tools.conformance.tunnels.engines import OURS, SDK, Engine
from tests.tools.conformance.tunnels.scenarios import SCENARIOS, Outcome, Scenario

LIMIT = 60.0


class Row(NamedTuple):
    """One scenario; None for an engine that cannot be brought into it."""

    scenario: str
    ours: Outcome
    sdk: Outcome | None


def compare(scenarios: Sequence[Scenario] = SCENARIOS) -> list[Row]:
    """Run the scenarios one after another, for each engine by itself."""
    return asyncio.run(_compare(scenarios))


async def _compare(scenarios: Sequence[Scenario]) -> list[Row]:
    return [
        Row(
            scenario.name,
            await outcome(scenario, OURS),
            None if scenario.asks and not SDK.asks else await outcome(scenario, SDK),
        )
        for scenario in scenarios
    ]


async def outcome(scenario: Scenario, engine: Engine) -> Outcome:
    """Run a scenario; one that does not come to its end has lost something too."""
    try:
        return await asyncio.wait_for(scenario.run(engine), LIMIT)
    except asyncio.TimeoutError:
        return Outcome(1, ["the scenario did not come to its end"], LIMIT)


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: the lost requests, the total, and the seconds."""
    lines = [
        f"| scenario | lost by {OURS.name} | lost by {SDK.name} | seconds |",
        "|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{len(found.lost)} of {found.requests:,}" if found else "–" for found in (row.ours, row.sdk)]
        seconds = " / ".join(f"{found.seconds:.1f}" if found else "–" for found in (row.ours, row.sdk))
        lines.append(f"| {row.scenario} | {cells[0]} | {cells[1]} | {seconds} |")
    return "\n".join(lines)


def losses(rows: Sequence[Row]) -> list[str]:
    """What our tunnel lost, by its kind."""
    return [f"{row.scenario}: {count} × {what}" for row in rows for what, count in Counter(row.ours.lost).most_common()]

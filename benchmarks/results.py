"""Write the result of a run as one JSON file: the machine, every raw sample, and the verdicts."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.budgets import Verdict
from benchmarks.measure import summary
from benchmarks.scale import Scale
from benchmarks.session import Outcome
from benchmarks.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"


def as_json(outcomes: Mapping[str, Outcome], verdicts: Sequence[Verdict], scale: Scale) -> dict[str, Any]:
    """Return the run as JSON values."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "scale": scale._asdict(),
        "budgets": [verdict.as_json() for verdict in verdicts],
        "workloads": {
            name: {
                "title": WORKLOADS[name].title,
                "unit": outcome.unit,
                "units": outcome.units,
                "facts": outcome.facts,
                "notes": outcome.notes,
                "summaries": {case: summary(values)._asdict() for case, values in outcome.samples.items()},
                "samples": outcome.samples,
            }
            for name, outcome in outcomes.items()
        },
    }


def write(result: dict[str, Any], folder: Path) -> Path:
    """Write *result* to a file in *folder*, named by date and kind of machine, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['date']}-{machine.name()}.json"
    path.write_text(_written(result) + "\n", encoding="utf-8")
    return path


def _written(value: Any, indent: str = "\n") -> str:
    """Return *value* as JSON with one line for each series, so that a diff of two runs is readable."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    members = (
        f"{deeper}{json.dumps(key, ensure_ascii=False)}: {_written(each, deeper)}" for key, each in value.items()
    )
    return "{" + ",".join(members) + indent + "}"

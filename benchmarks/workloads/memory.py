"""Measure the memory that a flood of distinct valid tokens takes, in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.session import Outcome, Session

ENTRY = "bytes an entry of the cache"
GROWTH = "growth over the second half of the flood, share of its size"
STEPS = 20


def run(session: Session) -> Outcome:
    """Verify the flood, and measure the resident memory while the cache fills, and after that."""
    scale = session.scale
    session.expect(STEPS + 2)
    command = [sys.executable, "-m", "benchmarks.flood", str(scale.flood), str(scale.flood_cache), str(STEPS)]
    readings: list[tuple[int, int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            reading = json.loads(line)
            if "verified" in reading:
                readings.append((reading["verified"], reading["rss"]))
                session.tick()
            else:
                final = reading
    if child.returncode != 0:
        raise AssertionError("the flood was not verified to its end")
    # A full cache grows a little more: after as many evictions as entries, its hash table is rebuilt once.
    resident = [rss for _, rss in readings]
    empty, half, most = resident[0], resident[len(resident) // 2], max(resident)
    entry = (most - empty) / scale.flood_cache
    growth = (max(resident[len(resident) // 2 :]) - half) / max(most - empty, 1)
    return Outcome(
        {ENTRY: [entry], GROWTH: [growth]},
        units={ENTRY: "bytes", GROWTH: "ratio"},
        facts={ENTRY: {**final, "readings": readings}},
    )

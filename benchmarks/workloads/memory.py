"""How much memory a flood of distinct valid tokens takes: measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.session import Outcome, Session

ENTRY = "bytes an entry of the cache"
GROWTH = "growth after the cache is full, share of its size"
STEPS = 20


def run(session: Session) -> Outcome:
    """Verify the flood and watch the resident memory of the process grow until the cache is full, and no further."""
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
    # The first reading is before the flood, the second when the cache has just been filled.
    empty, full = readings[0][1], readings[1][1]
    entry = (full - empty) / scale.flood_cache
    growth = (max(rss for _, rss in readings[1:]) - full) / max(full - empty, 1)
    return Outcome(
        {ENTRY: [entry], GROWTH: [growth]},
        units={ENTRY: "bytes", GROWTH: "ratio"},
        facts={ENTRY: {**final, "readings": readings}},
    )

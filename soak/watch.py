"""Watch that the servers do not grow, and log no errors."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import psutil

from soak.tally import Tally

COMPLAINT = re.compile(r"Traceback|\bERROR\b|\bCRITICAL\b|Exception\b")
MAX_GROWTH = 16 * 2**20
MEBIBYTE = 2**20


class Memory:
    """The resident memory of a process and its children, over time."""

    def __init__(self, name: str, process: int) -> None:
        self.name = name
        self._process = psutil.Process(process)
        self.samples: list[int] = []

    def sample(self) -> None:
        processes = [self._process, *self._process.children(recursive=True)]
        self.samples.append(sum(process.memory_info().rss for process in processes))

    def judge(self, tally: Tally) -> str:
        """Compare the second half with the first, without the beginning, when everything is used for the first time."""
        count = len(self.samples)
        first = statistics.median(self.samples[count // 5 : count // 2])
        second = statistics.median(self.samples[count // 2 :])
        if second - first > max(MAX_GROWTH, first / 10):
            tally.violation(f"{self.name}: memory grew from {first / MEBIBYTE:.0f} to {second / MEBIBYTE:.0f} MiB")
        return f"{first / MEBIBYTE:.1f} -> {second / MEBIBYTE:.1f} MiB"


def judge_log(name: str, log: Path, tally: Tally) -> None:
    """Find errors in the output of a server. Refusals are warnings, and expected."""
    for line in log.read_text("utf-8", errors="replace").splitlines():
        if COMPLAINT.search(line):
            tally.violation(f"{name} printed: {line[:150]}")

"""Count events from many threads, and collect the violations."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def print_counts(self) -> None:
        for what, number in sorted(self.counts.items()):
            print(f"{number:12,}  {what}")

    def print_violations(self) -> None:
        print(f"{self.violations.total()} violations")
        for what, number in self.violations.most_common(50):
            print(f"{number:8,} x {what}")

    def violation(self, what: str) -> None:
        with self._lock:
            self.violations[what] += 1

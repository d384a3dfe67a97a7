"""Time the cases in interleaved rounds, so that a noisy minute affects every contender alike.

In a round the cases take turns, A B C A B C, and the sample of a case is the median of its turns: other work on the
machine that lasts some milliseconds disturbs one turn, not the round. Ratios are computed within a round, and the
reported median and percentiles are those of the ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

Samples = dict[str, list[float]]
"""The samples of each case by name, one for each round."""


class Case(NamedTuple):
    """Something to time: *sample* does the work once and returns its cost, usually in nanoseconds per call."""

    name: str
    sample: Callable[[], float]


class Summary(NamedTuple):
    """Median, 5th and 95th percentile of the samples of one case, or of one ratio."""

    median: float
    p5: float
    p95: float


def calls(
    name: str,
    check: Callable[..., object],
    arguments: Callable[[], Sequence[tuple[Any, ...]]],
    *,
    before: Callable[[], object] = lambda: None,
    refuses: bool = False,
) -> Case:
    """Return the case that calls *check* once with each of *arguments*. They are made anew for every sample, untimed.

    Args:
        before: Called before every sample, untimed, for example to empty a cache.
        refuses: Whether every call must raise. A call that returns is an error, because other work was timed.
    """

    def accepted() -> float:
        batch = arguments()
        before()
        start = perf_counter_ns()
        for each in batch:
            check(*each)
        return (perf_counter_ns() - start) / len(batch)

    def refused() -> float:
        batch = arguments()
        before()
        passed = 0
        start = perf_counter_ns()
        for each in batch:
            try:
                check(*each)
            except Exception:  # noqa: BLE001 (each peer has exceptions of its own)
                continue
            passed += 1
        elapsed = perf_counter_ns() - start
        if passed:
            raise AssertionError(f"{name} accepted {passed} of {len(batch)} requests that it must refuse")
        return elapsed / len(batch)

    return Case(name, refused if refuses else accepted)


def interleave(
    cases: Iterable[Case],
    *,
    rounds: int,
    turns: int = 1,
    warm_up: int = 1,
    after_round: Callable[[], object] = lambda: None,
) -> Samples:
    """Return the samples of each case, one for every round after the *warm_up* rounds: the median of its *turns*."""
    cases = list(cases)
    samples: Samples = {case.name: [] for case in cases}
    if len(samples) != len(cases):
        raise ValueError("two cases have the same name")
    for number in range(warm_up + rounds):
        costs: Samples = {case.name: [] for case in cases}
        for _ in range(turns):
            for case in cases:
                costs[case.name].append(case.sample())
        if number >= warm_up:
            for name, taken in costs.items():
                samples[name].append(statistics.median(taken))
        after_round()
    return samples


def summary(values: Sequence[float]) -> Summary:
    """Return the median and the percentiles of *values*; of a single value, the value."""
    if len(values) == 1:
        return Summary(values[0], values[0], values[0])
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return Summary(statistics.median(values), cuts[0], cuts[-1])


def per_round(samples: Mapping[str, Sequence[float]], over: str, less: str | None, under: str | None) -> list[float]:
    """Return (*over* − *less*) ÷ *under* of every round; *less* and *under* may be None."""
    values = list(samples[over])
    if less is not None:
        values = [value - other for value, other in zip(values, samples[less], strict=True)]
    if under is not None:
        values = [value / other for value, other in zip(values, samples[under], strict=True)]
    return values

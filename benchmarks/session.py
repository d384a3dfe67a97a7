"""The input and the result of a workload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.measure import Case, Samples, interleave
from benchmarks.scale import Scale
from benchmarks.signed import KeyPair


@dataclass
class Outcome:
    """The result of one workload."""

    samples: Samples
    unit: str = "ns"
    """The unit of the samples, unless `units` names another for one of them."""
    units: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Counts that belong to a case, by its name: tokens, hits, modules."""
    notes: list[str] = field(default_factory=list)
    """Notes for readers of the table, for instance about a missing peer."""


class Session:
    """One run: its sizes, its signing key, and its progress.

    Args:
        node: Whether the contenders on Node take part.
        expect: Called with the number of rounds to come.
        tick: Called after each round.
    """

    def __init__(
        self,
        scale: Scale,
        *,
        node: bool = True,
        expect: Callable[[int], object] = lambda _rounds: None,
        tick: Callable[[], object] = lambda: None,
    ) -> None:
        self.scale = scale
        self.node = node
        self.pair = KeyPair()
        self.expect = expect
        self.tick = tick

    def interleave(
        self, cases: Iterable[Case], *, rounds: int | None = None, turns: int = 1, warm_up: int = 1
    ) -> Samples:
        """Measure *cases* against each other, see `benchmarks.measure.interleave`."""
        rounds = rounds or self.scale.rounds
        self.expect(rounds + warm_up)
        return interleave(cases, rounds=rounds, turns=turns, warm_up=warm_up, after_round=self.tick)


class Workload(NamedTuple):
    """A kind of traffic for a verifier, and its measurement."""

    name: str
    title: str
    run: Callable[[Session], Outcome]

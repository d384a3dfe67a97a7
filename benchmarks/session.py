"""What a workload works with and what it returns."""

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
    """What a reader of the table must know, a peer that was left out for instance."""


class Session:
    """One run: its sizes, the key that signs, and the progress that it reports.

    Args:
        node: Whether the contenders that run on Node take part.
        expect: Told how many rounds are to come.
        tick: Told that one of them is over.
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
    """Something that happens to a verifier, and how it is measured."""

    name: str
    title: str
    run: Callable[[Session], Outcome]

"""Compare the verdicts of all verifiers (the judges), and find violations of the invariants.

1. The SDKs accept every request that this project accepts, except for the differences in `REFUSED_THERE`.
2. Every request that the SDKs accept and this project refuses is covered by `REFUSED_HERE`, with its reason.
3. Every judge whose clock can be set accepts the requests that a real server signed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.tools.conformance.differences import explained
from tests.tools.conformance.judges import Judge, Request, present, verdict
from tests.tools.conformance.mutations import Mutator
from tests.vectors.generate import recorded, suite

SEED = 20_261_122
BATCH = 2_000


class Row(NamedTuple):
    """One judge's verdicts on a group of requests."""

    group: str
    judge: str
    judged: int
    accepted: int


class Comparison(NamedTuple):
    rows: list[Row]
    differences: Counter[str]
    surprises: list[str]


def of_vectors(judges: Sequence[Judge]) -> Comparison:
    """Compare on every vector. Sign all but the recorded ones again, for judges whose clock cannot be set."""
    result = Comparison([], Counter(), [])
    for name, file in {**suite(present()), "recorded": recorded()}.items():
        for judge in judges:
            cases = [case for case in file["cases"] if judge.has_clock or not {"clock", "recorded"} & {*case["flags"]}]
            verdicts = judge.judge([_request(case) for case in cases])
            result.rows.append(Row(name, judge.name, len(cases), sum(verdicts)))
            for case, accepted in zip(cases, verdicts, strict=True):
                _compare(result, judge, _request(case), accepted, case["id"])
                if name in ("genuine", "recorded") and not accepted:
                    result.surprises.append(f"{judge.name} refuses the genuine request {case['id']}")
    return result


def of_mutations(judges: Sequence[Judge], count: int, *, seed: int = SEED) -> Comparison:
    result = Comparison([], Counter(), [])
    judged, accepted = Counter[str](), Counter[str]()
    for start in range(0, count, BATCH):
        # Signed for the present, batch by batch, so that a long run does not outlive its tokens.
        requests = list(Mutator(seed + start, present()).requests(min(BATCH, count - start)))
        for judge in judges:
            verdicts = judge.judge(requests)
            judged[judge.name] += len(verdicts)
            accepted[judge.name] += sum(verdicts)
            for request, verdict_ in zip(requests, verdicts, strict=True):
                _compare(result, judge, request, verdict_, f"the mutation {request!r}")
    result.rows.extend(Row("mutations", judge.name, judged[judge.name], accepted[judge.name]) for judge in judges)
    return result


def _request(case: dict[str, Any]) -> Request:
    headers = tuple((name, value) for name, value in case["headers"])
    return Request(tuple(case["keys"]), headers, case["path"], case["time"])


def _compare(result: Comparison, judge: Judge, request: Request, accepted: bool, name: str) -> None:
    if "SDK" not in judge.name:
        return
    reason = verdict(request)
    if accepted is (reason is None):
        return
    difference = explained(request, reason)
    if difference is None:
        result.surprises.append(
            f"{judge.name} {'accepts' if accepted else 'refuses'} {name}; here: {reason or 'accepted'}"
        )
    else:
        result.differences[difference] += 1


def matrix(rows: Sequence[Row]) -> str:
    """Return a Markdown table with a line for each group: how many requests each judge accepted, of how many."""
    judges = list(dict.fromkeys(row.judge for row in rows))
    lines = ["| group | " + " | ".join(judges) + " |", "|---|" + "---|" * len(judges)]
    for group, found in itertools.groupby(rows, key=lambda row: row.group):
        cells = {row.judge: f"{row.accepted} / {row.judged}" for row in found}
        lines.append(f"| {group} | " + " | ".join(cells.get(judge, "–") for judge in judges) + " |")
    return "\n".join(lines)

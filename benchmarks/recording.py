"""Read and write the recording of a real server's traffic: which token arrived when.

It is a gzip file of JSON lines. The first line describes the recording. Each further line is a request: the seconds
since the start and the number of its token, and for the first request with that token also the path and the token.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

RECORDING = Path(__file__).parent / "data" / "recorded_traffic.jsonl.gz"


class RecordedRequest(NamedTuple):
    """One request of the recording."""

    at: float
    """Unix seconds."""
    path: str
    token: str


class Recording(NamedTuple):
    """The requests that a service received from a real server."""

    about: dict[str, Any]
    """A description, with ``identity_key`` and ``started_at`` among others."""
    requests: list[RecordedRequest]


def read(path: Path = RECORDING) -> Recording:
    """Read a recording."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        about = json.loads(next(lines))
        tokens: list[tuple[str, str]] = []
        requests = []
        for line in lines:
            since, number, *first = json.loads(line)
            if first:
                tokens.append((first[0], first[1]))
            requests.append(RecordedRequest(about["started_at"] + since, *tokens[number]))
    return Recording(about, requests)


def write(about: dict[str, Any], requests: Iterable[RecordedRequest], path: Path = RECORDING) -> None:
    """Write a recording; *about* has ``started_at``."""
    numbers: dict[str, int] = {}
    # Write no time and no name into the gzip header, so that the same recording has the same bytes.
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as lines:
        lines.write(json.dumps(about).encode() + b"\n")
        for request in requests:
            line: list[Any] = [round(request.at - about["started_at"], 3), numbers.get(request.token, len(numbers))]
            if request.token not in numbers:
                numbers[request.token] = len(numbers)
                line += [request.path, request.token]
            lines.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def distinct_per_second(requests: Iterable[RecordedRequest]) -> dict[str, list[tuple[int, int]]]:
    """Return the number of requests and of their distinct tokens for each path and second."""
    seconds: dict[str, dict[int, list[str]]] = {}
    for request in requests:
        seconds.setdefault(request.path, {}).setdefault(int(request.at), []).append(request.token)
    return {
        path: [(len(tokens), len(set(tokens))) for _, tokens in sorted(by_second.items())]
        for path, by_second in seconds.items()
    }

"""Write the files of the suite: ``python -m tests.vectors.generate``. The same bytes every time, on every machine.

``--now`` and ``--into DIRECTORY`` write the same cases with tokens for the present, for verifiers whose clock cannot be
set. They leave out the recorded requests, which nobody can sign again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.base64url import from_base64url
from tests.vectors import requests, tokens
from tests.vectors.forge import OWN, SCHEME_HEADER, TIME, TOKEN_HEADER, Case, Forge
from tests.vectors.twins import with_twins

HERE = Path(__file__).parent
RECORDING = HERE / "data" / "recorded_requests.jsonl"


class Group(NamedTuple):
    about: str
    cases: Callable[[Forge], Iterator[Case]]


GROUPS = {
    "genuine": Group("What a server sends. Refusing one of these keeps genuine requests out.", requests.genuine),
    "keys": Group("Which configured keys are read, and which are refused before any request.", requests.keys),
    "paths": Group("Which paths a token is good for.", requests.paths),
    "headers": Group("Where scheme and token are looked for, and how often each may occur.", requests.headers),
    "encoding": Group("Three parts of canonical base64url without padding, and nothing else.", tokens.encoding),
    "jose_header": Group("JSON with one meaning, alg EdDSA, a configured kid, nothing critical.", tokens.jose_header),
    "claims": Group("JSON with one meaning; aud, sub and the times of the right types.", tokens.claims),
    "time": Group("Valid while nbf <= now < exp, and not a moment longer.", requests.time),
    "signature": Group("Ed25519 over the first two parts as they were sent, without the cofactor.", tokens.signature),
    "rotation": Group("Several keys at once: each vouches for its own tokens only.", requests.rotation),
}


@cache
def suite(now: int = TIME) -> dict[str, dict[str, Any]]:
    """The groups that can be signed anew, with all tokens made at the second *now*."""
    return with_twins(
        {name: _file(name, group.about, list(_cases(name, group, now))) for name, group in GROUPS.items()}
    )


def stored(group: str) -> dict[str, Any]:
    """The group as its file has it."""
    read: dict[str, Any] = json.loads((HERE / f"{group}.json").read_text("utf-8"))
    return read


def recorded() -> dict[str, Any]:
    """The group of requests that a real server signed."""
    recording, *lines = map(json.loads, RECORDING.read_text("utf-8").splitlines())
    cases = []
    for number, line in enumerate(lines, start=1):
        headers = [pair for pair in line["headers"] if pair[0] in (SCHEME_HEADER, TOKEN_HEADER)]
        payload = dict(headers)[TOKEN_HEADER].split(".")[1]
        cases.append(
            {
                "id": f"recorded-{number:03}",
                "comment": f"{line['method']} over HTTP/{line['http_version']}",
                "keys": [recording["identity_key"]],
                "headers": headers,
                "path": line["path"],
                "time": recording["captured_from"],
                "verdict": "valid",
                "reason": None,
                "subject": json.loads(from_base64url(payload)).get("sub"),
                "flags": ["recorded"],
            }
        )
    return _file("recorded", f"Requests that a real {recording['server']} signed.", cases)


def _file(name: str, about: str, cases: list[dict[str, Any]]) -> dict[str, Any]:
    return {"group": name, "about": about, "cases": cases}


def _cases(name: str, group: Group, now: int) -> Iterator[dict[str, Any]]:
    for number, case in enumerate(group.cases(Forge(now)), start=1):
        flags = {"clock": case.clock, "unsendable": not _sendable(case)}
        yield {
            "id": f"{name}-{number:03}",
            "comment": case.comment,
            "keys": [OWN.text] if case.keys is None else case.keys,
            "headers": [list(pair) for pair in case.headers],
            "path": case.path,
            "time": now + case.shift,
            "verdict": "invalid" if case.reason else "valid",
            "reason": case.reason,
            **({} if case.reason else {"subject": case.subject}),
            "flags": [flag for flag, applies in flags.items() if applies],
        }


def _sendable(case: Case) -> bool:
    """Whether the request arrives as it is written when it is sent over HTTP (RFC 9110, 5.5; RFC 3986, 3.3)."""
    values = [value for _, value in case.headers]
    arrive = all(value == value.strip() and value.isascii() and (value.isprintable() or not value) for value in values)
    return arrive and case.path.startswith("/") and not {"?", "#", "\0"} & set(case.path)


def rendered(file: dict[str, Any]) -> str:
    """One case to a line, so that a change shows as the lines of the cases that changed."""
    cases = ",\n".join("    " + json.dumps(case) for case in file["cases"])
    group, about = json.dumps(file["group"]), json.dumps(file["about"])
    schema = '"$schema": "./schema.json"'
    return f'{{\n  {schema},\n  "group": {group},\n  "about": {about},\n  "cases": [\n{cases}\n  ]\n}}\n'


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the test vectors.")
    parser.add_argument("--now", action="store_true", help="sign for the present, not for the fixed time")
    parser.add_argument("--into", type=Path, default=HERE, help="the directory to write to")
    arguments = parser.parse_args()
    if arguments.now and arguments.into == HERE:
        parser.error("--now needs --into: the files of the suite are for their fixed time")
    files = suite(int(time.time())) if arguments.now else {**suite(), "recorded": recorded()}
    arguments.into.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        (arguments.into / f"{name}.json").write_text(rendered(file), "utf-8")
    print(f"{sum(len(file['cases']) for file in files.values())} cases in {len(files)} files")


if __name__ == "__main__":
    main()

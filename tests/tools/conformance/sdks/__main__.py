"""``make conformance-sdks``: start a service of each official SDK and send it every vector over HTTP.

It fails when an SDK differs from this project in another way than `known.json` lists; ``--write`` lists what it found.

``python -m tests.tools.conformance.sdks --only Rust`` does so for one SDK.

What is sent is written to the socket as it is, since HTTP clients tidy headers up; HTTP/2, which the Rust SDK asks for,
has names in lower case and no white space around values. A service is configured with one
key, so the vectors with other keys are left out, and those that need a clock or that HTTP would change.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.support import ROOT
from tests.support.probed.typescript import installed_sdk
from tests.support.processes import free_port
from tests.support.servers import serve
from tests.support.wire import Http2Exchange
from tests.tools.conformance.judges import present
from tests.vectors.forge import OWN
from tests.vectors.generate import GROUPS, suite

HERE = Path(__file__).parent
CACHE = ROOT / ".cache"
KNOWN = HERE / "known.json"
HOST = "127.0.0.1"


class Sdk(NamedTuple):
    """A service of an SDK.

    Args:
        tool: The program that it needs.
        command: Builds the service; returns what serves a port with a key.
        http2: It speaks HTTP/2 only, with prior knowledge.
    """

    name: str
    tool: str
    command: Callable[..., Sequence[str]]
    http2: bool = False

    @property
    def label(self) -> str:
        """Its name without the version."""
        return self.name.partition(" SDK")[0] + " SDK"


def _python(port: int, key: str) -> Sequence[str]:
    return [sys.executable, os.fspath(HERE / "python" / "service.py"), str(port), key]


def _typescript(port: int, key: str) -> Sequence[str]:
    return ["node", os.fspath(HERE / "typescript" / "service.mjs"), os.fspath(installed_sdk()), str(port), key]


def go(port: int, *key: str) -> Sequence[str]:
    service = CACHE / "conformance-go"
    subprocess.run(["go", "build", "-o", service, "."], cwd=HERE / "go", check=True, timeout=600)
    return [os.fspath(service), f"{HOST}:{port}", *key]


def java(port: int, *key: str) -> Sequence[str]:
    project = _copied("java")
    subprocess.run(["mvn", "--batch-mode", "--quiet", "compile"], cwd=project, check=True, timeout=600)
    target = project / "target"
    return ["java", "-cp", f"{target / 'classes'}{os.pathsep}{target / 'dependency' / '*'}", "Greeter", str(port), *key]


def _rust(port: int, key: str) -> Sequence[str]:
    project = _copied("rust")
    subprocess.run(["cargo", "build", "--quiet", "--target-dir", "target"], cwd=project, check=True, timeout=1800)
    return [os.fspath(project / "target" / "debug" / "conformance"), f"{HOST}:{port}", key]


def _copied(name: str) -> Path:
    """Copy the sources of a service into the cache: Maven and Cargo write next to them."""
    return Path(shutil.copytree(HERE / name, CACHE / f"conformance-{name}", dirs_exist_ok=True))


SDKS = (
    Sdk(f"Python SDK {version('restate-sdk')}, uvicorn", sys.executable, _python),
    Sdk("TypeScript SDK, node:http", "npm", _typescript),
    Sdk("Go SDK, net/http", "go", go),
    Sdk("Java SDK, Vert.x", "mvn", java),
    Sdk("Rust SDK, hyper", "cargo", _rust, http2=True),
)


@contextmanager
def served(sdk: Sdk) -> Iterator[int]:
    """Run the service of *sdk* for the time of a ``with`` block; gives its port."""
    port = free_port()
    with serve(*sdk.command(port, OWN.text), port=port, patience=0.0):
        yield port


def status(port: int, case: dict[str, Any], http2: bool = False) -> int | None:
    """Send the request of *case*; return the status of the answer, or None if a server of HTTP/2 closed without one."""
    method = "GET" if case["path"].endswith("/discover") else "POST"
    if method == "POST":
        # No SDK serves this type of content, so what is let in is answered at once, and with another status than 401.
        fields = [("content-length", "0"), ("content-type", "text/plain")]
    else:
        fields = [("accept", "application/vnd.restate.endpointmanifest.v3+json")]
    fields += [(name, value) for name, value in case["headers"]]
    send = _status_over_http2 if http2 else _status_over_http1
    return send(port, method, quote(case["path"]), fields)


def _status_over_http1(port: int, method: str, target: str, fields: Sequence[tuple[str, str]]) -> int:
    lines = [f"{method} {target} HTTP/1.1", "host: localhost", "connection: close"]
    lines += [f"{name}: {value}" for name, value in fields]
    with socket.create_connection((HOST, port), timeout=30) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer = connection.makefile("rb").readline()
    return int(answer.split()[1])


def _status_over_http2(port: int, method: str, target: str, fields: Sequence[tuple[str, str]]) -> int | None:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    try:
        with Http2Exchange(port, method, target, encoded) as exchange:
            return exchange.status()
    except ConnectionError:
        return None


def is_sendable(case: dict[str, Any]) -> bool:
    return case["keys"] == [OWN.text] and not case["flags"]


def verdict(answer: int | None) -> str:
    """What the status says: a service that does not know the handler says so before or after it looks at the token."""
    if answer in (401, 403):
        return "refused"
    return "elsewhere" if answer in (None, 400, 404, 431) else "let in"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.conformance.sdks")
    parser.add_argument("--only", metavar="NAME", default="", help="the SDKs whose name begins so, as Rust")
    parser.add_argument("--write", action="store_true", help="list the differences that are found as known")
    arguments = parser.parse_args()
    only = arguments.only
    rows: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    names: list[str] = []
    found: dict[str, dict[str, str]] = {}
    for sdk in SDKS:
        if not sdk.name.startswith(only):
            left_out[sdk.name] = f"only {only} is asked for"
            continue
        if shutil.which(sdk.tool) is None:
            left_out[sdk.name] = f"{sdk.tool} is not installed"
            continue
        names.append(sdk.name)
        with served(sdk) as port:
            for group in GROUPS:
                # Signed anew for each group, so that the tokens of a long run do not expire.
                file = suite(present())[group]
                counts, differences = _send(sdk, port, [case for case in file["cases"] if is_sendable(case)])
                rows.setdefault(group, []).append(f"{counts['let in']} / {counts['refused']} / {counts['elsewhere']}")
                found.setdefault(sdk.label, {}).update(differences)
    print("Let in / refused / answered with 400, 404 or 431, or not at all, which is neither.\n")
    print("| group | " + " | ".join(names) + " |", "|---|" + "---|" * len(names), sep="\n")
    for group, cells in rows.items():
        print(f"| {group} | " + " | ".join(cells) + " |")
    print("\nLeft out:\n", *(f"{name}: {reason}" for name, reason in left_out.items()), sep="\n")
    known = json.loads(KNOWN.read_text("utf-8"))
    if arguments.write:
        KNOWN.write_text(json.dumps({**known, **found}, indent=1) + "\n", "utf-8")
        return 0
    surprises = unlisted(found, known)
    print(f"\n{len(surprises)} differences that are not known:\n", *surprises, sep="\n")
    return 1 if surprises else 0


def unlisted(found: dict[str, dict[str, str]], known: dict[str, dict[str, str]]) -> list[str]:
    """Return a line for each way in which the SDKs that ran differ from this project, or no longer do, and did not."""
    return [
        f"{name} {each.get(case, 'agrees on')} {case}, known: {known.get(name, {}).get(case, 'agrees on')}"
        for name, each in found.items()
        for case in sorted({*each, *known.get(name, {})})
        if each.get(case) != known.get(name, {}).get(case)
    ]


def _send(sdk: Sdk, port: int, cases: Sequence[dict[str, Any]]) -> tuple[Counter[str], dict[str, str]]:
    """Send *cases*; return how often each verdict was given, and by its id each that differs from ours."""
    counts, differences = Counter[str](), dict[str, str]()
    for case in cases:
        found = verdict(status(port, case, sdk.http2))
        counts[found] += 1
        if found == ("refused" if case["verdict"] == "valid" else "let in"):
            differences[case["id"]] = found
    return counts, differences


if __name__ == "__main__":
    sys.exit(main())

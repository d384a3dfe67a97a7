"""Record the traffic of a real Restate server at full speed: `python -m benchmarks.record_traffic`.

Half of the calls go to a service handler, half to an object handler with 200 keys, through the ingress. The requests
that the service received are written to `benchmarks/data/`. The identity key is made for the recording and not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx

from benchmarks import recording
from benchmarks.recording import RecordedRequest
from benchmarks.servers.load import encoded, load
from restate_identity.signing import RequestSigner
from tests.support.restate_server import RestateServer, find_server
from tests.support.servers import serve, uvicorn

OBJECTS = 200
CONNECTIONS = 32
JSON = [("host", "127.0.0.1"), ("content-type", "application/json")]


def main() -> None:
    """Record the traffic, and print a summary."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.record_traffic", description="Record the traffic of a real Restate server."
    )
    parser.add_argument("--seconds", type=float, default=20, help="how long (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=recording.RECORDING, help="the file to write")
    arguments = parser.parse_args()
    program = find_server()
    signer = RequestSigner.generate()
    command = uvicorn("benchmarks.servers.recorder:app", "--no-access-log")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        pem = Path(folder, "identity.pem")
        pem.write_bytes(signer.to_pem())
        service = stack.enter_context(serve(*command))
        server = stack.enter_context(RestateServer(program, identity_key=pem))
        server.register(service.url, use_http_11=True).raise_for_status()
        ingress = int(server.ingress_url.rsplit(":", 1)[1])
        count, elapsed, _, statuses = asyncio.run(
            load(ingress, _calls(), seconds=arguments.seconds, connections=CONNECTIONS)
        )
        notes = httpx.get(f"{service.url}/notes", trust_env=False).json()
    requests = [RecordedRequest(*note) for note in notes]
    if set(statuses) != {200}:
        raise SystemExit(f"not every call was answered: {dict(statuses)}")
    requests = [request for request in requests if request.path != "/discover"]
    about = {
        "identity_key": str(signer.public_key),
        "server": subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip(),
        "started_at": requests[0].at,
        "calls_per_second": round(count / elapsed),
        "objects": OBJECTS,
    }
    recording.write(about, requests, arguments.output)
    for path, seconds in recording.distinct_per_second(requests).items():
        calls, distinct = (sum(column) for column in zip(*seconds, strict=True))
        print(f"{path}: {calls} requests, {distinct} distinct tokens in {len(seconds)} s")


def _calls() -> Iterator[bytes]:
    draw = random.Random(1)
    service = encoded("/Echo/say", JSON)
    objects = [encoded(f"/Account/key-{number}/touch", JSON) for number in range(OBJECTS)]
    for number in itertools.count():
        yield draw.choice(objects) if number % 2 else service


if __name__ == "__main__":
    main()

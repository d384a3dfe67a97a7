"""Show that a real Restate server gets in and every forgery is refused: ``python -m demo``.

The exit status is 0 if every outcome is as expected, 1 if one is not, and 128 + n if signal n stopped the demo.
"""

from __future__ import annotations

import io
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import httpx

from demo.table import Row, print_table
from restate_identity import Reason
from restate_identity.signing import RequestSigner
from tests.support.attacks import attacks, genuine_requests, send
from tests.support.processes import STOP_SIGNALS, ChildFailedError, interrupts_held_back
from tests.support.refusals import RefusalLog
from tests.support.restate_server import RestateServer, ServerUnavailable, find_server
from tests.support.servers import hypercorn, serve

AWKWARD_KEY = "alice/ü 😀"


class Stopped(BaseException):
    """A signal asked us to stop."""


def main(service: str = "tests.support.services:app") -> int:
    """Run the demo against the ASGI application *service*, and return the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        with _temporary_folder() as folder:
            rows = list(_outcomes(folder, service))
    except Stopped as stopped:
        print("\nStopped. Every process has ended and the temporary folders are gone.")
        return 128 + int(stopped.args[0])
    except ChildFailedError as error:
        print(f"\nThe demo cannot run: {error}")
        return 1
    print()
    print_table(rows)
    wrong = sum(not row.as_expected for row in rows)
    print(f"\n{len(rows)} requests, {'every one as expected.' if not wrong else f'{wrong} NOT AS EXPECTED.'}")
    return 1 if wrong else 0


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="restate-identity-demo-")
    try:
        yield Path(folder)
    finally:
        with interrupts_held_back():
            shutil.rmtree(folder)


def _outcomes(folder: Path, service: str) -> Iterator[Row]:
    print("Making a fresh identity key ...")
    signer = RequestSigner.generate()
    print(f"  {signer.public_key}")
    try:
        program = find_server(print)
    except ServerUnavailable as missing:
        program = None
        print(
            f"\nNO RESTATE SERVER: {missing}\nThe attacks run all the same; our own signer takes the server's place.\n"
        )
    with _guarded_service(folder, service, signer) as (url, log):
        if program is not None:
            yield from _by_real_servers(program, folder, signer, url, log)
        # HTTP/2 with prior knowledge, as the Restate server speaks it; no proxy, for all of this is on loopback.
        with httpx.Client(http1=False, http2=True, trust_env=False, timeout=30) as client:
            print("Sending genuine requests, signed by our own signer ...")
            for request in genuine_requests(signer, AWKWARD_KEY):
                yield send(request, "our signer", url, log, client)
            print("Sending forgeries ...")
            for request in attacks(signer):
                yield send(request, "attacker", url, log, client)


@contextmanager
def _guarded_service(folder: Path, service: str, signer: RequestSigner) -> Iterator[tuple[str, RefusalLog]]:
    print("Starting the guarded service (hypercorn) ...")
    env = {"DEMO_IDENTITY_KEY": str(signer.public_key), "PYTHONIOENCODING": "utf-8"}
    with serve(*hypercorn(service), env=env, log=folder / "service.log") as server:
        yield server.url, RefusalLog(server.log)


def _by_real_servers(program: Path, folder: Path, signer: RequestSigner, url: str, log: RefusalLog) -> Iterator[Row]:
    print("Starting a real Restate server that has the key ...")
    with RestateServer(program, identity_key=_pem(folder / "identity.pem", signer)) as server:
        print("Registering the service with it, and calling handlers through its ingress ...")
        yield _registered(server, url, log)
        yield _invoked(server, "Greeter", None, "greet", "Ada", log)
        yield _invoked(server, "Counter", AWKWARD_KEY, "add", 3, log)
        yield _invoked(server, "Signup", AWKWARD_KEY, "run", "ada@example.com", log)
    print("Starting a real Restate server that has another key ...")
    with RestateServer(program, identity_key=_pem(folder / "other.pem", RequestSigner.generate())) as server:
        yield _turned_away(server, "discovery, with another key", url, log, Reason.UNKNOWN_KEY)
    print("Starting a real Restate server that has no key ...")
    with RestateServer(program) as server:
        yield _turned_away(server, "discovery, without a key", url, log, Reason.MISSING_SCHEME)


def _registered(server: RestateServer, url: str, log: RefusalLog) -> Row:
    response = server.register(url)
    reasons = _reasons(log)
    return Row("real server", "discovery", str(response.status_code), reasons, response.is_success and not reasons)


def _turned_away(server: RestateServer, sent: str, url: str, log: RefusalLog, reason: Reason) -> Row:
    response = server.register(url)
    reasons = _reasons(log)
    is_turned_away = response.is_error and "401 Unauthorized" in response.text
    came_back = "401, not registered" if is_turned_away else str(response.status_code)
    return Row("real server", sent, came_back, reasons or "none", is_turned_away and reasons == reason)


def _invoked(
    server: RestateServer, service: str, key: str | None, handler: str, argument: object, log: RefusalLog
) -> Row:
    path = [service, handler] if key is None else [service, key, handler]
    response = server.invoke("/".join(quote(segment, safe="") for segment in path), argument)
    reasons = _reasons(log)
    result = response.json() if response.is_success else {}
    print(f"  {' '.join(path)} -> {result or response.text}")
    signed_key = result.get("signed_key")
    return Row(
        "real server",
        " ".join(path),
        str(response.status_code) if signed_key is None else f"{response.status_code}, signed key {signed_key}",
        reasons,
        response.is_success and "signed_key" in result and signed_key == key and not reasons,
    )


def _reasons(log: RefusalLog) -> str:
    return ", ".join(refusal.reason for refusal in log.new())


def _pem(path: Path, signer: RequestSigner) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(signer.to_pem())
    return path


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature is given)
    # Ignore further signals: a second Ctrl-C would interrupt the clean-up.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


if __name__ == "__main__":
    raise SystemExit(main())

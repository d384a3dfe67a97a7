"""The probe against real endpoints: this library, the verifiers of two SDKs, and no verifier at all."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from restate_identity import IdentityVerifier, VerificationError
from restate_identity.cli.main import run as run_command
from restate_identity.probe import MAX_SERVICES, Finding, ProbeError, Report, cases, probe
from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.base64url import from_base64url
from tests.support.command import run_as_text
from tests.support.probed.endpoints import ENDPOINTS, served
from tests.support.processes import free_port
from tests.support.servers import in_a_thread, uvicorn
from tests.tunnel.client.http2_target import Http2Target
from tests.tunnel.cloud import TlsPair, tls_pair
from tests.vectors.forge import PATH
from tests.vectors.generate import suite

PAGE = ROOT / "docs" / "command-line.md"
# Each case of the probe, and the test vector that it makes for the endpoint's own paths.
VECTORS = {
    "no-headers": ("headers", "no headers at all"),
    "unsigned": ("headers", "a server without a key"),
    "no-token": ("headers", "the scheme alone"),
    "garbage": ("encoding", "one part"),
    "alg-none": ("jose_header", "alg is 'none' and there is no signature"),
    "foreign-key": ("jose_header", "another's name and signature"),
    "forged": ("signature", "another's"),
    "expired": ("time", "expired an hour ago"),
    "not-yet-valid": ("time", "valid in an hour"),
    "wrong-path": ("paths", "the token is for discovery"),
    "no-kid": ("jose_header", "no kid"),
    "repeated-header": ("headers", "two good tokens"),
    "repeated-header-last": ("headers", "two good tokens"),
    "array-audience": ("claims", "aud is an array of one"),
    "genuine": ("genuine", "a service handler"),
}
LENIENCE_OF_PYTHON = {"no-kid", "repeated-header", "array-audience"}
LENIENCE_OF_TYPESCRIPT = {"no-kid", "array-audience"}


@pytest.fixture(scope="module")
def urls(restate_identity_keys: list[str]) -> Iterator[Callable[[str], str]]:
    """Start an endpoint when it is first asked for."""
    started = dict[str, str]()
    with ExitStack() as stack:

        def url(name: str) -> str:
            if name not in started:
                started[name] = stack.enter_context(served(ENDPOINTS[name](), restate_identity_keys[0])).url
            return started[name]

        yield url


@pytest.fixture(scope="module")
def pem(restate_signer: RequestSigner, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("key") / "private.pem"
    file.touch(mode=0o600)
    file.write_bytes(restate_signer.to_pem())
    return str(file)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_as_text("probe", *arguments)


def found(report: Report, finding: Finding) -> set[str]:
    return {result.case.name for result in report.findings if result.finding is finding}


def test_each_case_is_refused_for_the_same_reason_as_its_test_vector(restate_signer: RequestSigner) -> None:
    reasons: dict[str, str | None] = {}
    for case in cases(restate_signer):
        try:
            IdentityVerifier([str(restate_signer.public_key)]).verify(PATH, case.headers(PATH))
        except VerificationError as error:
            reasons[case.name] = error.reason.value
        else:
            reasons[case.name] = None
    expected = {(group, case["comment"]): case["reason"] for group, file in suite().items() for case in file["cases"]}
    assert reasons == {name: expected[vector] for name, vector in VECTORS.items()}


@pytest.mark.parametrize(
    ("name", "header", "audience"),
    [
        ("alg-none", {"alg": "none", "kid": "ours"}, PATH),
        ("forged", {"typ": "JWT", "alg": "EdDSA", "kid": "ours"}, PATH),
        ("wrong-path", {"typ": "JWT", "alg": "EdDSA", "kid": "ours"}, "/discover"),
        ("no-kid", {"typ": "JWT", "alg": "EdDSA"}, PATH),
        ("array-audience", {"typ": "JWT", "alg": "EdDSA", "kid": "ours"}, [PATH]),
        ("genuine", {"typ": "JWT", "alg": "EdDSA", "kid": "ours"}, PATH),
    ],
)
def test_a_token_has_no_other_fault_than_the_one_that_is_tried(
    restate_signer: RequestSigner, name: str, header: dict[str, str], audience: object
) -> None:
    [case] = [case for case in cases(restate_signer) if case.name == name]
    token = dict(case.headers(PATH))["x-restate-jwt-v1"]
    found_header, claims = (json.loads(from_base64url(part)) for part in token.split(".")[:2])
    if "kid" in header:
        header = {**header, "kid": str(restate_signer.public_key)}
    assert found_header == header
    assert claims["nbf"] <= claims["iat"] <= time.time() < claims["exp"]
    assert (len(claims), claims["aud"]) == (4, audience)


def test_this_library_is_sound(urls: Callable[[str], str], pem: str) -> None:
    done = run(urls("this library"), "--key", pem, "--services", "Greeter,Counter")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "over HTTP/2\n" in done.stdout
    assert done.stdout.endswith("0 findings in 45 requests\n")
    assert "\x1b" not in done.stdout


def test_over_http1_it_is_sound_too(restate_identity_keys: list[str], restate_signer: RequestSigner) -> None:
    with served(uvicorn("integrations.restate_sdk.app:app"), restate_identity_keys[0]) as server:
        report = probe(server.url, signer=restate_signer)
    assert (report.http_version, report.findings) == ("HTTP/1.1", ())


@pytest.mark.parametrize(
    ("name", "lenience"), [("Python SDK", LENIENCE_OF_PYTHON), ("TypeScript SDK", LENIENCE_OF_TYPESCRIPT)]
)
def test_the_verifiers_of_the_sdks_are_lenient_and_nothing_else(
    urls: Callable[[str], str], restate_signer: RequestSigner, name: str, lenience: set[str]
) -> None:
    report = probe(urls(name), signer=restate_signer, services=["Greeter"])
    assert report.http_version == "HTTP/2"
    assert found(report, Finding.LENIENT) == lenience
    assert len(report.findings) == 2 * len(lenience)


def test_an_endpoint_without_a_verifier_is_open_to_all(urls: Callable[[str], str], pem: str) -> None:
    done = run(urls("no verifier"), "--key", pem, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["sound"], told["left_out"]) == (1, False, [])
    attacks = [result for result in told["results"] if result["expected"] == "refused"]
    assert len(attacks) == 28
    lenient = LENIENCE_OF_PYTHON | {"repeated-header-last"}
    assert all(result["finding"] == ("lenient" if result["case"] in lenient else "open") for result in attacks)
    assert {result["finding"] for result in told["results"] if result["expected"] == "accepted"} == {None}


def test_without_the_key_less_is_tried_and_that_is_said(urls: Callable[[str], str]) -> None:
    done = run(urls("this library"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Not sent without --key: forged, expired, " in done.stdout
    assert "12 requests" in done.stdout
    assert run(urls("no verifier")).returncode == 1


def test_with_another_key_it_is_said_that_genuine_requests_are_kept_out(urls: Callable[[str], str]) -> None:
    report = probe(urls("this library"), signer=RequestSigner.generate())
    assert {result.finding for result in report.findings} == {Finding.CLOSED}
    assert found(report, Finding.CLOSED) == {"genuine"}


def test_the_table_in_the_docs_is_what_the_endpoints_do(
    urls: Callable[[str], str], restate_signer: RequestSigner
) -> None:
    reports = {name: probe(urls(name), signer=restate_signer) for name in ENDPOINTS}
    assert comparison(reports) in PAGE.read_text("utf-8"), f"put this into {PAGE.name}:\n{comparison(reports)}"


def comparison(reports: dict[str, Report]) -> str:
    lines = ["| what is sent | sound | " + " | ".join(reports) + " |", "|---|---|" + "---|" * len(reports)]
    for case in cases(None):
        answers = [
            ", ".join(str(result.status) for result in report.results if result.case.name == case.name)
            for report in reports.values()
        ]
        lines.append(f"| {case.sends} | {'let in' if case.accepted else '401'} | {' | '.join(answers)} |")
    return "\n".join(lines) + "\n"


class Recorded(ThreadingHTTPServer):
    """Answers every request with *statuses*, one after the other and then the last; 0 hangs up.

    Its clock may be so many seconds ahead of ours, and its bodies may be large.
    """

    daemon_threads = True

    def __init__(self, *statuses: int, host: str) -> None:
        super().__init__((host, 0), Answering)
        self.statuses = list(statuses)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.clock = 0.0
        self.connections = 0
        # More than what a connection holds without a reader.
        self.body = b""
        self.pause_before_each_byte = 0.0
        self.parts = 0
        self.was_read_to_the_end = False
        self.url = ""


class Answering(BaseHTTPRequestHandler):
    server: Recorded
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def answer(self) -> None:
        self.server.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        status = self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0]
        if status:
            self.send_response(status)
            self.send_header("content-length", str(len(self.server.body)))
            self.end_headers()
        if self.server.body:
            with suppress(ConnectionError):
                body, pause = self.server.body, self.server.pause_before_each_byte
                for part in [bytes([byte]) for byte in body] if pause else [body]:
                    time.sleep(pause)
                    self.wfile.write(part)
                    self.server.parts += 1
                self.server.was_read_to_the_end = True
        self.close_connection = not status

    do_GET = do_POST = answer  # noqa: N815 (the names are given)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.server.clock)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(*statuses: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Recorded]:
    server = Recorded(*statuses, host=host)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with in_a_thread(server) as server.url:
        yield server


def test_what_it_sends_can_do_no_harm(restate_signer: RequestSigner) -> None:
    services = [f"Service{number}" for number in range(MAX_SERVICES)]
    told: list[tuple[int, int]] = []
    with answering(401) as server:
        probe(
            f"{server.url}/mountedX/",
            signer=restate_signer,
            services=services,
            progress=lambda *numbers: told.append(numbers),
        )
    assert told == [(number, 165) for number in range(1, 166)]
    # One more says which version of HTTP it is.
    assert len(server.requests) == len(list(cases(None))) * (MAX_SERVICES + 1) + 1 == 166
    for method, path, headers in server.requests:
        if path == "/mountedX/discover":
            versions = [f"application/vnd.restate.endpointmanifest.v{version}+json" for version in (1, 2, 3, 4)]
            assert (method, headers["accept"].split(", ")) == ("GET", versions)
        else:
            _, mount, invoke, service, handler = path.split("/")
            assert headers["content-type"] == "application/vnd.restate.invocation.v5"
            assert (method, mount, invoke) == ("POST", "mountedX", "invoke")
            assert service in services
            assert handler.startswith("restate_identity_probe_")
        assert (headers["user-agent"], headers["accept-encoding"]) == ("restate-identity-probe", "identity")
        assert not {"content-length", "transfer-encoding"} & set(headers)


@pytest.mark.parametrize("status", [404, 302, 500, 599])
def test_where_there_is_no_endpoint_nothing_is_probed(status: int) -> None:
    with answering(status) as server:
        done = run(server.url)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{server.url} answers {status} to discovery: this is no endpoint" in done.stderr


def test_the_path_of_the_url_is_not_printed_for_it_may_hold_a_secret() -> None:
    secret = "key_1KaWp2nSSvSuMbL5sxn4Jk"
    with answering(401) as refusing, answering(404) as missing, answering(401, 401, 0) as silent:
        silence = f"http://127.0.0.1:{free_port()}"
        for url, more in (
            (refusing.url, []),
            (refusing.url, ["--json"]),
            (missing.url, []),
            (silent.url, []),
            (silence, []),
        ):
            done = run(f"{url}/{secret}", *more)
            assert url in done.stdout + done.stderr
            assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize("status", [300, 302, 399, 400, 500, 599])
def test_an_endpoint_that_fails_is_taken_neither_for_one_that_refuses_nor_for_one_that_lets_in(
    restate_signer: RequestSigner, status: int
) -> None:
    with answering(401, status) as server:
        report = probe(server.url, signer=restate_signer)
    assert {result.finding for result in report.results} == {Finding.UNCLEAR}


@pytest.mark.parametrize("status", [200, 299, 402, 404, 499])
def test_any_other_answer_lets_the_request_in(restate_signer: RequestSigner, status: int) -> None:
    with answering(499, status) as server:
        report = probe(server.url, signer=restate_signer)
    for result in report.results:
        assert result.finding == (None if result.case.accepted else result.case.finding)


@pytest.mark.parametrize("status", [401, 403])
def test_what_says_no_to_all_keeps_the_genuine_requests_out(restate_signer: RequestSigner, status: int) -> None:
    with answering(status) as server:
        assert {result.finding for result in probe(server.url, signer=restate_signer).results} == {None, Finding.CLOSED}


@pytest.mark.parametrize("answered", [0, 1])
def test_an_endpoint_that_stops_answering_is_left_alone(answered: int) -> None:
    with answering(*[401] * (1 + answered), 0) as server:
        with pytest.raises(ProbeError, match="stopped answering"):
            probe(server.url)
        # The question for the version, the cases, and two of each of the three that were not answered.
        assert len(server.requests) == 1 + answered + 2 * 3


def test_one_connection_that_is_dropped_is_no_finding() -> None:
    with answering(401, 401, 0, 401) as server:
        assert probe(server.url).findings == ()


def test_where_nothing_listens_one_line_says_so() -> None:
    done = run(f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "Connection refused; is it running?" in done.stderr


@pytest.mark.parametrize(
    ("url", "services", "problem"),
    [
        ("127.0.0.1:9080", [], "not the URL of an endpoint"),
        ("ftp://127.0.0.1", [], "not the URL of an endpoint"),
        ("http://127.0.0.1:99999", [], "not the URL of an endpoint"),
        ("http://127.0.0.1:0", [], "not the URL of an endpoint"),
        ("http://[", [], "not the URL of an endpoint"),
        ("http://127.0.0.1/\x01", [], "not the URL of an endpoint"),
        ("http://user:secret@127.0.0.1", [], "not the URL of an endpoint.* without user and password"),
        ("http://127.0.0.1/?query", [], "not the URL of an endpoint.* query"),
        ("http://127.0.0.1", ["../admin"], "not the name of a service"),
        ("http://127.0.0.1", ["."], "not the name of a service"),
        ("http://127.0.0.1", [".."], "not the name of a service"),
        ("http://127.0.0.1", ["a"] * 11, "at most 10 services"),
    ],
)
def test_what_cannot_be_probed_is_refused(url: str, services: list[str], problem: str) -> None:
    with pytest.raises(ProbeError, match=problem) as error:
        probe(url, services=services)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "1e300", "3601"])
def test_a_timeout_that_is_none_is_refused(timeout: str) -> None:
    with pytest.raises(ProbeError, match="the timeout is above 0 and at most 3600 seconds"):
        probe("http://127.0.0.1:1", timeout=float(timeout))


@pytest.mark.parametrize("timeout", [0.5, 3600])
def test_a_timeout_may_be_less_than_a_second_or_an_hour(timeout: float) -> None:
    with pytest.raises(ProbeError, match="cannot reach"):
        probe(f"http://127.0.0.1:{free_port()}", timeout=timeout)


def test_the_help_and_the_page_say_how_many_requests_it_sends() -> None:
    number = len(list(cases(None)))
    assert f"{number} requests" in run("--help").stdout
    assert f"{number} requests" in PAGE.read_text("utf-8")


def test_it_finds_out_how_far_the_clock_of_the_endpoint_is_behind() -> None:
    with answering(401) as server:
        server.clock = -7200.0
        assert 7000 < (probe(server.url).seconds_ahead or 0) < 7400


def test_it_is_shown_how_far_it_is_to_whoever_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, answering(401) as server, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        patched.setattr(sys, "argv", ["restate-identity", "probe", server.url])
        run_command()
    shown = b""
    # Linux says at the end that the other side is closed.
    with suppress(OSError):
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert shown.startswith(b"\r1 of 12 requests\r2 of 12 requests")
    assert shown.endswith(b"12 of 12 requests\r\x1b[K")


def test_one_connection_is_enough_where_the_answers_are_small() -> None:
    with answering(401) as server:
        server.body = b'{"message": "refused"}'
        probe(server.url)
        # The first asked in vain for HTTP/2.
        assert server.connections == 2


def test_a_large_body_is_not_read_to_its_end() -> None:
    with answering(401) as server:
        server.body = bytes(64 * 1024 * 1024)
        assert probe(server.url).findings == ()
        assert not server.was_read_to_the_end


def test_a_body_that_comes_byte_by_byte_is_not_waited_for_longer_than_for_an_answer() -> None:
    # The probe ends with the first answer.
    with answering(404) as server:
        server.body, server.pause_before_each_byte = bytes(100), 0.1
        with pytest.raises(ProbeError, match="answers 404"):
            probe(server.url, timeout=1)
        assert server.parts < 90


def test_a_proxy_that_the_environment_names_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(401) as server:
        assert probe(server.url).findings == ()


def test_a_proxy_that_the_environment_names_is_asked_for_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(401) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert probe("http://a.invalid").findings == ()
        assert {path for _, path, _ in proxy.requests} >= {"http://a.invalid/discover"}


def test_a_proxy_that_cannot_be_used_is_not_printed_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "gopher://user:secret@127.0.0.1")
    with pytest.raises(ProbeError, match=r"^cannot reach http://a\.invalid: check the URL, and") as error:
        probe("http://a.invalid")
    assert "secret" not in "".join(traceback.format_exception(error.value))


# A name of this machine to which the environment's certificates apply.
OTHER_NAME = "127.0.0.2"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TlsPair:
    pair = tls_pair(name=OTHER_NAME)
    (tmp_path / "authority.pem").write_bytes(pair.authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return pair


async def test_over_tls_it_speaks_http2(tls: TlsPair) -> None:
    async with Http2Target(tls=tls.cloud, host=OTHER_NAME, on_request=lambda served: served.answer(status=401)) as end:
        report = await asyncio.to_thread(probe, f"{end.origin}/mountedX/")
    assert (report.http_version, report.findings, report.waits_for_the_end) == ("HTTP/2", (), False)
    # The last one was sent without its end, to see what comes first.
    assert end.served[-1].headers[":path"].startswith("/mountedX/invoke/RestateIdentityProbe/restate_identity_probe_")


def test_over_tls_it_speaks_http1_where_the_endpoint_speaks_nothing_else(tls: TlsPair) -> None:
    tls.cloud.set_alpn_protocols(["http/1.1"])
    with answering(401, host=OTHER_NAME, tls=tls.cloud) as server:
        report = probe(server.url.replace("http:", "https:"))
    assert (report.http_version, report.findings, report.waits_for_the_end) == ("HTTP/1.1", (), None)

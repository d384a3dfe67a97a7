"""Reproduce each row of ``docs/debug-a-401.md`` against a real server, and compare the reason in the log.

The requests go through a real proxy, which changes them as the row says that a proxy or a gateway did.
"""

from __future__ import annotations

import http.client
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jwt
import pytest
import restate
import uvicorn

from restate_identity import IdentityVerifier, Reason
from restate_identity.asgi import Receive, RequestIdentityMiddleware, Scope, Send
from restate_identity.aws_lambda import require_request_identity
from restate_identity.restate_sdk import app as restate_app
from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.support.restate_server import RestateServer
from tests.support.servers import in_a_thread, thread_that_serves

PAGE = (ROOT / "docs" / "debug-a-401.md").read_text("utf-8")
SECTIONS = re.findall(r"^### `(\w+)`\n\n\| cause \| remedy \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE)
ROWS: list[tuple[str, str]] = [
    (reason, cause) for reason, rows in SECTIONS for cause in re.findall(r"^\| (.+?) \| ", rows, flags=re.MULTILINE)
]
PATH = "/invoke/Greeter/greet"
SCHEME, TOKEN = "x-restate-signature-scheme", "x-restate-jwt-v1"
OURS, ANOTHERS = RequestSigner.generate(), RequestSigner.generate()
KEY = str(OURS.public_key)
DEADLINE = 30.0

Headers = dict[str, str]
Pairs = list[tuple[str, str]]
Verifier = Callable[[], IdentityVerifier]


class Message(NamedTuple):
    """A request on its way."""

    path: str
    headers: Pairs
    body: bytes = b'"Ada"'


Proxy = Callable[[Message], Message]


def as_it_came(message: Message) -> Message:
    return message


@dataclass(frozen=True)
class Trouble:
    """How a row of the table comes about. By default all is well, and the request is let in."""

    sends: Callable[[], Headers] = lambda: OURS.headers(PATH)
    to: str = PATH
    proxy: Proxy = as_it_came
    service: Verifier = field(default=lambda: IdentityVerifier([KEY]))
    exempt_paths: list[str] | Callable[[str], bool] = field(default_factory=list)


# --- what proxies and gateways do


def without(*names: str) -> Proxy:
    return lambda message: message._replace(headers=[pair for pair in message.headers if pair[0] not in names])


def with_token(change: Callable[[str], str]) -> Proxy:
    def changed(message: Message) -> Message:
        return message._replace(
            headers=[(name, change(value) if name == TOKEN else value) for name, value in message.headers]
        )

    return changed


def with_path(change: Callable[[str], str]) -> Proxy:
    return lambda message: message._replace(path=change(message.path))


def mixed_up(message: Message) -> Message:
    other = {SCHEME: TOKEN, TOKEN: SCHEME}
    return message._replace(headers=[(other.get(name, name), value) for name, value in message.headers])


def doubled(message: Message) -> Message:
    return message._replace(headers=message.headers + [pair for pair in message.headers if pair[0] in (SCHEME, TOKEN)])


def without_what_is_longer_than(size: int) -> Proxy:
    return lambda message: message._replace(headers=[pair for pair in message.headers if len(pair[1]) <= size])


def with_another_signature(token: str) -> str:
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def without_the_end_of_the_signature(token: str) -> str:
    # The rest is base64url of whole bytes.
    return token[:-2]


# --- what services and callers do


def clock_off_by(seconds: float, **options: Any) -> Verifier:
    return lambda: IdentityVerifier([KEY], clock=lambda: time.time() + seconds, **options)


def signed_ago(seconds: float) -> Callable[[], Headers]:
    return lambda: OURS.headers(PATH, now=time.time() - seconds)


def forged() -> Headers:
    header = {"typ": "JWT", "alg": "EdDSA", "kid": KEY}
    now = int(time.time())
    token = ANOTHERS.sign_jws(header, {"aud": PATH, "exp": now + 60, "iat": now, "nbf": now - 60})
    return {SCHEME: "v1", TOKEN: token}


def signed_by_hand() -> Headers:
    now = time.time()
    claims = {"aud": [PATH], "exp": now + 60, "iat": now}
    return {SCHEME: "v1", TOKEN: OURS.sign_jws({"typ": "JWT", "alg": "EdDSA", "kid": KEY}, claims)}


def signed_without_a_key_id() -> Headers:
    now = int(time.time())
    claims = {"aud": PATH, "exp": now + 60, "iat": now, "nbf": now - 60}
    return {SCHEME: "v1", TOKEN: OURS.sign_jws({"typ": "JWT", "alg": "EdDSA"}, claims)}


def signed_by_a_gateway(_: str) -> str:
    return jwt.encode({"sub": "gateway"}, "a secret of the gateway, long enough for HMAC", algorithm="HS256")


TROUBLES = {
    "a gateway drops headers that it does not know": Trouble(proxy=without(SCHEME, TOKEN)),
    "the caller is not Restate: a health check, a browser, a scanner": Trouble(sends=dict, to="/healthz"),
    "a health check asks for `/health/`, and `/health` is exempt": Trouble(
        sends=dict, to="/health/", exempt_paths=["/health"]
    ),
    "an old Restate server without a request identity key sends the scheme `unsigned`": Trouble(
        sends=lambda: {SCHEME: "unsigned"}
    ),
    "a gateway mixed the two headers up, or a newer Restate signs in another way": Trouble(proxy=mixed_up),
    "a gateway passes the short header on and drops the long one": Trouble(proxy=without_what_is_longer_than(256)),
    "a proxy adds the headers again instead of setting them": Trouble(proxy=doubled),
    "a virtual object or workflow has a key of more than about 12,000 bytes": Trouble(
        sends=lambda: OURS.headers(PATH, subject="k" * 12_500)
    ),
    "a proxy cuts long headers short": Trouble(proxy=with_token(lambda token: token[:256])),
    "a gateway puts `Bearer` in front": Trouble(proxy=with_token(lambda token: f"Bearer {token}")),
    "a gateway changes headers to lower case, values too": Trouble(proxy=with_token(str.lower)),
    "a gateway puts a token of its own, signed in another way, in place of Restate's": Trouble(
        proxy=with_token(signed_by_a_gateway)
    ),
    "the Restate of another environment calls, staging for instance": Trouble(sends=lambda: ANOTHERS.headers(PATH)),
    "the Restate server has a new key, and the service was not told": Trouble(sends=lambda: ANOTHERS.headers(PATH)),
    "the old key was removed while a server still signs with it": Trouble(
        service=lambda: IdentityVerifier([ANOTHERS.public_key])
    ),
    "the token names no key, so no Restate server signed it": Trouble(sends=signed_without_a_key_id),
    "the token was changed in transit": Trouble(proxy=with_token(with_another_signature)),
    "a proxy cuts long headers short, and only the end of the signature is missing": Trouble(
        proxy=with_token(without_the_end_of_the_signature)
    ),
    "somebody forges tokens in the name of your key": Trouble(sends=forged),
    "the private key signs other tokens too, or a signer of your own does not sign as Restate does": Trouble(
        sends=signed_by_hand
    ),
    "the clock of the service is more than 60 s behind that of the Restate server": Trouble(service=clock_off_by(-90)),
    "the clock of the service is more than 60 s ahead of that of the Restate server": Trouble(service=clock_off_by(90)),
    # The service cannot tell a request that waited from one that was captured: both were signed long ago.
    "the request waited for more than 60 s in a queue or a buffering proxy": Trouble(sends=signed_ago(90)),
    "somebody sends a captured request again": Trouble(sends=signed_ago(3600)),
    "`max_token_age` is shorter than the travel time of a request plus the difference between the clocks": Trouble(
        service=clock_off_by(20, max_token_age=5)
    ),
    "a proxy strips too much of the path: `/invoke` as well as its own prefix": Trouble(
        to=f"/prefix{PATH}", proxy=with_path(lambda path: path.removeprefix("/prefix/invoke"))
    ),
    "a proxy rewrites the path: a slash at the end, another case, another name": Trouble(
        proxy=with_path(lambda path: f"{path}/")
    ),
    "the deployment is registered with a URL whose path can be read in two ways: "
    "an escape, a double slash, a dot segment": Trouble(to=f"/my%20services{PATH}"),
    "a function in `exempt_paths` exempts the path, but it can be read in two ways, as `/public/` can": Trouble(
        sends=dict, to="/public/", exempt_paths=lambda path: path.startswith("/public")
    ),
    "a test or a tool signs a path that no Restate server calls": Trouble(
        sends=lambda: OURS.headers("/orders"), to="/orders"
    ),
    "a token for one handler is sent to another": Trouble(to="/invoke/Greeter/fire"),
}
# These take more than one request, or a Restate server, and have separate tests below.
DOES_NOT_SIGN = "the Restate server has no request identity key, so it does not sign"
SPEAKS_HTTP_2 = (
    "registering fails, and the path in the log is `'*'`, or the server logs an invalid request line or "
    "`PRI * HTTP/2.0`: Restate speaks HTTP/2 to a server that knows only HTTP/1.1, such as uvicorn"
)
NO_HTTP_REQUEST = (
    "on AWS Lambda, and the log says `no path`: the event is not an HTTP request, but comes from a queue, a "
    "schedule or a warm-up"
)
STORIES = {
    NO_HTTP_REQUEST,
    DOES_NOT_SIGN,
    SPEAKS_HTTP_2,
}


# --- the service, and the proxy in front of it


class Service:
    """A guarded application; each test configures its guard."""

    def __init__(self) -> None:
        self.guard: Any = None
        self.port = free_port()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.guard(scope, receive, send)


class ProxyServer:
    """An HTTP proxy that changes requests, and passes the service's answers on."""

    def __init__(self, service: Service) -> None:
        self.change: Proxy = as_it_came
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                names = [(name.lower(), value) for name, value in self.headers.items()]
                kept = [(name, value) for name, value in names if name not in ("content-length", "connection")]
                status, answer = send(service.port, proxy.change(Message(self.path, kept, body)))
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]


def send(port: int, message: Message) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.putrequest("POST", message.path, skip_host=any(name == "host" for name, _ in message.headers))
        for name, value in [*message.headers, ("content-length", str(len(message.body)))]:
            connection.putheader(name, value)
        connection.endheaders(message.body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


async def application(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (the interface of ASGI)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"let in"})


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    options: dict[str, Any] = {"lifespan": "off", "ws": "none", "http": "h11", "log_config": None}
    server = uvicorn.Server(uvicorn.Config(service, port=service.port, **options))
    with thread_that_serves(server.run, service.port):
        yield service
        server.should_exit = True


@pytest.fixture(scope="module")
def proxy(service: Service) -> Iterator[ProxyServer]:
    proxy = ProxyServer(service)
    with in_a_thread(proxy.server):
        yield proxy


class Bench:
    """The service behind the proxy, and its log."""

    def __init__(self, service: Service, proxy: ProxyServer, caplog: pytest.LogCaptureFixture) -> None:
        self.service = service
        self._proxy = proxy
        self._caplog = caplog

    def guard(self, verifier: IdentityVerifier, exempt_paths: Iterable[str] | Callable[[str], bool] = ()) -> None:
        self.service.guard = RequestIdentityMiddleware(application, verifier=verifier, exempt_paths=exempt_paths)

    def request(self, trouble: Trouble) -> tuple[int, bytes]:
        self._proxy.change = trouble.proxy
        return send(self._proxy.port, Message(trouble.to, list(trouble.sends().items())))

    @property
    def log(self) -> str:
        return self._caplog.text

    def forget(self) -> None:
        self._caplog.clear()

    @property
    def reasons(self) -> list[str]:
        return [record.restate_reason for record in self._caplog.records if hasattr(record, "restate_reason")]


@pytest.fixture
def bench(service: Service, proxy: ProxyServer, caplog: pytest.LogCaptureFixture) -> Bench:
    caplog.set_level(logging.WARNING, "restate_identity")
    return Bench(service, proxy, caplog)


# --- the tests


def test_every_reason_has_a_row_and_every_row_comes_about_here() -> None:
    assert {reason for reason, _ in ROWS} == set(Reason)
    assert {cause for _, cause in ROWS} == set(TROUBLES) | STORIES
    assert len(ROWS) == len(TROUBLES) + len(STORIES)


@pytest.mark.parametrize(("reason", "cause"), [row for row in ROWS if row[1] in TROUBLES])
def test_the_log_names_the_reason_of_the_row(reason: str, cause: str, bench: Bench) -> None:
    trouble = TROUBLES[cause]
    bench.guard(trouble.service(), trouble.exempt_paths)

    assert bench.request(trouble) == (401, b'{"error":"unauthorized"}')

    assert bench.reasons == [reason]


def test_without_any_trouble_the_same_request_is_let_in(bench: Bench) -> None:
    bench.guard(Trouble().service())

    assert bench.request(Trouble()) == (200, b"let in")


@pytest.mark.parametrize(
    "harmless",
    [
        Trouble(to=f"/a/prefix{PATH}"),
        Trouble(to=f"/a/prefix{PATH}", proxy=with_path(lambda path: path.removeprefix("/a/prefix"))),
        Trouble(to=f"{PATH}?a=query"),
        Trouble(proxy=lambda message: message._replace(body=b"another body")),
        Trouble(proxy=lambda message: message._replace(body=b"")),
        Trouble(proxy=lambda message: message._replace(headers=[*without("host")(message).headers, ("host", "other")])),
    ],
    ids=["prefix", "stripped prefix", "query", "changed body", "no body", "host"],
)
def test_what_does_not_matter_does_not(harmless: Trouble, bench: Bench) -> None:
    bench.guard(harmless.service())

    assert bench.request(harmless) == (200, b"let in")


def test_a_restate_server_without_a_key_and_one_that_speaks_http_2(restate_program: Path, bench: Bench) -> None:
    bench.guard(Trouble().service())
    url = f"http://127.0.0.1:{bench.service.port}"
    with RestateServer(restate_program) as server:
        assert not server.register(url).is_success
        assert "refused a request to '*'" in bench.log
        assert set(bench.reasons) == {reason_of(SPEAKS_HTTP_2)}
        bench.forget()

        registered = server.register(url, use_http_11=True).text
        assert all(word in PAGE and word in registered for word in ("META0003", "401 Unauthorized"))
        assert "refused a request to '/discover'" in bench.log
        assert set(bench.reasons) == {reason_of(DOES_NOT_SIGN)}


@pytest.mark.parametrize("event", [{"Records": [{"eventSource": "aws:sqs"}]}, {"source": "aws.events"}, {}, None])
def test_an_event_that_is_no_http_request_is_refused(event: object, bench: Bench) -> None:
    @require_request_identity(identity_keys=[KEY])
    def guarded(event: object, context: object) -> Any:
        return {"statusCode": 200, "event": event, "context": context}

    assert guarded(event, None)["statusCode"] == 401
    assert "refused a request to no path" in bench.log
    assert bench.reasons == [reason_of(NO_HTTP_REQUEST)]


class FirstToken:
    """An ASGI application in front of another one, which mixes up requests: all get the token of the first call."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._first: list[tuple[bytes, bytes]] = []
        self.repaired = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.repaired and "/invoke/" in scope["path"]:
            ours = [pair for pair in scope["headers"] if pair[0].decode() in (SCHEME, TOKEN)]
            self._first = self._first or ours
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair not in ours] + self._first}
        await self._app(scope, receive, send)


def test_a_body_for_another_object_fails_and_is_retried_until_it_comes_with_its_own_token(
    restate_program: Path, bench: Bench, tmp_path: Path
) -> None:
    counter = restate.VirtualObject("Counter")

    @counter.handler()
    async def add(ctx: restate.ObjectContext, amount: int) -> str:
        return f"{amount} for {ctx.key()}"

    (tmp_path / "private.pem").write_bytes(OURS.to_pem())
    mixing = bench.service.guard = FirstToken(restate_app([counter], identity_keys=[KEY]))
    with RestateServer(restate_program, identity_key=tmp_path / "private.pem") as server:
        assert server.register(f"http://127.0.0.1:{bench.service.port}", use_http_11=True).is_success
        assert server.invoke("Counter/alice/add", 1).json() == "1 for alice"

        sent = server.invoke("Counter/bob/add/send", 2).json()["invocationId"]

        failure = eventually(lambda: last_failure_of(sent, server))
        assert all(word in PAGE and word in failure for word in ("RT0012", "401 Unauthorized"))
        shown = re.search(r"```text\n(refused .*'bob'.*)\n```", PAGE)
        assert shown is not None
        assert re.sub(r"publickeyv1_\w+", KEY, shown[1]) in bench.log

        mixing.repaired = True
        assert eventually(lambda: output_of(sent, server)) == "2 for bob"


def last_failure_of(invocation: str, server: RestateServer) -> str | None:
    """Return why the last attempt failed; None as long as none has."""
    columns = "last_failure_error_code, last_failure"
    sql = f"SELECT {columns} FROM sys_invocation WHERE id = '{invocation}' AND retry_count > 1"
    accept = {"accept": "application/json"}
    answer = httpx.post(f"{server.admin_url}/query", json={"query": sql}, headers=accept, trust_env=False, verify=False)
    rows = answer.json()["rows"]
    return str(rows[0]) if rows and rows[0].get("last_failure") else None


def output_of(invocation: str, server: RestateServer) -> str | None:
    answer = httpx.get(f"{server.ingress_url}/restate/invocation/{invocation}/output", trust_env=False, verify=False)
    return answer.json() if answer.status_code == 200 else None


def reason_of(cause: str) -> str:
    (reason,) = (reason for reason, text in ROWS if text == cause)
    return reason

"""The WSGI middleware, called directly as in PEP 3333."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from restate_identity import Identity, current_identity
from restate_identity.signing import RequestSigner
from restate_identity.wsgi import RequestIdentityMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]
REFUSAL = (
    "401 Unauthorized",
    [
        ("content-type", "application/json"),
        ("content-length", "24"),
        ("www-authenticate", "RestateRequestIdentity"),
    ],
    b'{"error":"unauthorized"}',
)


def environment(path: str = PATH, *, signed: str | None = None, **changes: Any) -> WSGIEnvironment:
    """A request for *path* that Restate signed, for the path *signed* if that is another; *changes* come last."""
    headers = SIGNER.headers(signed or path)
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "HTTP_X_RESTATE_SIGNATURE_SCHEME": headers["x-restate-signature-scheme"],
        "HTTP_X_RESTATE_JWT_V1": headers["x-restate-jwt-v1"],
        **changes,
    }
    setup_testing_defaults(environ)
    return {name: value for name, value in environ.items() if value is not None}


UNSIGNED: dict[str, Any] = {"HTTP_X_RESTATE_SIGNATURE_SCHEME": None, "HTTP_X_RESTATE_JWT_V1": None}


def as_utf8(path: str) -> str:
    """Return *path* as a WSGI server hands it over."""
    return path.encode().decode("latin-1")


class Call:
    """The response as a server sees it when it calls *app* and closes the response: status, headers and body."""

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        response = app(environ, self._start_response)
        try:
            self.body = b"".join(response)
        finally:
            close = getattr(response, "close", None)
            if close is not None:
                close()

    def _start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: Any = None,  # noqa: ARG002
    ) -> Callable[[bytes], object]:
        self.status, self.headers = status, headers
        return print

    @property
    def answer(self) -> tuple[str, list[tuple[str, str]], bytes]:
        return self.status, self.headers, self.body


class Application:
    """A WSGI application that notes how it was called."""

    def __init__(self) -> None:
        self.environ: WSGIEnvironment | None = None
        self.identity: Identity | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.environ, self.identity = environ, current_identity()
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"served"]


def guarded(app: WSGIApplication, **options: Any) -> RequestIdentityMiddleware:
    return RequestIdentityMiddleware(app, **{"identity_keys": KEYS, **options})


def test_a_signed_request_reaches_the_application_with_its_identity() -> None:
    app = Application()
    call = Call(guarded(app), environment())
    assert (call.status, call.body) == ("200 OK", b"served")
    assert app.identity is not None
    assert app.identity.audience == PATH
    assert app.environ is not None
    assert app.environ["restate_identity"] is app.identity
    assert current_identity() is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unsigned_request_gets_a_401_and_its_body_is_not_read(method: str) -> None:
    class Unread(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

    app = Application()
    environ = environment(REQUEST_METHOD=method, **UNSIGNED)
    environ["wsgi.input"] = Unread(b"data")
    assert Call(guarded(app), environ).answer == REFUSAL
    assert app.environ is None


def test_the_refusal_of_a_head_request_has_no_body() -> None:
    environ = environment(REQUEST_METHOD="HEAD", **UNSIGNED)
    assert Call(guarded(Application()), environ).answer == (*REFUSAL[:2], b"")


# The path


@pytest.mark.parametrize(
    ("script_name", "path_info"),
    [
        ("", PATH),
        ("/", PATH),
        ("/prefix", PATH),
        ("/prefix", "/more/invoke/Greeter/greet"),
    ],
)
def test_script_name_and_path_info_together_are_the_path(script_name: str, path_info: str) -> None:
    environ = environment(as_utf8(path_info), signed=PATH, SCRIPT_NAME=as_utf8(script_name))
    assert Call(guarded(Application()), environ).status == "200 OK"


def test_an_absent_script_name_or_path_info_is_empty() -> None:
    environ = environment("/", SCRIPT_NAME="/open", **UNSIGNED)
    del environ["PATH_INFO"]
    guard = guarded(Application(), exempt_paths=lambda path: path in ("/open", "", "/"))
    assert Call(guard, environ).status == "200 OK"
    environ = environment()
    del environ["SCRIPT_NAME"]
    assert Call(guarded(Application()), environ).status == "200 OK"


@pytest.mark.parametrize(
    ("script_name", "path_info"),
    [("/prefix/invoke/Greeter", "/greet"), (PATH, ""), ("/invoke", "/Greeter/greet"), (".", PATH)],
)
def test_a_mount_point_that_is_none_or_takes_a_part_of_what_was_signed_is_refused(
    script_name: str, path_info: str
) -> None:
    assert Call(guarded(Application()), environment(path_info, signed=PATH, SCRIPT_NAME=script_name)).answer == REFUSAL


def test_a_function_that_exempts_sees_the_path_decoded_as_utf8() -> None:
    seen: list[str] = []

    def note(path: str) -> bool:
        seen.append(path)
        return False

    Call(guarded(Application(), exempt_paths=note), environment(as_utf8("/caf\u00e9"), **UNSIGNED))
    assert seen == ["/caf\u00e9"]


@pytest.mark.parametrize("variable", ["REQUEST_URI", "RAW_URI"])
def test_a_path_that_was_sent_in_a_form_with_two_meanings_is_refused(variable: str) -> None:
    for target in (
        f"{PATH}#",
        f"/x/..{PATH}",
        f"x:{PATH}",
        f"http://host{PATH}",
        "/invoke%2FGreeter/greet",
        f"{PATH}\xe9",
        f"{PATH}\u20ac",
    ):
        assert Call(guarded(Application()), environment(**{variable: target})).answer == REFUSAL, target
    for target in (PATH, f"{PATH}?a=b#c", PATH.replace("G", "%47")):
        assert Call(guarded(Application()), environment(**{variable: target})).status == "200 OK", target


@pytest.mark.parametrize("variable", ["REQUEST_URI", "RAW_URI"])
def test_a_request_line_that_asks_for_another_path_than_the_application_gets_is_refused(variable: str) -> None:
    assert Call(guarded(Application()), environment(**{variable: "/invoke/Greeter/other"})).answer == REFUSAL
    assert Call(guarded(Application()), environment(**{variable: f"/prefix{PATH}"})).status == "200 OK"


NOT_UTF8 = [b"\xff", b"\xe9", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"]


@pytest.mark.parametrize("odd", NOT_UTF8)
@pytest.mark.parametrize("variable", ["SCRIPT_NAME", "PATH_INFO"])
def test_a_path_that_is_not_utf8_is_refused_whatever_is_exempt(odd: bytes, variable: str) -> None:
    environ = environment(**{variable: f"/{odd.decode('latin-1')}{PATH}"}, signed=PATH)
    assert Call(guarded(Application(), exempt_paths=lambda _: True), environ).answer == REFUSAL


def test_a_character_split_between_script_name_and_path_info_is_not_joined() -> None:
    environ = environment("\xa9" + PATH, signed=PATH, SCRIPT_NAME="/\xc3")
    assert Call(guarded(Application()), environ).answer == REFUSAL


def test_a_path_that_breaks_pep_3333_is_refused() -> None:
    assert Call(guarded(Application()), environment("/\u20ac" + PATH, signed=PATH)).answer == REFUSAL


# Exempt paths


def test_an_exempt_request_has_no_identity_even_if_it_brings_one() -> None:
    app = Application()
    outer = guarded(guarded(app, exempt_paths=[PATH]))
    assert Call(outer, environment(restate_identity="forged")).status == "200 OK"
    assert app.environ is not None
    assert "restate_identity" not in app.environ
    assert app.identity is None


def test_what_the_application_adds_to_the_environment_is_seen_further_up() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["app.user"] = "me"
        return Application()(environ, start_response)

    environ = environment()
    Call(guarded(app), environ)
    assert environ["app.user"] == "me"


# The response


def test_the_application_gets_the_very_start_response_of_the_server() -> None:
    passed: list[object] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
        passed.append(start_response)
        return []

    guarded(app)(environment(), print)  # type: ignore[arg-type]
    assert passed == [print]


def watching(seen: list[Identity | None], blocks: int = 2) -> WSGIApplication:
    """An application that notes the identity at every point at which its code runs."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
        def generate() -> Iterator[bytes]:
            try:
                for _ in range(blocks):
                    seen.append(current_identity())
                    yield b"block "
            finally:
                seen.append(current_identity())

        seen.append(current_identity())
        start_response("200 OK", [("content-type", "text/plain")])
        return generate()

    return app


def test_a_generator_sees_the_identity_at_each_step_and_the_server_does_not() -> None:
    seen: list[Identity | None] = []
    response = guarded(watching(seen))(environment(), lambda *_: print)
    for _ in response:
        assert current_identity() is None
    assert [identity and identity.audience for identity in seen] == [PATH] * 4


def test_an_iterable_sees_the_identity_when_it_is_asked_for_its_iterator() -> None:
    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            return iter([str(current_identity()).encode()])

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
        start_response("200 OK", [("content-type", "text/plain")])
        return Blocks()

    assert PATH.encode() in Call(guarded(app), environment()).body


def test_a_response_that_is_abandoned_is_closed_under_its_identity() -> None:
    seen: list[Identity | None] = []
    response = guarded(watching(seen))(environment(), lambda *_: print)
    next(iter(response))
    response.close()  # type: ignore[attr-defined]
    assert [identity and identity.audience for identity in seen] == [PATH] * 3
    assert current_identity() is None


def test_responses_that_are_served_in_turns_keep_their_own_identity() -> None:
    paths = [f"/invoke/Greeter/{name}" for name in "abc"]
    seen: dict[str, list[Identity | None]] = {path: [] for path in paths}
    responses = [guarded(watching(seen[path], 3))(environment(path), lambda *_: print) for path in paths]
    for _ in zip(*responses, strict=True):
        pass
    for path in paths:
        assert [identity and identity.audience for identity in seen[path]] == [path] * 5


def test_a_response_may_be_served_and_closed_by_other_threads() -> None:
    seen: list[Identity | None] = []
    response = guarded(watching(seen))(environment(), lambda *_: print)
    iterator = iter(response)
    steps: list[Callable[[], object]] = [
        lambda: next(iterator),
        lambda: next(iterator),
        response.close,  # type: ignore[attr-defined]
    ]
    for step in steps:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert [identity and identity.audience for identity in seen] == [PATH] * 4


def test_a_generator_as_the_application_works() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        yield str(environ["restate_identity"] is current_identity()).encode()

    assert Call(guarded(app), environment()).body == b"True"


@pytest.mark.parametrize("moment", ["call", "step", "close"])
def test_an_error_of_the_application_passes_and_leaves_no_identity_behind(moment: str) -> None:
    class Failing:
        def __iter__(self) -> Iterator[bytes]:
            yield b"block"
            if moment == "step":
                raise RuntimeError(moment)

        def close(self) -> None:
            if moment == "close":
                raise RuntimeError(moment)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
        start_response("200 OK", [("content-type", "text/plain")])
        if moment == "call":
            raise RuntimeError(moment)
        return Failing()

    with pytest.raises(RuntimeError, match=moment):
        Call(guarded(app), environment())
    assert current_identity() is None


@pytest.mark.parametrize(
    ("response", "length"),
    [([b"one"], 1), ((b"one", b"two"), 2), (iter([b"one"]), None)],
)
def test_a_response_has_a_length_exactly_if_the_applications_has(response: Iterable[bytes], length: int | None) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
        start_response("200 OK", [("content-type", "text/plain")])
        return response

    guarded_response = guarded(app)(environment(), lambda *_: print)
    if length is None:
        assert not hasattr(guarded_response, "__len__")
    else:
        assert len(guarded_response) == length  # type: ignore[arg-type]


def test_a_file_is_handed_to_the_server_as_its_own_wrapper() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        response: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"content"))
        return response

    environ = environment()
    environ["wsgi.file_wrapper"] = FileWrapper
    assert isinstance(guarded(app)(environ, lambda *_: print), FileWrapper)
    environ["wsgi.file_wrapper"] = lambda file: FileWrapper(file)
    assert Call(guarded(app), environ).body == b"content"


# PEP 3333, as wsgiref.validate understands it


def inside(app: WSGIApplication) -> WSGIApplication:
    """Have wsgiref.validate watch *app* from the guard's side.

    It takes every variable without a dot for a CGI variable, which must be a string; PEP 3333 does not ask for dots.
    """
    checked = validator(app)

    def without_identity(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop("restate_identity", None)
        return checked(environ, start_response)

    return without_identity


@pytest.mark.parametrize("make", [Application, lambda: watching([])])
@pytest.mark.parametrize("changes", [{}, UNSIGNED, {"PATH_INFO": "/open"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_middleware_is_clean_from_both_sides(
    make: Callable[[], WSGIApplication], changes: dict[str, Any], method: str
) -> None:
    app = validator(guarded(inside(make()), exempt_paths=["/open"]))
    environ = environment(REQUEST_METHOD=method, **changes)
    assert Call(app, environ).status == ("401 Unauthorized" if changes is UNSIGNED else "200 OK")

"""The guard, which all adapters share."""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

import pytest

from restate_identity import IdentityVerifier, InvalidKeyError, Reason, VerificationError, current_identity
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard, serving
from restate_identity.keyring import VARIABLES
from restate_identity.signing import RequestSigner
from restate_identity.telemetry import PrometheusObserver

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]


def guard(exempt_paths: Iterable[str] | Callable[[str], bool] = ()) -> RequestGuard:
    return RequestGuard(identity_keys=KEYS, exempt_paths=exempt_paths)


def refusal(of: RequestGuard, path: Any, scheme: str | None = None, token: str | None = None) -> Reason:
    with pytest.raises(VerificationError) as refused:
        of.admit(path, scheme, token)
    return refused.value.reason


# --- who is admitted


def test_a_genuine_request_is_admitted_with_its_identity() -> None:
    identity = guard().admit(PATH, "v1", SIGNER.token(PATH, subject="Zoë"))

    assert identity is not None
    assert (identity.key, identity.audience, identity.subject) == (KEYS[0], PATH, "Zoë")


def test_a_request_without_proof_is_refused_for_the_reason_that_the_verifier_gives() -> None:
    assert refusal(guard(), PATH) is Reason.MISSING_SCHEME
    assert refusal(guard(), PATH, "v1", None) is Reason.MISSING_TOKEN
    assert refusal(guard(), PATH, "v1", SIGNER.token("/discover")) is Reason.WRONG_AUDIENCE


@pytest.mark.parametrize("path", [None, b"/health", 0, ("/health",)])
def test_a_path_that_is_no_text_is_never_exempt(path: Any) -> None:
    everything = guard(lambda _path: True)

    assert refusal(everything, path, "v1", SIGNER.token(PATH)) is Reason.WRONG_AUDIENCE
    assert everything.admit("/health", None, None) is None


# --- exempt paths


def test_exempt_paths_are_exact() -> None:
    exempt = guard(["/health", "/"])

    assert exempt.admit("/health", None, None) is None
    assert exempt.admit("/", None, None) is None
    for path in ["/health/", "//health", "/x/health", "/Health", "/%68ealth", "/health ", "/health\x00", "//", "", "h"]:
        assert refusal(exempt, path) is Reason.MISSING_SCHEME


@pytest.mark.parametrize(
    "path",
    [
        *("/health/", "//health", "/a/../health", "/secret#/health", "/secret?/health", "/secret;/health"),
        *("/%2Fhealth", "/s\\health", "/\u00e9/health", "health", "http://a/health", "/health\n", ""),
    ],
)
def test_a_path_with_more_than_one_meaning_is_not_exempt_whatever_a_function_says(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    everything = guard(lambda _path: True)

    assert refusal(everything, path) is Reason.WRONG_AUDIENCE
    assert refusal(everything, path, "v1", SIGNER.token(PATH)) is Reason.WRONG_AUDIENCE
    assert "is exempt, but" in lines(caplog)[0]
    assert "ask for the plain path" in lines(caplog)[0]
    assert everything.admit("/x/health", None, None) is None


@pytest.mark.parametrize(
    ("path", "raw_path"),
    [
        ("/health", b"/invoke/B/health"),
        ("/invoke/B/health", b"/health"),
        ("/invoke/A/health", b"/x/invoke/B/health"),
        ("/health", b"/secret"),
        ("/health", b"/discover"),
    ],
)
def test_nor_is_one_that_was_sent_as_another_path(path: str, raw_path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    exempt = guard([path])

    with pytest.raises(VerificationError):
        exempt.admit(path, None, None, raw_path)
    assert "is exempt, but was sent as another path" in lines(caplog)[0]
    assert exempt.admit(path, None, None, path.encode()) is None


@pytest.mark.parametrize("path", ["/health", "/invoke/B/health"])
def test_an_exempt_path_may_be_sent_with_another_prefix(path: str) -> None:
    exempt = guard([path, f"/prod{path}"])

    assert exempt.admit(path, None, None, b"/prod" + path.encode()) is None
    assert exempt.admit("/prod" + path, None, None, path.encode()) is None


CALLS = [
    "/discover",
    "/public/discover",
    PATH,
    f"/public{PATH}",
    "/public/invoke/a.b/c-d",
    "/public/INVOKE/A/b",
    "/x/Discover",
]


@pytest.mark.parametrize("path", CALLS)
def test_a_function_exempts_nothing_that_restate_calls(path: str) -> None:
    everything = guard(lambda _path: True)

    assert refusal(everything, path) is Reason.MISSING_SCHEME
    assert everything.admit("/public/invoke", None, None) is None
    assert everything.admit("/invoke/b", None, None) is None


def test_a_mount_point_that_leaves_nothing_of_the_path_opens_no_root() -> None:
    exempt = guard(lambda path: path != "/")
    assert exempt.admit("/health", None, None) is None
    with pytest.raises(VerificationError, match="exempt both"):
        exempt.admit("/health", None, None, None, "")
    assert guard(lambda _path: True).admit("/health", None, None, None, "") is None
    with pytest.raises(VerificationError, match="exempt both"):
        guard(["/health", "/"]).admit("/health", None, None, None, "")


def test_what_restate_calls_is_exempt_if_it_is_named() -> None:
    assert guard([PATH, "/discover"]).admit(PATH, None, None) is None
    assert guard([PATH, "/discover"]).admit("/discover", None, None) is None


# --- a mounted application


def test_below_a_mount_point_the_application_must_route_on_what_was_signed(caplog: pytest.LogCaptureFixture) -> None:
    mounted = guard()

    assert mounted.admit(f"/app{PATH}", "v1", SIGNER.token(PATH), None, PATH) is not None
    assert mounted.admit(f"/app/v1{PATH}", "v1", SIGNER.token(PATH), None, f"/v1{PATH}") is not None
    for inner_path in (
        "/greet",
        "/Greeter/greet",
        "",
        "eeter/greet",
        "/",
        PATH[1:],
        f"-x{PATH}",
        "/invoke/Other/greet",
    ):
        with pytest.raises(VerificationError) as refused:
            mounted.admit(PATH, "v1", SIGNER.token(PATH), None, inner_path)
        assert refused.value.reason is Reason.WRONG_AUDIENCE
    assert "let its mount point, root_path or SCRIPT_NAME, end before /invoke and /discover" in lines(caplog)[0]


def test_below_a_mount_point_both_paths_must_be_exempt(caplog: pytest.LogCaptureFixture) -> None:
    assert guard(["/app/health", "/health"]).admit("/app/health", None, None, None, "/health") is None
    for exempt in (guard(["/app/health"]), guard(lambda path: path.startswith("/app/"))):
        assert exempt.admit("/app/health", None, None) is None
        with pytest.raises(VerificationError) as refused:
            exempt.admit("/app/health", None, None, None, "/health")
        assert refused.value.reason is Reason.WRONG_AUDIENCE
    assert "routes on '/health', which is not: exempt both" in lines(caplog)[0]


def test_a_mount_point_does_not_take_the_slash_along_by_which_a_function_knows_a_path() -> None:
    exempt = guard(lambda path: not path.startswith("/admin"))
    assert exempt.admit("/public", None, None, None, "") is None
    for inner_path in ("/admin/x", "admin/x"):
        with pytest.raises(VerificationError):
            exempt.admit("/public/admin/x", None, None, None, inner_path)


def test_an_exempt_path_needs_no_signature_and_a_bad_one_does_not_matter() -> None:
    assert guard(["/health"]).admit("/health", "v1", "forged") is None


@pytest.mark.parametrize("answer", [1, "yes", [True], object(), 1.0])
def test_only_true_exempts_and_not_what_is_merely_truthy(answer: Any) -> None:
    assert refusal(guard(lambda _path: answer), "/health") is Reason.MISSING_SCHEME
    assert guard(lambda _path: bool(answer)).admit("/health", None, None) is None


def test_a_function_that_fails_admits_nobody() -> None:
    def failing(path: str) -> bool:
        raise LookupError(path)

    with pytest.raises(LookupError):
        guard(failing).admit(PATH, "v1", SIGNER.token(PATH))


def test_the_paths_that_are_exempt_stay_what_they_were() -> None:
    paths = ["/health"]
    exempt = guard(paths)
    paths.append(PATH)

    assert refusal(exempt, PATH) is Reason.MISSING_SCHEME


def test_exempt_paths_come_as_any_iterable() -> None:
    exempt = guard(path for path in ["/health", "/ready"])

    assert exempt.admit("/health", None, None) is None
    assert exempt.admit("/ready", None, None) is None
    assert exempt.admit("/health", None, None) is None, "and are not used up"


def test_a_single_path_instead_of_a_list_is_a_mistake() -> None:
    with pytest.raises(TypeError, match=r"\['/health'\]"):
        guard("/health")


@pytest.mark.parametrize(
    "path", ["health", "", " /health", "*", "http://app/health", b"/health", None, 1, "/a/", "/\u00e9"]
)
def test_a_path_that_no_request_can_have_is_a_mistake(path: Any) -> None:
    with pytest.raises(ValueError, match="would never be exempt"):
        guard(["/ready", path])


@pytest.mark.parametrize("path", ["/docs/*", "/*", "/docs/*.css", "/public*", "/docs/**", "/*/docs"])
def test_a_wildcard_among_exempt_paths_is_a_mistake(path: str) -> None:
    with pytest.raises(ValueError, match=r"'\*', which is no wildcard here: pass a function"):
        guard(["/ready", path])


@pytest.mark.parametrize("value", [None, True, False, 5])
def test_what_is_neither_a_list_nor_a_function_exempts_nothing_and_is_a_mistake(value: Any) -> None:
    with pytest.raises(TypeError, match=f"exempt_paths is a list of paths, or a function, not {value}: leave it out"):
        guard(value)


async def says_later(path: str) -> bool:
    return bool(path)


class SaysLater:
    async def __call__(self, path: str) -> bool:
        return bool(path)


@pytest.mark.parametrize("function", [says_later, functools.partial(says_later), SaysLater()])
def test_a_function_that_must_be_awaited_is_a_mistake(function: Any) -> None:
    with pytest.raises(TypeError, match="a coroutine function, which is not awaited"):
        guard(function)


def test_a_function_that_cannot_be_called_with_a_path_alone_is_a_mistake() -> None:
    functions: list[tuple[Any, str]] = [(lambda path, method: path == method, "path, method"), (lambda: True, "")]
    for function, takes in functions:
        with pytest.raises(TypeError, match=rf"called with one argument, the path; this one takes \({takes}\)"):
            guard(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda path, strict=True: strict and path == "/a",
        lambda *paths: paths == ("/a",),
        {"/a": True}.get,
        frozenset({"/a"}).__contains__,
    ],
)
def test_any_function_that_can_be_called_with_a_path_alone_is_taken(function: Any) -> None:
    assert guard(function).admit("/a", None, None) is None
    assert refusal(guard(function), "/b") is Reason.MISSING_SCHEME


# --- the log


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("restate_identity", logging.WARNING)
    ]


def test_a_refusal_is_logged_with_path_reason_and_hint(caplog: pytest.LogCaptureFixture) -> None:
    refusal(guard(), PATH, "unsigned")

    (line,) = lines(caplog)
    assert line.startswith(f"refused a request to '{PATH}': unsigned: ")
    assert "configure one" in line


def test_what_is_admitted_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    guard(["/health"]).admit("/health", None, None)
    guard().admit(PATH, "v1", SIGNER.token(PATH))

    assert caplog.records == []


def test_a_log_line_stays_one_short_line_of_ascii_whatever_the_request(caplog: pytest.LogCaptureFixture) -> None:
    path = "/a\r\nrestate_identity: all is well\x1b[2J\u2028\ud800é" + "x" * 10_000

    refusal(guard(), path, "v2\n\x00" + "y" * 10_000)

    (line,) = lines(caplog)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 1000


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/discover", lambda token: token),
        (PATH, lambda token: token[:-20] + "A" * 20),
        (PATH, lambda token: token + ", " + token),
        (PATH, lambda token: token + "."),
        (PATH, lambda token: token.replace(".", "")),
        (PATH, lambda token: token * 100),
    ],
)
def test_no_part_of_a_token_is_logged(
    caplog: pytest.LogCaptureFixture, path: str, change: Callable[[str], str]
) -> None:
    token = SIGNER.token(PATH)

    refusal(guard(), path, "v1", change(token))

    (line,) = lines(caplog)
    for part in token.split("."):
        assert part[:20] not in line


# --- the answer to a refused caller


def test_a_refused_caller_is_told_nothing_but_that_it_is_refused() -> None:
    headers = dict(REFUSAL_HEADERS)

    assert REFUSAL_STATUS == 401
    assert json.loads(REFUSAL_BODY) == {"error": "unauthorized"}
    assert headers["content-length"] == str(len(REFUSAL_BODY))
    assert headers["content-type"] == "application/json"
    assert headers["www-authenticate"], "RFC 9110, 15.5.2: a challenge with every 401"


# --- current_identity()


def test_the_identity_is_current_within_the_block_only() -> None:
    identity = guard().admit(PATH, "v1", SIGNER.token(PATH))

    with serving(identity):
        assert current_identity() is identity
        with serving(None):
            assert current_identity() is None
        assert current_identity() is identity
    assert current_identity() is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_the_identity_is_gone_after_any_exception_which_passes(error: type[BaseException]) -> None:
    identity = guard().admit(PATH, "v1", SIGNER.token(PATH))

    with pytest.raises(error), serving(identity):
        raise error
    assert current_identity() is None


def test_a_plain_thread_does_not_see_the_identity_of_another() -> None:
    seen: list[Any] = []

    with serving(guard().admit(PATH, "v1", SIGNER.token(PATH))):
        thread = threading.Thread(target=lambda: seen.append(current_identity()))
        thread.start()
        thread.join()

    assert seen == [None]


# --- configuration


def test_a_verifier_is_used_as_it_is() -> None:
    verifier = IdentityVerifier(KEYS)

    assert RequestGuard(verifier=verifier).verifier is verifier


def test_keys_that_the_verifier_gets_later_are_in_force_at_once() -> None:
    other = RequestSigner.generate()
    verifier = IdentityVerifier(KEYS)
    renewed = RequestGuard(verifier=verifier)

    assert refusal(renewed, PATH, "v1", other.token(PATH)) is Reason.UNKNOWN_KEY
    verifier.replace_keys([other.public_key])
    assert renewed.admit(PATH, "v1", other.token(PATH)) is not None
    assert refusal(renewed, PATH, "v1", SIGNER.token(PATH)) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("options", [{}, {"identity_keys": None}, {"identity_keys": None, "verifier": None}])
def test_with_neither_keys_nor_a_verifier_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"pass identity_keys=.* or verifier=") as refused:
        RequestGuard(**options)
    assert all(name in str(refused.value) for name in VARIABLES)

    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", KEYS[0])

    assert [str(key) for key in RequestGuard(**options).verifier.keys] == KEYS


NO_KEYS: list[Any] = [[], (), {}, iter(())]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        *(({"identity_keys": keys}, ValueError, "never switched off by an empty list") for keys in NO_KEYS),
        ({"identity_keys": KEYS, "verifier": IdentityVerifier(KEYS)}, TypeError, "not both"),
        ({"identity_keys": [], "verifier": IdentityVerifier(KEYS)}, TypeError, "not both"),
        ({"identity_keys": KEYS[0]}, TypeError, "put the single key into one"),
        ({"identity_keys": ""}, TypeError, "put the single key into one"),
        ({"identity_keys": [*KEYS, KEYS[0][:-2]]}, InvalidKeyError, "identity key 2"),
        ({"identity_keys": ["", *KEYS]}, InvalidKeyError, "identity key 1"),
        ({"verifier": SIGNER}, TypeError, "not a RequestSigner"),
        ({"verifier": False}, TypeError, "not a bool"),
        ({"identity_keys": KEYS, "observer": False}, TypeError, "not a bool"),
        ({"identity_keys": KEYS, "observer": PrometheusObserver}, TypeError, "not the class PrometheusObserver"),
    ],
)
def test_a_configuration_that_is_incomplete_or_ambiguous_is_refused_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", KEYS[0])

    with pytest.raises(error, match=message):
        RequestGuard(**options)


def test_a_block_that_is_left_from_another_context_is_left_quietly() -> None:
    identity = IdentityVerifier([SIGNER.public_key]).verify(PATH, SIGNER.headers(PATH))

    def block() -> Generator[None, None, None]:
        with serving(identity):
            yield

    served = block()
    contextvars.copy_context().run(next, served)
    served.close()
    assert current_identity() is None

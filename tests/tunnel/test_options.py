"""What configures a tunnel: an argument, else the environment, else an error that names both."""

from __future__ import annotations

import asyncio
import inspect
import re
import ssl
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from restate_identity import InvalidKeyError
from restate_identity.signing import RequestSigner
from restate_identity.tunnel import ServeSettings, TunnelTimings, connect_tunnel, serve_tunnel
from restate_identity.tunnel.options import TunnelOptions, tunnel_options
from restate_identity.tunnel.settings import TunnelSettings
from restate_identity.tunnel.targets import Target, is_record_name, is_region, parse_target
from restate_identity.tunnel.token import AuthToken
from tests.tunnel.dialling import echo

SECRET = "key_secret-of-the-tests"
KEY = RequestSigner.generate().public_key
OTHER_KEY = RequestSigner.generate().public_key
OPERATOR = {
    "RESTATE_INPROC_TUNNEL_NAME": "greeter-v1",
    "RESTATE_INPROC_ENVIRONMENT_ID": "env_201",
    "RESTATE_INPROC_CLOUD_REGION": "eu",
    "RESTATE_INPROC_SIGNING_PUBLIC_KEY": str(KEY),
    "RESTATE_AUTH_TOKEN": SECRET,
    "HOSTNAME": "greeter-v1-abc",
}


def options(environ: dict[str, str] | None = None, **given: Any) -> TunnelOptions:
    return tunnel_options(OPERATOR if environ is None else environ, TunnelSettings(**given))


def test_what_the_operator_sets_is_a_complete_configuration() -> None:
    found = options()
    assert found.auth_token.read() == SECRET
    assert (found.tunnel_name, found.environment_id, found.signing_public_keys) == ("greeter-v1", "env_201", (KEY,))
    assert (found.servers, found.servers_srv) == ((), "tunnel.eu.restate.cloud")
    assert found.worker_id == "greeter-v1-abc"
    assert options({**OPERATOR, "RESTATE_TUNNEL_WORKER_ID": "named"}).worker_id == "named"


def test_an_argument_goes_before_the_environment() -> None:
    found = options(
        tunnel_name="b",
        environment_id="env_b",
        region="us.west-2",
        signing_public_key=OTHER_KEY,
        auth_token="b",
        worker_id="b",
    )
    assert (found.tunnel_name, found.environment_id, found.worker_id) == ("b", "env_b", "b")
    assert found.servers_srv == "tunnel.us.west-2.restate.cloud"
    assert (found.signing_public_keys, found.auth_token.read()) == ((OTHER_KEY,), "b")


def test_while_the_signing_key_is_rotated_there_are_several() -> None:
    assert options(signing_public_key=f"{KEY}, {OTHER_KEY}").signing_public_keys == (KEY, OTHER_KEY)


@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("RESTATE_INPROC_TUNNEL_NAME", "tunnel_name"),
        ("RESTATE_INPROC_ENVIRONMENT_ID", "environment_id"),
        ("RESTATE_INPROC_CLOUD_REGION", "region"),
        ("RESTATE_INPROC_SIGNING_PUBLIC_KEY", "signing_public_key"),
        ("RESTATE_AUTH_TOKEN", "auth_token"),
    ],
)
@pytest.mark.parametrize("empty", [False, True])
def test_what_is_missing_is_named_as_an_argument_and_as_a_variable(variable: str, option: str, empty: bool) -> None:
    environ = {name: value for name, value in OPERATOR.items() if name != variable}
    if empty:
        environ[variable] = " "
    with pytest.raises(ValueError, match=variable) as error:
        options(environ)
    assert empty or re.search(rf"\b{option}\b", str(error.value))
    assert options().tunnel_name  # with it, nothing is amiss


@pytest.mark.parametrize("key", ["", "publickeyv1_", "publickeyv1_1111", "secret", ","])
def test_there_is_no_tunnel_without_a_sound_signing_key(key: str) -> None:
    with pytest.raises(ValueError, match=r"^signing_public_key\b"):
        options(signing_public_key=key)


def test_an_unsound_key_of_the_environment_is_named_by_its_variable() -> None:
    with pytest.raises(InvalidKeyError, match=r"RESTATE_INPROC_SIGNING_PUBLIC_KEY: .*publickeyv1_"):
        options({**OPERATOR, "RESTATE_INPROC_SIGNING_PUBLIC_KEY": "off"})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("tunnel_name", value) for value in ("a b", "a/b", "ü", "a\nb")),
        *(("environment_id", value) for value in ("201", "env_", "env_2 1", "env_ü", "env_a\r\nx: y")),
        *(
            ("region", value)
            for value in ("eu.", ".eu", "-eu", "EU", "us.West-2", "e_u", "eu:1", "a..b", "e" * 64, "eu/..")
        ),
        *(("servers_srv", value) for value in ("a b", "..", "tunnel.eu:9080", "-a")),
        *(("worker_id", value) for value in ("a b", "ü", "a\nb", "")),
    ],
)
def test_what_is_not_of_its_form_is_refused_before_anything_is_dialled(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"^{option} (must be|is set, but empty)"):
        options(OPERATOR, **{option: value})


def test_an_environment_has_a_form_that_the_error_tells() -> None:
    with pytest.raises(ValueError, match=r"^environment_id must be env_\.\.\., not '201'$"):
        options(environment_id="201")


@pytest.mark.parametrize("name", ["tunnel.example.com", "_restate._tcp.example.com", "a.example."])
def test_an_srv_record_may_be_named(name: str) -> None:
    assert options(servers_srv=name).servers_srv == name
    environ = {**OPERATOR, "RESTATE_TUNNEL_SERVERS_SRV": name}
    assert options(environ).servers_srv == name
    assert options(environ, region="us").servers_srv == "tunnel.us.restate.cloud"


def test_explicit_servers_need_no_region() -> None:
    environ = {name: value for name, value in OPERATOR.items() if name != "RESTATE_INPROC_CLOUD_REGION"}
    found = options(environ, servers=["a.example:9090", "http://127.0.0.1:1", "a.example:9090"])
    assert found.servers == (
        Target("a.example", 9090, True, "a.example"),
        Target("127.0.0.1", 1, False, "127.0.0.1"),
    )
    assert found.servers_srv is None


@pytest.mark.parametrize(
    "given",
    [
        {"auth_token": "a", "auth_token_file": "b"},
        {"servers": ["a:1"], "servers_srv": "b"},
        {"region": "eu", "servers": ["a:1"]},
        {"region": "eu", "servers_srv": "b"},
        {"servers": []},
        {"auth_token_file": ""},
    ],
)
def test_contradictions_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))) as error:
        options(**given)
    assert all(re.search(rf"\b{option}\b", str(error.value).partition(":")[0]) for option in given)


def test_cleartext_is_for_an_srv_record_of_ones_own() -> None:
    assert options(servers_srv="tunnel.test").tls
    assert not options(servers_srv="tunnel.test", tls=False).tls
    assert not options({**OPERATOR, "RESTATE_TUNNEL_SERVERS_SRV": "tunnel.test"}, tls=False).tls
    contradictions: list[dict[str, Any]] = [{}, {"region": "us"}, {"servers": ["a:1"]}]
    for given in (*contradictions, {"servers_srv": "Tunnel.eu.Restate.cloud."}):
        with pytest.raises(ValueError, match="tls=False is only for a servers_srv of your own"):
            options(tls=False, **given)


@pytest.mark.parametrize("given", [{"servers": "a:1"}, {"tunnel_name": 1}, {"auth_token": b"a"}])
def test_what_is_of_another_type_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"^{next(iter(given))} is "):
        options(**given)


@pytest.mark.parametrize(
    ("text", "target", "url"),
    [
        ("a.example:9090", Target("a.example", 9090, True, "a.example"), "https://a.example:9090"),
        ("https://a.example", Target("a.example", 443, True, "a.example"), "https://a.example:443"),
        ("https://a.example:9090/", Target("a.example", 9090, True, "a.example"), "https://a.example:9090"),
        ("http://localhost", Target("localhost", 80, False, "localhost"), "http://localhost:80"),
        ("[::1]:9090", Target("::1", 9090, True, "::1"), "https://[::1]:9090"),
    ],
)
def test_a_server_is_an_address_or_a_url(text: str, target: Target, url: str) -> None:
    assert parse_target(text) == parse_target(url) == target
    assert str(target) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.example",
        "a:b",
        "a:0",
        "a:70000",
        "ftp://a:1",
        "https://",
        "https://u@a:1",
        "a:1/x",
        "a:1/X",
        "https://a:1?x",
        "a b:1",
    ],
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a tunnel server: write host:port"):
        parse_target(text)


def test_without_a_host_name_the_worker_gets_a_name_of_its_own() -> None:
    environ = {name: value for name, value in OPERATOR.items() if name != "HOSTNAME"}
    assert len(options(environ).worker_id) == 26
    assert options({**OPERATOR, "HOSTNAME": "ada's host"}).worker_id == "ada's-host"


def test_the_token_is_never_shown(tmp_path: Path) -> None:
    found = options()
    assert SECRET not in repr(found) + str(found) + repr(found.auth_token)
    for wrong in (f"{SECRET}\n{SECRET}", f"{SECRET} ü"):
        with pytest.raises(ValueError, match="auth_token") as error:
            options(auth_token=wrong)
        assert SECRET not in repr(error.value)
        file = tmp_path / "token"
        file.write_text(wrong, "utf-8")
        with pytest.raises(ValueError, match="auth token file") as file_error:
            AuthToken(file=file).read()
        assert SECRET not in repr(file_error.value)
        assert file_error.value.__context__ is None


def test_a_token_file_is_read_again_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = options({**OPERATOR, "RESTATE_INPROC_AUTH_TOKEN_FILE": str(file)}, auth_token_file=file).auth_token
    with pytest.raises(FileNotFoundError):
        token.read()
    for text in ("first", "second"):
        file.write_text(f" {text}\n")
        assert token.read() == text


def test_a_name_in_dns_has_253_characters_at_most() -> None:
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert (is_region(longest), is_record_name(longest)) == (True, True)
    assert (is_region(f"{longest}a"), is_record_name(f"{longest}a")) == (False, False)


def test_the_variable_with_the_token_goes_before_the_one_with_its_file() -> None:
    both = {**OPERATOR, "RESTATE_INPROC_AUTH_TOKEN_FILE": "elsewhere"}
    assert options(both).auth_token.read() == SECRET
    assert repr(options(both).auth_token) == "<AuthToken>"
    del both["RESTATE_AUTH_TOKEN"]
    assert "elsewhere" in repr(options(both).auth_token)


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "is empty"), (b" \n", "is empty"), (b"x" * 65_537, "more than 64 KiB")]
)
def test_a_file_that_holds_no_token_is_refused_and_named(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises((OSError, ValueError), match=problem) as refused:
        AuthToken(file=file).read()
    assert repr(str(file)) in str(refused.value)
    file.write_bytes(b"x" * 65_536)
    assert AuthToken(file=file).read() == "x" * 65_536


def test_a_token_file_is_found_from_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    token = options({**OPERATOR, "RESTATE_AUTH_TOKEN": ""}, auth_token_file="token").auth_token
    monkeypatch.chdir("/")
    assert token.read() == SECRET


def test_when_both_variables_of_the_token_are_set_the_log_says_which_one_is_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options()
    assert caplog.text == ""
    options({**OPERATOR, "RESTATE_INPROC_AUTH_TOKEN_FILE": "/no/such/file"})
    assert "RESTATE_AUTH_TOKEN and RESTATE_INPROC_AUTH_TOKEN_FILE are both set" in caplog.text
    assert SECRET not in caplog.text
    assert caplog.records[0].name == "restate_identity.tunnel"


@pytest.mark.parametrize("region", ["tunnel.eu.restate.cloud", "eu.restate.cloud"])
def test_a_host_is_no_region(region: str) -> None:
    for arguments in ({"region": region}, {"environ": {**OPERATOR, "RESTATE_INPROC_CLOUD_REGION": region}}):
        with pytest.raises(ValueError, match=r"the region is a name such as eu.*RESTATE_INPROC_CLOUD_REGION"):
            options(**arguments)


COMPLETE: dict[str, Any] = {
    "tunnel_name": "greeter",
    "environment_id": "env_123",
    "signing_public_key": KEY,
    "auth_token": SECRET,
    "servers": ["http://127.0.0.1:1"],
}


def a_factory() -> Any:
    raise AssertionError("nobody calls it")


@pytest.mark.parametrize("app", [None, "module:app", a_factory, type("Empty", (), {})])
def test_what_is_no_application_is_refused_at_the_call(app: Any) -> None:
    with pytest.raises(TypeError, match=r"^app "):
        connect_tunnel(app, **COMPLETE)
    with pytest.raises(TypeError, match=r"^app "):
        asyncio.run(serve_tunnel(app, **COMPLETE))


class Undocumented:
    __signature__ = "not one"

    def __call__(self, *_: Any) -> None: ...


@pytest.mark.parametrize("app", [Undocumented(), type])
def test_what_does_not_say_its_arguments_may_be_an_application(app: Any) -> None:
    connect_tunnel(app, **COMPLETE)


@pytest.mark.parametrize("timings", [TunnelTimings, {"grace": 3}, 3, False])
def test_what_is_no_timings_is_refused_at_the_call(timings: Any) -> None:
    with pytest.raises(TypeError, match=r"timings is a TunnelTimings\(\.\.\.\)"):
        connect_tunnel(echo, timings=timings, **COMPLETE)


@pytest.mark.parametrize(("function", "settings"), [(connect_tunnel, TunnelSettings), (serve_tunnel, ServeSettings)])
def test_the_settings_are_the_keyword_arguments(function: Any, settings: type[TunnelSettings]) -> None:
    names = [field.name for field in fields(settings)]
    assert list(inspect.signature(function).parameters) == ["app", *names]
    assert function.__doc__
    for wrong in ({"tunnel_nam": "a"}, {"health_prt": 1}):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            function(echo, **wrong)
    with pytest.raises(TypeError, match="positional"):
        function(echo, "greeter")


@pytest.mark.parametrize("settings", [TunnelSettings, ServeSettings])
def test_settings_do_not_show_the_token_and_do_not_change(settings: type[TunnelSettings]) -> None:
    given = settings(auth_token=SECRET, auth_token_file=SECRET)
    assert SECRET not in repr(given)
    for name in ("region", "health_port"):
        with pytest.raises(FrozenInstanceError):
            setattr(given, name, "us")


@pytest.mark.parametrize(
    ("verify_mode", "check_hostname"),
    [(ssl.CERT_NONE, False), (ssl.CERT_OPTIONAL, False), (ssl.CERT_OPTIONAL, True), (ssl.CERT_REQUIRED, False)],
)
def test_a_tls_context_that_does_not_verify_the_server_is_refused(
    verify_mode: ssl.VerifyMode, check_hostname: bool
) -> None:
    context = ssl.create_default_context()
    assert TunnelSettings(tls=context).tls is context
    context.check_hostname = False
    context.verify_mode = verify_mode
    context.check_hostname = check_hostname
    with pytest.raises(ValueError, match="tls must verify"):
        connect_tunnel(echo, tls=context, **COMPLETE)

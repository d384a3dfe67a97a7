"""The configuration of the command: which setting counts, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from restate_identity.tunnel.client.configuration import Configuration, configuration
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.serve_address import ServeAddress, serve_address
from restate_identity.tunnel.client.variables import NAMES, SETTINGS
from tests.tunnel.dialling import TOKEN
from tests.tunnel.tunnels import SIGNER

# The variables of the line in Restate's documentation, and the targets.
DOCUMENTED = {
    "RESTATE_ENVIRONMENT_ID": "env_201K0YD9W3",
    "RESTATE_AUTH_TOKEN": TOKEN,
    "RESTATE_TUNNEL_NAME": "greeter-v1",
    "RESTATE_SIGNING_PUBLIC_KEY": str(SIGNER.public_key),
    "RESTATE_CLOUD_REGION": "eu",
    "RESTATE_TUNNEL_TARGETS": "http://greeter:9080, *.svc.cluster.local",
}


OF_PROXIES = {
    "admin_uri": "--admin-uri",
    "ingress_serve_address": "--ingress-serve-address",
    "admin_serve_address": "--admin-serve-address",
    "proxy_hosts": "--proxy-host",
    "proxy_origins": "--proxy-origin",
    "cleartext_hosts": "--cleartext-host",
}


def configured(given: Mapping[str, Any] | None = None, /, **variables: str | None) -> Configuration:
    """Return the configuration with the documented variables, changed by *variables*."""
    environ = {name: value for name, value in {**DOCUMENTED, **variables}.items() if value is not None}
    return configuration(given or {}, environ)


def complaint(given: Mapping[str, Any] | None = None, /, **variables: str | None) -> str:
    """Return what is said of a wrong configuration."""
    with pytest.raises(ValueError, match=r"\w") as error:
        configured(given, **variables)
    assert TOKEN not in str(error.value)
    return str(error.value)


def test_the_variables_of_the_documented_line_are_enough() -> None:
    # The command passes all options, also those that it was not given.
    found = configured({"targets": (), "region": None})
    options = found.settings.options
    assert (options.tunnel_name, options.environment_id) == ("greeter-v1", "env_201K0YD9W3")
    assert (options.servers, options.servers_srv) == ((), "tunnel.eu.restate.cloud")
    assert options.auth_token.read() == TOKEN
    assert options.signing_public_keys == (SIGNER.public_key,)
    assert found.settings.targets.texts == ("http://greeter:9080", "*.svc.cluster.local")
    assert (found.settings.timings.connect, found.settings.limits.connect, found.settings.timings.grace) == (5, 5, 300)
    assert [(port.name, str(port.address), port.origin) for port in found.ports] == [
        ("ingress", "127.0.0.1:8080", Origin("https", "201k0yd9w3.env.eu.restate.cloud", 8080)),
        ("admin", "127.0.0.1:9070", Origin("https", "201k0yd9w3.env.eu.restate.cloud", 9070)),
    ]
    assert found.health == ServeAddress("::", 9090)


def test_an_option_takes_precedence_over_its_variable() -> None:
    given = {
        "tunnel_name": "other",
        "targets": ("http://a:1",),
        "servers": ("http://127.0.0.1:1",),
        "ingress_uri": "https://ingress.test",
        "ingress_serve_address": "[::]:1",
        "health_serve_address": "127.0.0.1:2",
        "connect_timeout": 0.5,
        "shutdown_timeout": 0.0,
    }
    found = configured(
        given, RESTATE_INGRESS_URI="https://x", RESTATE_TUNNEL_SERVERS_SRV="y", RESTATE_CONNECT_TIMEOUT="9"
    )
    assert found.settings.options.tunnel_name == "other"
    assert found.settings.targets.texts == ("http://a:1",)
    assert [str(target) for target in found.settings.options.servers] == ["http://127.0.0.1:1"]
    assert found.settings.options.servers_srv is None
    assert (found.settings.timings.connect, found.settings.timings.grace) == (0.5, 0)
    assert found.ports[0].origin == Origin("https", "ingress.test", 443)
    assert (found.ports[0].address, found.health) == (ServeAddress("::", 1), ServeAddress("127.0.0.1", 2))


@pytest.mark.parametrize(
    "text",
    ["https://a:1,http://b:2", "https://a:1 http://b:2", '["https://a:1", "http://b:2"]', "[https://a:1,http://b:2]"],
)
def test_the_servers_take_precedence_over_the_record_and_that_over_the_region(text: str) -> None:
    found = configured(RESTATE_TUNNEL_SERVERS=text, RESTATE_TUNNEL_SERVERS_SRV="tunnel.test").settings.options
    assert [str(target) for target in found.servers] == ["https://a:1", "http://b:2"]
    assert configured(RESTATE_TUNNEL_SERVERS_SRV="tunnel.test").settings.options.servers_srv == "tunnel.test"
    assert configured({"servers_srv": "x.test"}, RESTATE_TUNNEL_SERVERS=text).settings.options.servers_srv == "x.test"


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        *(("[fd00::7]", ["[fd00::7]"]), ("[fd00::7]:9080", ["[fd00::7]:9080"]), ("[greeter:9080]", ["greeter:9080"])),
        *(("[http://greeter:1]", ["http://greeter:1"]), ("[greeter:1,router:2]", ["greeter:1", "router:2"])),
    ],
)
def test_brackets_around_a_list_are_left_out_and_those_of_an_address_are_not(text: str, targets: list[str]) -> None:
    assert configured(RESTATE_TUNNEL_TARGETS=text).settings.targets.texts == tuple(targets)


def test_an_option_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError):
        configured({"target": ("greeter:9080",)})


def test_the_token_may_be_in_a_file_and_have_the_old_names(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from the file".replace(" ", "-"))
    for name in ("RESTATE_AUTH_TOKEN_FILE", "RESTATE_BEARER_TOKEN_FILE"):
        assert (
            configured(RESTATE_AUTH_TOKEN=None, **{name: str(file)}).settings.options.auth_token.read()
            == "from-the-file"
        )
    assert configured(RESTATE_AUTH_TOKEN=None, RESTATE_BEARER_TOKEN="x").settings.options.auth_token.read() == "x"
    assert (
        configured({"auth_token_file": str(file)}, RESTATE_AUTH_TOKEN=None).settings.options.auth_token.read()
        == "from-the-file"
    )


@pytest.mark.parametrize("variable", ["RESTATE_REMOTE_PROXY", "RESTATE_ENVIRONMENT_PROXY"])
def test_the_remote_proxies_can_be_switched_off(variable: str) -> None:
    assert configured(**{variable: "false"}, RESTATE_CLOUD_REGION=None, RESTATE_TUNNEL_SERVERS="a:1").ports == ()
    assert configured({"remote_proxy": False}).ports == ()
    assert len(configured({"remote_proxy": True}, **{variable: "false"}).ports) == 2


@pytest.mark.parametrize(
    "uri", ["http://localhost:8080", "http://127.0.0.1:8080/", "http://[::1]:8080", "https://a.test"]
)
def test_the_api_key_may_go_to_this_machine_in_cleartext_and_elsewhere_over_tls(uri: str) -> None:
    assert str(configured(RESTATE_INGRESS_URI=uri).ports[0].origin).startswith(uri.rstrip("/").rpartition(":")[0])


def test_elsewhere_it_goes_in_cleartext_only_to_a_host_that_is_named_for_that() -> None:
    assert "in cleartext" in complaint(RESTATE_ADMIN_URI="http://router:9070")
    told = complaint(RESTATE_ADMIN_URI="http://admin.test:9070")
    assert "RESTATE_ADMIN_URI: http://admin.test:9070 would send the API key in cleartext" in told
    assert "--cleartext-host admin.test, or set RESTATE_CLEARTEXT_HOSTS" in told
    for given, variables in (
        ({"cleartext_hosts": ("admin.test",)}, {}),
        ({}, {"RESTATE_CLEARTEXT_HOSTS": "other.test admin.test"}),
    ):
        found = configured(given, RESTATE_ADMIN_URI="http://admin.test:9070", **variables)
        assert found.ports[1].origin == Origin("http", "admin.test", 9070)


def test_everything_that_is_missing_is_said_at_once() -> None:
    told = complaint(**dict.fromkeys(DOCUMENTED))
    for name in ("tunnel_name", "environment_id", "signing_public_key", "auth_token_file", "region", "targets"):
        assert str(SETTINGS[name].option) in told
        assert SETTINGS[name].variable in told


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_empty_variable_is_an_error_that_says_what_to_do(name: str) -> None:
    setting = next(setting for setting in SETTINGS.values() if name in setting.names)
    changed = {**dict.fromkeys(setting.names), name: "  "}
    assert complaint(**changed) == f"{name} is set, but empty: unset it, or {setting.remedy}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("RESTATE_REMOTE_PROXI", "RESTATE_REMOTE_PROXY"),
        ("RESTATE_TUNNEL_TARGET", "RESTATE_TUNNEL_TARGETS"),
        ("RESTATE_INGRES_SERVE_ADDRESS", "RESTATE_INGRESS_SERVE_ADDRESS"),
        ("RESTATE_SIGNING_PUBLIC_KEYS", "RESTATE_SIGNING_PUBLIC_KEY"),
    ],
)
def test_a_typing_error_in_a_name_is_an_error(typed: str, meant: str) -> None:
    assert complaint(**{typed: "x"}) == f"{typed} is no setting of the tunnel client: do you mean {meant}?"


def test_variables_of_other_programs_are_left_alone() -> None:
    # Restate's command line, the operator, the other guards, and what Kubernetes adds for a service of this name.
    others = (
        *("RESTATE_ADMIN_URL", "RESTATE_INGRESS_URL", "RESTATE_HOST", "RESTATE_INPROC_TUNNEL_NAME"),
        *(
            "RESTATE_IDENTITY_KEYS",
            "RESTATE_TUNNEL_PORT",
            "RESTATE_TUNNEL_SERVICE_HOST",
            "RESTATE_TUNNEL_PORT_8080_TCP",
        ),
        *("RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE", "RESTATE_CLOUD_CLIENT_PORT"),
    )
    assert configured(**dict.fromkeys(others, "x")).ports


@pytest.mark.parametrize(
    ("given", "variables", "told"),
    [
        ({}, {"RESTATE_BEARER_TOKEN": "x"}, "RESTATE_AUTH_TOKEN and RESTATE_BEARER_TOKEN are both set"),
        ({}, {"RESTATE_AUTH_TOKEN_FILE": "x"}, "RESTATE_AUTH_TOKEN and RESTATE_AUTH_TOKEN_FILE are both set"),
        ({"auth_token_file": "x"}, {}, "RESTATE_AUTH_TOKEN and --auth-token-file are both set"),
        ({}, {"RESTATE_REMOTE_PROXY": "true", "RESTATE_ENVIRONMENT_PROXY": "false"}, "are both set, and mean the same"),
        ({}, {"RESTATE_REMOTE_PROXY": "flase"}, "RESTATE_REMOTE_PROXY must be true or false, not 'flase'"),
        ({}, {"RESTATE_REMOTE_PROXY": "0"}, "must be true or false"),
        ({}, {"RESTATE_REMOTE_PROXY": "xKfPaQzLmNbVtRwS"}, "not '(16 characters that may be a secret)'"),
        (
            {"ingress_uri": "https://a"},
            {"RESTATE_REMOTE_PROXY": "false"},
            "--ingress-uri is of no use with RESTATE_REMOTE",
        ),
        *(
            ({"remote_proxy": False, name: ("a",)}, {}, f"{option} is of no use with --no-remote-proxy: leave out one")
            for name, option in OF_PROXIES.items()
        ),
        (
            {"remote_proxy": False, "proxy_hosts": ("a",), "cleartext_hosts": ("a",)},
            {},
            "--proxy-host is of no use with --no-remote-proxy",
        ),
        ({"servers": ("a:1",), "servers_srv": "b"}, {}, "pass servers or servers_srv, but only one"),
        (
            {},
            {"RESTATE_TUNNEL_SERVERS": "a:1", "RESTATE_CLOUD_REGION": None},
            "the ingress proxy needs a region or a URI",
        ),
        ({}, {"RESTATE_TUNNEL_SERVERS": "a:1", "RESTATE_CLOUD_REGION": "EU"}, "must be DNS labels in lower case"),
        (
            {},
            {"RESTATE_TUNNEL_SERVERS": ", ,"},
            "lists nothing: unset it, or pass --server, or set RESTATE_TUNNEL_SERV",
        ),
        ({}, {"RESTATE_TUNNEL_SERVERS": "a"}, "'a' is not a tunnel server"),
        ({}, {"RESTATE_TUNNEL_TARGETS": "greeter/x"}, "the target 'greeter/x' cannot be used"),
        ({}, {"RESTATE_TUNNEL_TARGETS": "[]"}, "RESTATE_TUNNEL_TARGETS is set, but lists nothing"),
        ({}, {"RESTATE_TUNNEL_TARGETS": "*"}, "cannot be used"),
        ({}, {"RESTATE_CLOUD_REGION": "eu.restate.cloud"}, "the region is a name such as eu"),
        ({}, {"RESTATE_ENVIRONMENT_ID": "123"}, "RESTATE_ENVIRONMENT_ID must be env_..."),
        ({}, {"RESTATE_ENVIRONMENT_ID": "env_a/b"}, "no name of Restate Cloud can be made from the environment id"),
        ({}, {"RESTATE_SIGNING_PUBLIC_KEY": "x"}, "RESTATE_SIGNING_PUBLIC_KEY: an identity key begins with"),
        (
            {},
            {"RESTATE_INGRESS_URI": "ingress.test:8080"},
            "RESTATE_INGRESS_URI: 'ingress.test:8080' is not https://host",
        ),
        ({}, {"RESTATE_INGRESS_URI": "https://a.test/path"}, "is not https://host:port, without user and path"),
        ({}, {"RESTATE_INGRESS_URI": "https://u@a.test"}, "is not https://host:port, without user and path"),
        (
            {},
            {"RESTATE_INGRESS_SERVE_ADDRESS": "8080"},
            "RESTATE_INGRESS_SERVE_ADDRESS: '8080' is not an address to listen",
        ),
        ({"health_serve_address": ":9090"}, {}, "--health-serve-address: ':9090' is not an address to listen on"),
        ({}, {"RESTATE_CONNECT_TIMEOUT": "5s"}, "RESTATE_CONNECT_TIMEOUT must be a number of seconds, not '5s'"),
        ({}, {"RESTATE_SHUTDOWN_TIMEOUT": "soon"}, "RESTATE_SHUTDOWN_TIMEOUT must be a number of seconds, not 'soon'"),
        ({"shutdown_timeout": -0.5}, {}, "--shutdown-timeout must be a number of seconds"),
        ({}, {"RESTATE_SHUTDOWN_TIMEOUT": "inf"}, "RESTATE_SHUTDOWN_TIMEOUT must be a number of seconds"),
        ({"connect_timeout": 0.0}, {}, "--connect-timeout must be a number of seconds"),
        ({"connect_timeout": 1e6}, {}, "--connect-timeout must be a number of seconds"),
        ({}, {"RESTATE_SHUTDOWN_TIMEOUT": "nan"}, "RESTATE_SHUTDOWN_TIMEOUT must be a number of seconds"),
        ({}, {"RESTATE_PROXY_HOSTS": "http://a"}, "a host of the proxies is a name such as"),
        ({}, {"RESTATE_PROXY_ORIGINS": "localhost"}, "an origin is a scheme, a host and a port"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], variables: dict[str, str | None], told: str) -> None:
    assert told in complaint(given, **variables)


@pytest.mark.parametrize(
    ("text", "listen_on", "is_loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", True),
        ("localhost:0", "localhost", True),
        ("[::1]:8080", "::1", True),
        ("[::]:8080", None, False),
        ("0.0.0.0:8080", "0.0.0.0", False),
        ("10.0.0.7:65535", "10.0.0.7", False),
    ],
)
def test_an_address_to_listen_on(text: str, listen_on: str | None, is_loopback: bool) -> None:
    address = serve_address(text)
    assert (str(address), address.listen_on, address.is_loopback) == (text, listen_on, is_loopback)


@pytest.mark.parametrize(
    "text",
    [
        *("", "8080", "a:1", "router:1", "::1:1", "[127.0.0.1]:1", "[localhost]:1", "1.2.3.4:", "1.2.3.4:65536"),
        *("[::1:1", "::1]:1", "[fe80::1%eth0]:1", "1.2.3.4:000080", "1.2.3.4:-1", "1.2.3.4:\u0661"),
    ],
)
def test_no_address_to_listen_on(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address to listen on"):
        serve_address(text)

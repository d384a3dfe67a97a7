"""``integrations/edge/kubernetes``: parsed, and compared with what the real proxies run. No cluster is needed."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from restate_identity.cli.main import cli
from restate_identity.edge.dialects import DIALECTS
from restate_identity.keyring import KeyFile
from tests.support.edge_proxies import CONFIGURATIONS, PREFIX

FOLDER = CONFIGURATIONS / "kubernetes"
FORMS = {"ingress-nginx": "nginx", "traefik": "traefik", "envoy-gateway": "envoy"}
IDENTITY = ["x-restate-identity-key", "x-restate-identity-subject"]
EDGE = "http://restate-identity.default.svc.cluster.local:9001/"


def manifests(name: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a file by kind and name."""
    documents = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text("utf-8"))
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}


def spec(name: str, which: str) -> Any:
    return manifests(name)[which]["spec"]


def test_each_file_is_of_a_proxy_that_asks_or_is_the_edge() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*FORMS, "edge"}


def test_the_edge_starts_with_options_that_the_command_has() -> None:
    (container,) = spec("edge", "Deployment/restate-identity")["template"]["spec"]["containers"]
    program, command, *options = container["args"]
    assert (program, command) == ("restate-identity", "edge")
    given = cli.commands["edge"].make_context("edge", options).params
    assert (given["prefix"], given["listen"], given["status_host"]) == (PREFIX, "0.0.0.0:9001", "0.0.0.0")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"questions": 9001, "health": given["health_port"], "metrics": given["metrics_port"]}
    (mount,) = container["volumeMounts"]
    (variable,) = container["env"]
    assert variable == {"name": "RESTATE_IDENTITY_KEYS_FILE", "value": f"{mount['mountPath']}/keys"}


def test_the_keys_are_a_key_file(tmp_path: Any) -> None:
    file = tmp_path / "keys"
    file.write_text(manifests("edge")["ConfigMap/restate-identity"]["data"]["keys"])
    assert len(KeyFile(file).verifier().keys) == 1


def test_only_the_proxys_namespace_reaches_the_edge_and_the_service() -> None:
    selectors = []
    for name in ("restate-identity", "service"):
        policy = spec("edge", f"NetworkPolicy/{name}")
        assert policy["policyTypes"] == ["Ingress"]
        assert policy["podSelector"]["matchLabels"] == spec("edge", f"Service/{name}")["selector"]
        selectors += [source for rule in policy["ingress"] for source in rule["from"]]
    assert selectors == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}] * 2


@pytest.mark.parametrize(("form", "behind"), FORMS.items())
def test_each_form_says_which_edge_it_asks(form: str, behind: str) -> None:
    assert (
        (FOLDER / f"{form}.yaml")
        .read_text()
        .startswith(f"# Asks: restate-identity edge --behind {behind} --prefix {PREFIX}\n")
    )
    assert f"| `{form}.yaml` | `{behind}` |" in (FOLDER / "README.md").read_text("utf-8")


def test_ingress_nginx_has_the_limits_of_the_nginx_that_was_tested() -> None:
    tested = (CONFIGURATIONS / "nginx" / "nginx.conf").read_text("utf-8")
    ingress = manifests("ingress-nginx")["Ingress/service"]
    start = "nginx.ingress.kubernetes.io/"
    annotations = {name.removeprefix(start): value for name, value in ingress["metadata"]["annotations"].items()}
    assert (annotations["auth-url"], annotations["auth-method"]) == (EDGE, "GET")
    assert "proxy_method GET;" in tested
    # The path, from nginx and not from the client.
    question = manifests("ingress-nginx")["ConfigMap/restate-identity-question"]
    assert annotations["auth-proxy-set-headers"] == f"default/{question['metadata']['name']}"
    ((header, value),) = question["data"].items()
    assert header.lower().encode() == DIALECTS["nginx"]
    assert f"proxy_set_header {header} {value};" in tested
    # Each of these also replaces a forged one.
    assert annotations["auth-response-headers"].lower().split(",") == IDENTITY
    for name in ("proxy-request-buffering", "proxy-buffering"):
        assert f"{name.replace('-', '_')} {annotations[name]};" in tested
    assert f"client_max_body_size {annotations['proxy-body-size']};" in tested
    assert f"proxy_buffer_size {annotations['proxy-buffer-size']};" in tested
    for name in ("proxy-read-timeout", "proxy-send-timeout"):
        assert annotations[name] == "3600"
        assert f"{name.replace('-', '_')} 1h;" in tested
    # The way of ingress-nginx to speak HTTP/2 to a service.
    assert annotations["backend-protocol"] == "GRPC"
    assert not [name for name in annotations if name.endswith("snippet") or name == "rewrite-target"]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["backend"]["service"]["name"]) == (f"{PREFIX}/", "service")


def test_traefik_has_the_middlewares_of_the_traefik_that_was_tested() -> None:
    tested = yaml.safe_load((CONFIGURATIONS / "traefik" / "dynamic.yaml").read_text("utf-8"))["http"]
    asking = spec("traefik", "Middleware/restate-identity")["forwardAuth"]
    assert asking == {**tested["middlewares"]["restate-identity"]["forwardAuth"], "address": EDGE}
    assert spec("traefik", "Middleware/no-forged-identity") == tested["middlewares"]["no-forged-identity"]
    (route,) = spec("traefik", "IngressRoute/service")["routes"]
    names = [middleware["name"] for middleware in route["middlewares"]]
    assert names == tested["routers"]["restate"]["middlewares"]
    assert tested["routers"]["restate"]["rule"] in route["match"]
    (service,) = route["services"]
    assert (service["scheme"], service["port"]) == ("h2c", 9080)
    assert service["responseForwarding"] == tested["services"]["service"]["loadBalancer"]["responseForwarding"]
    static = yaml.safe_load((CONFIGURATIONS / "traefik" / "traefik.yaml").read_text("utf-8"))
    limit = static["entryPoints"]["web"]["transport"]["respondingTimeouts"]["readTimeout"]
    said = (FOLDER / "traefik.yaml").read_text("utf-8")
    assert f"transport.respondingTimeouts.readTimeout={limit}" in said
    assert f"http.aliasHeadersStrategy={static['entryPoints']['web']['http']['aliasHeadersStrategy']}" in said


def test_envoy_gateway_has_the_limits_of_the_envoy_that_was_tested() -> None:
    tested = (CONFIGURATIONS / "envoy" / "envoy.yaml").read_text("utf-8")
    policy = spec("envoy-gateway", "SecurityPolicy/restate-identity")
    asking = policy["extAuth"]
    assert asking["failOpen"] is False
    assert "failure_mode_allow: false" in tested
    allowed = re.search(r"allowed_headers:\n +patterns:\n((?: +- exact: \S+\n)+)", tested)
    assert allowed is not None
    assert asking["headersToExtAuth"] == re.findall(r"exact: (\S+)", allowed[1])
    assert asking["http"]["backendRefs"] == [{"name": "restate-identity", "port": 9001}]
    assert asking["http"]["headersToBackend"] == IDENTITY
    assert not {"bodyToExtAuth", "recomputeRoute"} & set(asking)
    client = spec("envoy-gateway", "ClientTrafficPolicy/restate-identity")
    assert client["headers"]["withUnderscoresAction"] == "RejectRequest"
    assert "headers_with_underscores_action: REJECT_REQUEST" in tested
    removed = client["headers"]["earlyRequestHeaders"]["remove"]
    matchers = re.findall(r"- remove_on_match: .*regex: '(x[^']+)'", tested)
    assert set(IDENTITY) < set(removed)
    assert all(any(re.fullmatch(matcher, name) for matcher in matchers) for name in removed)
    assert client["timeout"]["http"] == {"requestReceivedTimeout": "0s", "streamIdleTimeout": "1h"}
    assert "request_timeout: 0s" in tested
    assert "stream_idle_timeout: 3600s" in tested
    route = spec("envoy-gateway", "HTTPRoute/service")
    (target,) = policy["targetRefs"]
    assert (target["kind"], target["name"]) == ("HTTPRoute", "service")
    (rule,) = route["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": PREFIX}}]
    assert rule["timeouts"] == {"request": "0s"}
    (port,) = spec("edge", "Service/service")["ports"]
    assert port["appProtocol"] == "kubernetes.io/h2c"
    assert rule["backendRefs"] == [{"name": "service", "port": port["port"]}]

"""``integrations/grafana``: the metrics are served, and dashboard and alert rules use only existing ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from restate_identity import IdentityVerifier, Reason
from restate_identity.signing import RequestSigner
from restate_identity.telemetry import PrometheusObserver
from tests.servers.integrations.serving import HTTP, INTEGRATIONS, Launcher, Served
from tests.support.processes import free_port

FOLDER = INTEGRATIONS / "grafana"
PATH = "/invoke/Greeter/greet"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]},
}

Sample = tuple[str, dict[str, str]]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """All that the observer of a guard offers, before any request."""
    registry = CollectorRegistry()
    verifier = IdentityVerifier([RequestSigner.generate().public_key])
    PrometheusObserver(registry).watch(verifier)
    return [(sample.name, sample.labels) for family in registry.collect() for sample in family.samples]


def selections(query: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each metric of a query with the label, the operator and the value of its matchers."""
    for name, matchers in re.findall(r"(\brestate_identity\w*)(?:\{([^}]*)\})?", query):
        yield name, re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_asks_for_metrics_and_labels_that_the_observer_has(samples: list[Sample], query: str) -> None:
    selected = list(selections(query))
    assert selected
    for name, matchers in selected:
        labelled = [labels for sample, labels in samples if sample == name]
        assert labelled, name
        for label, operator, value in matchers:
            if label == "job":  # which Prometheus adds
                continue
            known = {labels[label] for labels in labelled}
            assert operator in ("=", "=~")
            assert set(value.split("|")) <= known, f"{label}{operator}{value}"
    for labels in re.findall(r"by \(([^)]*)\)", query):
        offered = {"job", "instance"}.union(*(labels for name, labels in samples if name in dict(selected)))
        assert set(labels.split(", ")) <= offered
    assert query.count("(") == query.count(")")


def test_every_reason_that_deserves_one_has_an_alert() -> None:
    alerted = set()
    for rule in RULES:
        for _, matchers in selections(rule["expr"]):
            alerted |= {reason for label, _, value in matchers if label == "reason" for reason in value.split("|")}

    # These come from a newer server, from very long object keys, or only with an option; none needs anybody at night.
    assert set(Reason) - alerted == {
        Reason.UNSUPPORTED_SCHEME,
        Reason.OVERSIZED_TOKEN,
        Reason.MALFORMED_CLAIMS,
        Reason.TOO_OLD,
    }


def test_every_alert_says_what_it_means_and_is_in_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text()
    for rule in RULES:
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert f"| `{rule['alert']}` |" in readme


def test_the_dashboard_can_be_imported_into_any_grafana() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "job"}
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, "panels lie on top of each other"
        taken |= cells


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def served(launch: Launcher, signer: RequestSigner, metrics_port: int) -> Served:
    return launch(
        "grafana",
        lambda port: ["uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port)],
        env={"RESTATE_IDENTITY_KEYS": str(signer.public_key), "METRICS_PORT": str(metrics_port)},
    )


def test_requests_are_counted_and_the_metrics_are_not_on_the_port_of_the_application(
    served: Served, signer: RequestSigner, metrics_port: int
) -> None:
    before = requests(metrics_port)
    assert served.get(PATH, signer.headers(PATH)).status_code == 200
    assert served.get(PATH).status_code == 401
    after = requests(metrics_port)

    assert after["accepted"] - before["accepted"] == 1
    assert after["refused"] - before["refused"] == 1
    assert served.get("/metrics").status_code == 401


def requests(metrics_port: int) -> dict[str, float]:
    """Read the counts by outcome as Prometheus does, at the target of ``prometheus.yml``."""
    targets = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"][0]["static_configs"][0][
        "targets"
    ]
    assert targets == ["127.0.0.1:9464"]
    page = HTTP.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    counts = {"accepted": 0.0, "refused": 0.0}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "restate_identity_requests_total":
                counts[sample.labels["outcome"]] += sample.value
    return counts

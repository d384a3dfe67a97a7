"""The snippets of ``docs/operating.md`` run, its log lines are the real ones, and its tables are complete."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

import restate_identity.telemetry
from restate_identity import IdentityVerifier, PublicKey, Reason, VerificationError
from restate_identity._refusal_log import BURST, INTERVAL, RefusalLog
from restate_identity.guard import RequestGuard
from restate_identity.keyring import VARIABLES, KeyFile
from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.clock import Clock

PAGE = (ROOT / "docs" / "operating.md").read_text("utf-8")
SIGNER = RequestSigner.generate()
KEY = str(SIGNER.public_key)
PATH = "/invoke/Greeter/greet"


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\s*```", PAGE, flags=re.DOTALL)


GUARD, OPTIONS, EXEMPT, LOGGING, OBSERVER = snippets("python")
KEY_FILE, KEPT, NOW_TRUSTING, REFUSED, LEFT_OUT = (text.strip() for text in snippets("text"))
DOCUMENTED_KEY = "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"


def column(heading: str) -> list[str]:
    """Return the first column of the table with this first heading, without the backquotes."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `([^`]*)`", table, flags=re.MULTILINE)


def test_the_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file = tmp_path / "keys"
    key_file.write_text(KEY)
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", KEY)
    monkeypatch.setattr("prometheus_client.REGISTRY", CollectorRegistry())
    names: dict[str, Any] = {"app": lambda *_: None}

    exec("\n".join([GUARD, OPTIONS.replace("/etc/restate/keys", str(key_file)), EXEMPT, OBSERVER]), names)

    assert isinstance(names["verifier"], IdentityVerifier)
    assert [str(key) for key in names["verifier"].keys] == [KEY]


def test_every_integration_configures_the_log_as_the_page_does() -> None:
    _, call = LOGGING.split("\n\n")
    apps = [path for path in (ROOT / "integrations").rglob("*.py") if "basicConfig" in path.read_text("utf-8")]
    assert len(apps) >= 8
    assert [path for path in apps if f"\n{call}\n" not in path.read_text("utf-8")] == []


def test_the_variables_are_those_that_are_read_in_their_order() -> None:
    assert column("variable") == list(VARIABLES)


def test_the_key_file_that_is_shown_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY_FILE)

    assert KeyFile(tmp_path / "keys").keys == (PublicKey.parse(DOCUMENTED_KEY),)


def test_the_lines_about_a_key_file_are_the_ones_that_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "restate_identity")
    path = tmp_path / "keys"
    path.write_text(DOCUMENTED_KEY)
    clock = Clock()
    file = KeyFile(path, clock=clock)

    path.unlink()
    clock.now += 10
    file.refresh()
    path.write_text(DOCUMENTED_KEY)
    clock.now += 10
    file.refresh()

    assert [line.replace(str(path), "/etc/restate/keys") for line in caplog.messages] == [KEPT, NOW_TRUSTING]


def test_the_line_of_a_refusal_is_the_one_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(VerificationError):
        RequestGuard(identity_keys=[KEY]).admit(PATH, "v1", SIGNER.token(PATH, now=time.time() - 91))

    # Seconds may pass between signing and verifying.
    assert re.sub(r"expired \d+ s", "expired 31 s", caplog.messages[0]).replace(KEY, DOCUMENTED_KEY) == REFUSED


def test_the_line_about_what_was_left_out_is_the_one_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock=clock)
    for _ in range(BURST + 4211):
        log.refused(PATH, VerificationError(Reason.MISSING_SCHEME, "nothing"))
    caplog.clear()

    clock.now += INTERVAL
    log.refused(PATH, VerificationError(Reason.MISSING_SCHEME, "nothing"))

    assert caplog.messages[0] == LEFT_OUT


def test_the_limits_are_those_that_are_said() -> None:
    prose = " ".join(PAGE.split())
    assert f"logs {BURST} refusals as they come, and from then on one in {INTERVAL:.0f} seconds" in prose
    assert f"at most {24 * 3600 / INTERVAL:,.0f} a day" in prose


def test_the_metrics_are_those_of_the_observer_with_their_labels() -> None:
    registry = CollectorRegistry()
    verifier = IdentityVerifier([RequestSigner.generate().public_key])
    restate_identity.telemetry.PrometheusObserver(registry).watch(verifier)
    offered = {}
    for family in registry.collect():
        [labels] = {frozenset(sample.labels.keys() - {"le"}) for sample in family.samples}
        offered[family.name + ("_total" if family.type == "counter" else "")] = labels

    documented = dict(re.findall(r"^\| `(restate_identity_\w+)` \| (.*?) \|", PAGE, flags=re.MULTILINE))

    assert {name: frozenset(re.findall(r"`(\w+)`", labels)) for name, labels in documented.items()} == offered


def test_the_alerts_are_those_of_the_rules() -> None:
    rules = yaml.safe_load((ROOT / "integrations" / "grafana" / "alerts.yml").read_text())["groups"][0]["rules"]

    assert column("alert") == [rule["alert"] for rule in rules]

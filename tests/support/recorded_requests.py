"""248 requests that a real Restate server 1.7.12 signed: for services, objects with awkward keys, and workflows, over
HTTP/1.1 and HTTP/2, with and without a mount prefix.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support import ROOT

RECORDING, *REQUESTS = map(
    json.loads, (ROOT / "tests" / "vectors" / "data" / "recorded_requests.jsonl").read_text("utf-8").splitlines()
)


def header(request: dict[str, Any], name: str) -> str | None:
    return dict(request["headers"]).get(name)

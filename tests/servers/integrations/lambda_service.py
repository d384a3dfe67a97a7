"""The part of AWS Lambda that Restate's client uses: the function of ``integrations/aws_lambda`` behind the Invoke API.

Run as ``python -m tests.servers.integrations.lambda_service PORT IDENTITY_KEY``. Folder, handler and environment are
read from the template; the handler is loaded as the Lambda runtime does, by its name, with the environment in place.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import unquote

from tests.support import ROOT

REGION = "us-east-1"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:123456789012:function:greeter:1"
TEMPLATE = ROOT / "integrations" / "aws_lambda" / "template.yaml"


def template() -> dict[str, Any]:
    """Return the CloudFormation template, with its short forms (``!Ref``) written out."""
    from cfnlint.decode import cfn_yaml  # takes a second

    parsed: dict[str, Any] = json.loads(json.dumps(cfn_yaml.load(str(TEMPLATE))))
    return parsed


def invocation_path(arn: str) -> str:
    """Return the path of the Invoke operation of the Lambda API (2015-03-31)."""
    return f"/2015-03-31/functions/{arn}/invocations"


def main(port: int, identity_key: str) -> None:
    function = template()["Resources"]["Function"]["Properties"]
    parameters = {"IdentityKey": identity_key}
    for name, value in function["Environment"]["Variables"].items():
        os.environ[name] = parameters[value["Ref"]]
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "greeter"
    logging.basicConfig()  # the runtime prints what is logged; the function sets the level
    sys.path.insert(0, str(TEMPLATE.parent / function["CodeUri"]))
    module, _, name = function["Handler"].rpartition(".")
    handler = getattr(importlib.import_module(module), name)

    # One thread, one event at a time, as in a Lambda function; HTTP/1.0, so that no idle connection holds it up.
    class Invoke(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert unquote(self.path) == invocation_path(FUNCTION_ARN), self.path
            answer = json.dumps(handler(event, None)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    HTTPServer(("127.0.0.1", port), Invoke).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

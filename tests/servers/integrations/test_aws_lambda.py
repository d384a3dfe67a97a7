"""``integrations/aws_lambda``: the function driven by the Lambda client of a real server, and its template."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.lambda_service import FUNCTION_ARN, REGION, TEMPLATE, invocation_path, template
from tests.servers.integrations.serving import HTTP, NO_PATIENCE, Served, forgeries
from tests.support import lambda_events
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.support.processes import ran
from tests.support.restate_server import RestateServer
from tests.support.servers import python, serve

GREET = "/invoke/LambdaGreeter/greet"
RESTATE_CLOUD = "arn:aws:iam::654654156625:root"


@pytest.fixture(scope="module")
def aws_lambda(signer: RequestSigner) -> Iterator[Served]:
    """AWS Lambda, with the function in ``integrations/aws_lambda``."""
    command = python("tests.servers.integrations.lambda_service", "{port}", str(signer.public_key))
    with serve(*command, env={"PYTHONUNBUFFERED": "1"}, patience=NO_PATIENCE) as server:
        yield Served(server.url, server.log)


@pytest.fixture(scope="module")
def restate_server(restate_program: Path, identity_pem: Path, aws_lambda: Served) -> Iterator[RestateServer]:
    """Run a server whose Lambda client calls `aws_lambda`."""
    aws = {
        "AWS_ENDPOINT_URL_LAMBDA": aws_lambda.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
    }
    with RestateServer(restate_program, identity_key=identity_pem, env=aws) as server:
        yield server


def invoke(aws_lambda: Served, headers: dict[str, str], argument: str) -> dict[str, Any]:
    """Invoke the function as anybody with ``lambda:InvokeFunction`` may."""
    signed = [("content-type", CONTENT_TYPE), *headers.items()]
    event = lambda_events.restate(GREET, signed, invocation_body("", argument))
    answer = HTTP.post(f"{aws_lambda.url}{invocation_path(FUNCTION_ARN)}", json=event)
    result: dict[str, Any] = answer.json()
    return result


def test_a_real_server_discovers_and_calls_the_function(restate_server: RestateServer, aws_lambda: Served) -> None:
    answer = HTTP.post(f"{restate_server.admin_url}/deployments", json={"arn": FUNCTION_ARN})
    assert answer.is_success, answer.text
    assert [service["name"] for service in answer.json()["services"]] == ["LambdaGreeter"]
    assert restate_server.invoke("LambdaGreeter/greet", "Ada").json() == "Hello Ada!"
    assert aws_lambda.has_printed("greeting Ada")


def test_an_event_that_restate_did_not_sign_is_refused_and_the_handler_does_not_run(
    aws_lambda: Served, signer: RequestSigner
) -> None:
    for how, headers in forgeries(signer, GREET).items():
        assert invoke(aws_lambda, headers, "Mallory")["statusCode"] == 401, how
    assert invoke(aws_lambda, signer.headers(GREET), "Grace")["statusCode"] == 200
    assert aws_lambda.has_printed("greeting Grace")
    assert not aws_lambda.has_printed("greeting Mallory")


@pytest.mark.parametrize(
    ("source", "name", "outcome"),
    [
        (lambda_events.restate, "any", "200"),
        (lambda_events.http_api, "any", "KeyError: 'httpMethod'"),
        (lambda_events.restate, None, "missing 1 required positional argument: 'send'"),
    ],
)
def test_the_handler_of_the_sdk_takes_the_events_that_the_readme_says(
    source: Callable[..., lambda_events.Event], name: str | None, outcome: str
) -> None:
    signer = RequestSigner.generate()
    headers = [("content-type", CONTENT_TYPE), *signer.headers(GREET).items()]
    env = {key: value for key, value in os.environ.items() if key != "AWS_LAMBDA_FUNCTION_NAME"}
    env |= {"RESTATE_IDENTITY_KEYS": str(signer.public_key)} | ({"AWS_LAMBDA_FUNCTION_NAME": name} if name else {})
    code = "import json, sys, app; print(app.handler(json.load(sys.stdin), None)['statusCode'])"
    event = json.dumps(source(GREET, headers, invocation_body("", "Ada")))
    done = ran(sys.executable, "-c", code, cwd=TEMPLATE.parent / "function", env=env, input=event)
    assert (done.stdout + done.stderr).strip().endswith(outcome)


def test_the_template_is_one_that_cloudformation_takes() -> None:
    lint = ran(Path(sys.executable).with_name("cfn-lint"), "--non-zero-exit-code", "informational", TEMPLATE)
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_only_restate_cloud_can_assume_the_role_and_only_for_this_environment() -> None:
    role = template()["Resources"]["InvokerRole"]["Properties"]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"AWS": RESTATE_CLOUD},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {
                    "sts:ExternalId": {"Ref": "EnvironmentId"},
                    "aws:PrincipalArn": "arn:aws:iam::654654156625:role/RestateCloud",
                }
            },
        },
        {"Effect": "Allow", "Principal": {"AWS": RESTATE_CLOUD}, "Action": "sts:TagSession"},
    ]


def test_the_role_may_only_invoke_this_function_and_its_versions() -> None:
    role = template()["Resources"]["InvokerRole"]["Properties"]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": [{"Fn::GetAtt": ["Function", "Arn"]}, {"Fn::Sub": "${Function.Arn}:*"}],
        }
    ]


def test_nobody_else_is_given_access_to_the_function() -> None:
    resources = template()["Resources"]
    assert {resource["Type"] for resource in resources.values()} == {"AWS::Serverless::Function", "AWS::IAM::Role"}
    function = resources["Function"]["Properties"]
    assert not {"Events", "FunctionUrlConfig", "Policies", "Role"} & set(function)


@pytest.mark.parametrize(
    ("parameter", "value", "taken"),
    [
        ("EnvironmentId", "env_201k5zhmk9", True),
        ("EnvironmentId", "*", False),
        ("EnvironmentId", "", False),
        ("IdentityKey", "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f", True),
        ("IdentityKey", "w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f", False),
        ("IdentityKey", "publickeyv1_", False),
    ],
)
def test_a_parameter_that_cannot_be_right_stops_the_deployment(parameter: str, value: str, taken: bool) -> None:
    pattern = template()["Parameters"][parameter]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is taken

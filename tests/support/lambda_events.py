"""Lambda events as each source sends them, reduced to the members that handlers use.

Sources: Restate 1.7 (measured); the developer guides of API Gateway, Lambda and Elastic Load Balancing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

Headers = Sequence[tuple[str, str]]
Event = dict[str, Any]


def restate(path: str, headers: Headers, body: bytes = b"") -> Event:
    """Restate, invoking a function by its ARN."""
    return {
        "path": path,
        "httpMethod": "POST",
        "headers": joined(headers),
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def rest_api(path: str, headers: Headers, body: bytes = b"") -> Event:
    """API Gateway, REST API: ``headers`` has only the last one of repeated headers."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "POST",
        "headers": dict(headers),
        "multiValueHeaders": listed(headers),
        "queryStringParameters": None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "requestContext": {
            "stage": "prod",
            "resourcePath": "/{proxy+}",
            "path": f"/prod{path}",
            "httpMethod": "POST",
            "requestId": "1",
        },
        **_body(body),
    }


def http_api(path: str, headers: Headers, body: bytes = b"") -> Event:
    """API Gateway, HTTP API in payload format 2.0, and function URLs."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": joined(headers, ","),
        "requestContext": {"stage": "$default", "routeKey": "$default", "http": _http(path)},
        **_body(body),
    }


def http_api_v1(path: str, headers: Headers, body: bytes = b"") -> Event:
    """API Gateway, HTTP API in payload format 1.0."""
    return {"version": "1.0", **rest_api(path, headers, body)}


def load_balancer(path: str, headers: Headers, body: bytes = b"") -> Event:
    """An Application Load Balancer, which keeps the last one of repeated headers."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/t/1"}},
        "httpMethod": "POST",
        "path": path,
        "queryStringParameters": {},
        "headers": {name.lower(): value for name, value in headers},
        **_body(body),
    }


def load_balancer_multi_value(path: str, headers: Headers, body: bytes = b"") -> Event:
    """An Application Load Balancer with multi-value headers switched on."""
    event = load_balancer(path, headers, body)
    del event["headers"]
    return {**event, "multiValueHeaders": listed([(name.lower(), value) for name, value in headers])}


SOURCES: dict[str, Callable[..., Event]] = {
    "restate": restate,
    "rest_api": rest_api,
    "http_api": http_api,
    "http_api_v1": http_api_v1,
    "load_balancer": load_balancer,
    "load_balancer_multi_value": load_balancer_multi_value,
}


def joined(headers: Headers, joint: str = ", ") -> dict[str, str]:
    lowered = listed([(name.lower(), value) for name, value in headers])
    return {name: joint.join(values) for name, values in lowered.items()}


def listed(headers: Headers) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return values


def _http(path: str) -> dict[str, str]:
    return {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}


def _body(body: bytes) -> Event:
    return {"body": base64.b64encode(body).decode() if body else None, "isBase64Encoded": bool(body)}

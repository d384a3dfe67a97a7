"""AWS KMS as moto serves it, for the real boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3


@contextmanager
def running_kms() -> Iterator[dict[str, Any]]:
    """Serve a KMS, and yield the options of a client for it."""
    from moto.server import ThreadedMotoServer  # takes half a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "endpoint_url": f"http://{host}:{port}",
        "region_name": "eu-central-1",
        "aws_access_key_id": "any",
        "aws_secret_access_key": "any",
    }
    server.stop()


def new_key(kms: dict[str, Any]) -> str:
    """Return the id of a new key of a KMS."""
    made: str = boto3.client("kms", **kms).create_key()["KeyMetadata"]["KeyId"]
    return made

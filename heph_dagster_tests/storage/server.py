"""An S3-compatible store on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import boto3
from moto.server import ThreadedMotoServer


@contextmanager
def running_store(*buckets: str) -> Iterator[str]:
    """Address of a store with some buckets; the environment tells Amazon's and our programs of it meanwhile."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        told = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        with patch.dict(os.environ, told):
            for bucket in buckets:
                boto3.client("s3").create_bucket(Bucket=bucket)
            yield told["AWS_ENDPOINT_URL"]
    finally:
        server.stop()

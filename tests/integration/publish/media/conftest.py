"""A server that speaks S3's protocol."""

import logging
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": ("key",), "AWS_SECRET_ACCESS_KEY": ("secret-canary",), "AWS_REGION": ("us-east-1",)}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Its address; it has a bucket ``files``."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    login = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **login).create_bucket(Bucket="files")
    yield url
    server.stop()

"""Secrets do not reach the log, even where somebody passes them to it."""

import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from ops.runtime import logs
logs.configure("info")
structlog.get_logger().info("x.happened", client_secret="canary", token="canary", secret_used="META_APP_SECRET#1",
    address="postgresql://u:canary@h/d")
logging.getLogger("library").warning("plain %s", "words", extra={"password": "canary"})
try:
    raise ValueError("boom")
except ValueError:
    structlog.get_logger().exception("x.failed")
"""


def test_lines_are_json_and_secrets_are_not_in_them() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert "canary" not in done.stderr
    first, second, third = (json.loads(line) for line in done.stderr.splitlines())
    assert first["secret_used"] == "META_APP_SECRET#1", "which secret matched is not itself a secret"
    assert second["event"] == "plain words"
    assert "boom" in third["exception"]


def test_trace_holds_no_value_that_a_database_error_was_about() -> None:
    import asyncpg

    from ops.runtime.logs import _trace

    secret = "canary"

    def fail() -> None:
        try:
            raise asyncpg.DataError(f"invalid input for query argument $1: {secret}")
        except asyncpg.DataError as error:
            raise ValueError("it was refused") from error

    try:
        fail()
    except ValueError:
        said = _trace(None, "error", {"event": "request.failed", "exc_info": True})["exception"]
    assert secret not in said
    assert said.count("Traceback (most recent call last):") == 2
    assert "DataError" in said
    assert said.endswith("ValueError: it was refused")
    assert "in fail" in said

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

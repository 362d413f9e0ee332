"""`docker-compose.yml`, read as compose reads it: what it starts can be started here without containers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.load((ROOT / "docker-compose.yml").read_text(), yaml.CSafeLoader)
SERVICES: dict[str, Any] = COMPOSE["services"]
REDIS_PASSWORD = "canary0password"
"""Of the Redis that tests start as the compose file says."""


def substituted(text: str, environ: Mapping[str, str]) -> str:
    """With ``${NAME:-default}`` and ``${NAME:?message}`` put in, for which empty is as good as unset."""

    def value(found: re.Match[str]) -> str:
        name, operator, word = found.groups()
        if environ.get(name):
            return environ[name]
        assert operator == "-", f"{name}: {word}"
        return word

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text).replace("$$", "$")


def environment(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What a service's process gets as its environment where this stands in ``.env``."""
    return {name: substituted(str(text), environ) for name, text in SERVICES[service]["environment"].items()}

"""What ops deploys agrees with what the program is: names, commands, metrics, alerts, runbook."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from compose_spec import ComposeSpecification
from prometheus_client import REGISTRY

import ops.runtime.metrics  # noqa: F401  (metrics register themselves)
from ingest import errors
from ops.cli import wiring
from ops.cli.main import main
from ops.runtime.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "ops" / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "rules.yml").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
CASES: dict[str, Any] = yaml.safe_load((DEPLOY / "tests.yml").read_text())

OURS = ("migrate", "web", "worker")


def alerts() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def known_variables() -> set[str]:
    return {name.upper() for name in Settings.model_fields} | {v.name for v in wiring.variables()}


def test_compose_file_follows_the_compose_specification() -> None:
    without_extensions = {name: part for name, part in COMPOSE.items() if not name.startswith("x-")}
    ComposeSpecification.model_validate(without_extensions)
    with pytest.raises(ValueError, match="services"):
        ComposeSpecification.model_validate({"services": {"web": {"ports": 5}}})


def test_compose_file_sets_only_variables_that_exist() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert used - known_variables() == {"POSTGRES_PASSWORD"}
    for name in OURS:
        assert set(COMPOSE["services"][name]["environment"]) <= known_variables()
        assert {v.name for v in wiring.variables()} <= set(COMPOSE["services"][name]["environment"])


def test_compose_file_passes_on_every_limit_that_the_environment_may_set() -> None:
    limits = ("BODY_LIMIT", "QUEUE_DELIVERIES", "QUEUE_BYTES", "WORKER_JOBS", "EVENT_TRIES")
    for name in OURS:
        for limit in limits:
            assert COMPOSE["services"][name]["environment"][f"LANDFALL_{limit}"] == f"${{LANDFALL_{limit}:-}}"


def test_compose_file_runs_commands_that_exist_and_gates_them_on_the_migration() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["command"][0] in main.commands
        if name != "migrate":
            assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
            assert "/readyz" in service["healthcheck"]["test"][-1]
    assert COMPOSE["services"]["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_compose_file_takes_out_daily_who_asked_to_be_erased(tmp_path: Path) -> None:
    daily = COMPOSE["services"]["daily"]
    [line] = daily["command"]
    [(name, option)] = re.findall(r"landfall (\w+) (--\w+)", line)
    assert option in {known for parameter in main.commands[name].params for known in parameter.opts}
    assert daily["environment"] == COMPOSE["services"]["migrate"]["environment"], "it needs the owner's login too"
    assert daily["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert daily["healthcheck"]["disable"], "it has no port to ask"
    command = tmp_path / "landfall"
    command.write_text('#!/bin/sh\necho ran "$@"\nkill $PPID\n')
    command.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shell = [*daily["entrypoint"], line]
    done = subprocess.run(shell, env=path, capture_output=True, text=True, timeout=10, check=False)
    assert done.stdout == "ran erase --requested\n"


def test_compose_file_publishes_no_internal_port_and_holds_no_password() -> None:
    published = {name: service.get("ports", []) for name, service in COMPOSE["services"].items()}
    assert [name for name, ports in published.items() if ports] == ["web", "prometheus"]
    assert all(str(port).startswith("127.0.0.1:") for port in published["prometheus"])
    assert "${POSTGRES_PASSWORD:?" in COMPOSE["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]


def test_image_copies_every_package_and_does_not_run_as_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for package in ("ingest", "sync", "publish", "schema", "migrations", "ops"):
        assert f"COPY {package} {package}" in text
        assert f"!{package}\n" in (ROOT / ".dockerignore").read_text()
    assert text.rindex("USER landfall") > text.rindex("FROM")
    assert "--require-hashes" in text


def test_rules_name_only_metrics_that_exist() -> None:
    exported = set()
    for metric in REGISTRY.collect():
        exported |= {metric.name, f"{metric.name}_total", f"{metric.name}_bucket"}
    recorded = {rule["record"] for group in RULES["groups"] for rule in group["rules"]}
    used = set(re.findall(r"\blandfall_\w+", yaml.dump([RULES, ALERTS, CASES])))
    assert used - exported - recorded == set()
    assert {"webhook_processing_latency", "webhook_error_ratio"} <= recorded


def test_error_ratio_counts_every_answer_that_is_our_fault_and_no_other() -> None:
    refusals = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Refusal)]
    ours = {kind.code for kind in refusals if getattr(kind, "status", None) == 503}
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    ratio = next(rule["expr"] for rule in rules if rule["record"] == "webhook_error_ratio")
    failed, counted = (set(outcomes.split("|")) for outcomes in re.findall(r'outcome=~"([^"]+)"', ratio))
    assert failed == ours
    assert counted == ours | {"accepted", "unreadable", "quarantined"}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_alert_has_a_severity_an_entry_in_the_runbook_and_cases_both_ways(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert alert["labels"]["severity"] in ("page", "warn")
    assert alert["annotations"]["runbook"] == f"ops/RUNBOOK.md#{name.lower()}"
    headings = re.findall(r"^## (.+)$", (ROOT / "ops" / "RUNBOOK.md").read_text(), re.MULTILINE)
    assert name in headings
    entry = (ROOT / "ops" / "RUNBOOK.md").read_text().split(f"## {name}\n")[1].split("\n## ")[0]
    assert re.findall(r"^- \*\*(\w+):\*\*", entry, re.MULTILINE) == ["Why", "Mend", "Done"]
    cases = {case["name"]: case["promql_expr_test"][0] for case in CASES["tests"]}
    assert len(cases[f"{name} fires"]["exp_samples"]) == 1
    assert cases[f"{name} stays quiet"]["exp_samples"] == []
    assert f'alertname="{name}"' in cases[f"{name} fires"]["expr"]


def test_runbook_names_only_commands_and_links_that_exist() -> None:
    text = (ROOT / "ops" / "RUNBOOK.md").read_text()
    for line in re.findall(r"`landfall ([^`]+)`", text):
        first, *rest = line.split()
        command = main.commands[first]
        if isinstance(command, click.Group):
            command = command.commands[rest[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", line)) <= options, line
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "rules.yml", "alerts.yml"),
        ("test", "rules", "tests.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus): the alert rules were NOT checked")
    done = subprocess.run([promtool, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

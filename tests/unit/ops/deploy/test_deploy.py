"""What ops deploys agrees with what the program is: names, commands, metrics, alerts, runbook."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from compose_spec import ComposeSpecification
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from ingest import errors
from ops.cli import wiring
from ops.cli.main import main
from ops.runtime import metrics
from ops.runtime.settings import Settings
from schema.tables import all_tables
from tests.compose import COMPOSE, SERVICES, substituted
from tests.support import required_program

ROOT = Path(__file__).parents[4]
DEPLOY = ROOT / "ops" / "deploy"
RULES: dict[str, Any] = yaml.load((DEPLOY / "rules.yml").read_text(), yaml.CSafeLoader)
ALERTS: dict[str, Any] = yaml.load((DEPLOY / "alerts.yml").read_text(), yaml.CSafeLoader)
CASES: dict[str, Any] = yaml.load((DEPLOY / "tests.yml").read_text(), yaml.CSafeLoader)

OURS = ("migrate", "web", "worker")
CONTEXT = click.Context(main)


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
    passwords = {"POSTGRES_PASSWORD", "SERVE_PASSWORD", "WORK_PASSWORD", "REDIS_PASSWORD"}
    assert used - known_variables() == {*passwords, "LANDFALL_BIND"}
    for name in OURS:
        piped = {"SERVE_PASSWORD", "WORK_PASSWORD"} if name == "migrate" else set()
        assert set(COMPOSE["services"][name]["environment"]) - known_variables() == piped
        assert {v.name for v in wiring.variables()} <= set(COMPOSE["services"][name]["environment"])


def test_compose_file_leaves_no_dollar_for_compose_to_misread() -> None:
    """A variable of a service's own shell is written with two; with one, compose puts in what this machine has."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.sub(r"\$\{\w+:[-?][^}]*\}|\$\$", "", text).count("$") == 0


def test_compose_file_passes_on_every_limit_that_the_environment_may_set() -> None:
    limits = ("BODY_LIMIT", "QUEUE_DELIVERIES", "QUEUE_BYTES", "HTTP_CONNECTIONS", "CLIENT_CONNECTIONS")
    limits += ("WORKER_JOBS", "EVENT_TRIES", "SPOOL_BYTES", "MEDIA_DAYS")
    limits += tuple(f"MEDIA_{kind}_BYTES" for kind in ("IMAGE", "GIF", "VIDEO", "DOCUMENT"))
    for name in OURS:
        for limit in limits:
            assert COMPOSE["services"][name]["environment"][f"LANDFALL_{limit}"] == f"${{LANDFALL_{limit}:-}}"


def test_compose_file_gives_the_web_process_alone_a_spool_that_lasts_and_that_it_may_write() -> None:
    spools = {name: SERVICES[name]["environment"].get("LANDFALL_SPOOL_DIR") for name in OURS}
    assert spools == {"migrate": None, "web": "/spool", "worker": None}
    assert "spool:/spool" in SERVICES["web"]["volumes"]
    assert "spool" in COMPOSE["volumes"]
    text = (DEPLOY / "Dockerfile").read_text()
    assert "install --directory --owner=landfall --group=landfall --mode=0700 /spool" in text


def test_compose_file_gives_web_and_worker_one_place_for_files_that_lasts_and_that_they_may_write() -> None:
    for name in ("web", "worker"):
        assert SERVICES[name]["environment"]["LANDFALL_MEDIA_URL"] == "${LANDFALL_MEDIA_URL:-file:///media}"
        assert "media:/media" in SERVICES[name]["volumes"]
    assert "media" in COMPOSE["volumes"]
    assert "--mode=0700 /spool /media" in (DEPLOY / "Dockerfile").read_text()


def test_compose_file_runs_commands_that_exist_and_gates_them_on_the_migration() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        if name == "migrate":
            assert re.findall(r"landfall (\w+)", service["command"][0]) == ["migrate", "db", "db"]
        else:
            assert service["command"][0] in main.list_commands(CONTEXT)
            assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
            assert "/readyz" in service["healthcheck"]["test"][-1]
    assert COMPOSE["services"]["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_compose_file_takes_out_daily_who_asked_to_be_erased(tmp_path: Path) -> None:
    daily = COMPOSE["services"]["daily"]
    [line] = daily["command"]
    [(name, option)] = re.findall(r"landfall (\w+) (--\w+)", line)
    command = main.get_command(CONTEXT, name)
    assert command is not None
    assert option in {known for parameter in command.params for known in parameter.opts}
    owners = COMPOSE["services"]["migrate"]["environment"]["DATABASE_URL"]
    assert daily["environment"]["DATABASE_URL"] == owners, "nobody else takes anything out of the log"
    assert daily["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert daily["healthcheck"]["disable"], "it has no port to ask"
    command = tmp_path / "landfall"
    command.write_text('#!/bin/sh\necho ran "$@"\nkill $PPID\n')
    command.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shell = [*daily["entrypoint"], line]
    done = subprocess.run(shell, env=path, capture_output=True, text=True, timeout=10, check=False)
    assert done.stdout == "ran erase --requested\n"


def test_compose_file_gives_the_owners_login_to_nobody_who_talks_to_the_world() -> None:
    for name, service in SERVICES.items():
        given = {variable: str(value) for variable, value in service.get("environment", {}).items()}
        holds = {word for word in ("POSTGRES", "SERVE", "WORK") if f"{{{word}_PASSWORD" in str(given)}
        expected = {
            "postgres": {"POSTGRES"},
            "migrate": {"POSTGRES", "SERVE", "WORK"},
            "daily": {"POSTGRES"},
            "web": {"SERVE"},
            "worker": {"WORK"},
        }
        assert holds == expected.get(name, set()), name
        assert "landfall:" not in given.get("DATABASE_URL", "") or name in ("migrate", "daily")


def test_compose_file_publishes_no_internal_port_and_holds_no_password() -> None:
    published = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert [name for name, ports in published.items() if ports] == ["web", "prometheus"]
    assert published["prometheus"] == ["127.0.0.1:9090:9090"]
    assert "${POSTGRES_PASSWORD:?" in SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert "${REDIS_PASSWORD:?" in SERVICES["redis"]["environment"]["REDISCLI_AUTH"]
    assert "redis://:${REDIS_PASSWORD:?" in SERVICES["web"]["environment"]["REDIS_URL"]


def test_compose_file_publishes_the_web_port_on_loopback_unless_told_otherwise() -> None:
    [port] = SERVICES["web"]["ports"]
    assert substituted(port, {}) == "127.0.0.1:8080:8080"
    assert substituted(port, {"LANDFALL_BIND": "0.0.0.0", "LANDFALL_HTTP_PORT": "80"}) == "0.0.0.0:80:8080"
    assert substituted(port, {"LANDFALL_BIND": ""}) == "127.0.0.1:8080:8080", "empty is not everybody"
    assert "`LANDFALL_BIND`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_compose_file_bounds_what_a_service_can_take_and_do(name: str) -> None:
    service = SERVICES[name]
    bounds = {"mem_limit": r"\d+[mg]", "pids_limit": r"\d+"}
    for key, form in bounds.items():
        assert re.fullmatch(form, str(service[key])), key
    assert 64 <= service["pids_limit"] <= 512
    assert service["ulimits"]["nofile"] >= 1024
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "privileged" not in service
    assert not any(key in service for key in ("network_mode", "pid", "ipc", "devices"))
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


def test_compose_file_lets_no_service_run_as_root() -> None:
    """The entrypoints of these two images begin as root where no user is named; the other images name one."""
    assert (SERVICES["postgres"]["user"], SERVICES["redis"]["user"]) == ("postgres", "redis")
    assert "user" not in SERVICES["prometheus"]
    for name in (*OURS, "daily"):
        assert "user" not in SERVICES[name]


def neighbours(name: str) -> set[str]:
    """The services that share a network with this one."""
    own = set(SERVICES[name]["networks"])
    return {other for other, service in SERVICES.items() if other != name and own & set(service["networks"])}


def test_compose_file_lets_each_service_reach_what_it_needs_and_nothing_else() -> None:
    assert neighbours("postgres") == {"migrate", "web", "worker", "daily"}
    assert neighbours("redis") == {"web", "worker"}
    assert neighbours("prometheus") == {"web", "worker"}
    for name in ("migrate", "daily"):
        assert neighbours(name) == {"postgres", "web", "worker", "migrate", "daily"} - {name}
    scraped = yaml.load((DEPLOY / "prometheus.yml").read_text(), yaml.CSafeLoader)["scrape_configs"][0]
    assert {target for group in scraped["static_configs"] for target in group["targets"]} == {"web:9464", "worker:9464"}


def test_compose_file_gives_a_way_out_to_web_and_worker_only() -> None:
    networks = COMPOSE["networks"]
    inner = {name for name, network in networks.items() if network and network.get("internal")}
    masked = {
        name
        for name, network in networks.items()
        if network and network.get("driver_opts") == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    }
    assert inner == {"data", "wakeup", "metrics"}
    assert masked == {"dashboard"}
    out = {name for name, service in SERVICES.items() if set(service["networks"]) - inner - masked}
    assert out == {"web", "worker"}
    assert {name for name, service in SERVICES.items() if "dashboard" in service["networks"]} == {"prometheus"}


IMAGE = r"[a-z]+(/[a-z]+)?:v?\d+\.\d+(\.\d+)?(-slim)?@sha256:[0-9a-f]{64}"


def test_images_are_pinned_by_version_and_digest() -> None:
    for name, service in SERVICES.items():
        if name in ("postgres", "redis", "prometheus"):
            assert re.fullmatch(IMAGE, service["image"]), name
        else:
            assert (service["image"], service["build"]["dockerfile"]) == ("landfall", "ops/deploy/Dockerfile")
    text = (DEPLOY / "Dockerfile").read_text()
    [base] = re.findall(r"^ARG PYTHON=(.+)$", text, re.MULTILINE)
    assert re.fullmatch(IMAGE, base)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]


def test_image_copies_every_package_and_does_not_run_as_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for package in ("ingest", "sync", "publish", "schema", "migrations", "ops"):
        assert f"COPY {package} {package}" in text
        assert f"!{package}\n" in (ROOT / ".dockerignore").read_text()
    assert text.rindex("USER landfall") > text.rindex("FROM")
    assert "--require-hashes" in text


def test_metrics_of_one_process_are_set_only_where_it_runs() -> None:
    places = {
        "web": ("sync/*.py", "ingest/splitter.py"),
        "worker": ("ingest/[!s]*.py", "ingest/s[!p]*.py", "ops/web/*.py"),
    }
    names = {id(value): name for name, value in vars(metrics).items()}
    for process, patterns in places.items():
        text = "".join(path.read_text() for pattern in patterns for path in ROOT.glob(pattern))
        for metric in metrics.MEASURED[process]:
            assert not re.search(rf"metrics\.{names[id(metric)]}\b", text), (process, names[id(metric)])
    everywhere = [path for part in ("ingest", "sync", "publish", "ops") for path in (ROOT / part).rglob("*.py")]
    used = "".join(path.read_text() for path in everywhere if path.name != "metrics.py")
    kinds = (Counter, Gauge, Histogram)
    for name in (name for name, value in vars(metrics).items() if isinstance(value, kinds)):
        assert re.search(rf"metrics\.{name}\b", used), f"nobody measures {name}"


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
    ours = {kind.outcome for kind in refusals if getattr(kind, "status", None) == 503}
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    ratio = next(rule["expr"] for rule in rules if rule["record"] == "webhook_error_ratio")
    failed, counted = (set(outcomes.split("|")) for outcomes in re.findall(r'outcome=~"([^"]+)"', ratio))
    assert failed == ours
    assert counted == ours | {"accepted", "quarantined"}


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


@pytest.mark.parametrize("name", ["ops/RUNBOOK.md", "SECURITY.md"])
def test_runbook_names_only_commands_and_links_that_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for line in re.findall(r"`landfall ([^`]+)`", text):
        first, *rest = line.split()
        command = main.get_command(CONTEXT, first)
        if isinstance(command, click.Group):
            command = command.get_command(CONTEXT, rest[0])
        assert command is not None, line
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", line)) <= options, line
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


def test_security_policy_names_only_what_exists_and_no_address() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for heading in ("Reporting a vulnerability", "What is supported", "What is in scope", "What operators must do"):
        assert f"\n## {heading}\n" in text
    assert "private vulnerability" in text
    assert not re.search(r"\w@\w|https?://|mailto:", text), "reports go to no address that nobody reads"
    variables = set(re.findall(r"`((?:LANDFALL|META)_\w+)`", text))
    assert variables - known_variables() == {"LANDFALL_BIND"}
    kept = text.split("\n## What is logged and kept\n")[1]
    named = {
        name for row in re.findall(r"^\|[^|]+\|([^|]+)\|", kept, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert len(named) > 10
    assert named <= set(all_tables().tables)
    runbook = (ROOT / "ops" / "RUNBOOK.md").read_text()
    for heading in re.findall(r'ops/RUNBOOK\.md,\s+"([^"]+)"', text):
        assert f"\n## {' '.join(heading.split())}\n" in runbook


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
    done = subprocess.run(
        [required_program("promtool", "prometheus"), *arguments],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

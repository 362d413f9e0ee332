"""What ops/deploy holds, against real servers: the database's owner, Redis, and what the processes export."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ResponseError

from ops.cli.migrate import migrate
from ops.runtime import metrics
from ops.runtime.embedded import POSTGRES_BIN, Postgres, scratch
from tests.compose import REDIS_PASSWORD, SERVICES
from tests.support import ENVIRONMENT, Service, comment, eventually, instagram

DEPLOY = Path(__file__).parents[4] / "ops" / "deploy"


@pytest.mark.server
def test_compose_file_makes_an_owner_who_is_no_superuser() -> None:
    """By the script that the image runs when it makes a cluster, here under other names."""
    [mounted] = [volume for volume in SERVICES["postgres"]["volumes"] if "owner.sql" in volume]
    assert mounted == "./ops/deploy/owner.sql:/docker-entrypoint-initdb.d/owner.sql:ro"
    assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "postgres"
    script = (DEPLOY / "owner.sql").read_text()
    script = re.sub(r"\b(ROLE|DATABASE|TO) (landfall|postgres)\b", r"\1 composed_\2", script)
    assert script.count("composed_landfall") == 3
    with scratch() as directory:
        directory.chmod(0o755)
        server = Postgres.at(directory / "pg")
        server.start()
        server.sql("CREATE ROLE composed_postgres SUPERUSER LOGIN PASSWORD 'x'", "CREATE DATABASE composed_landfall")
        try:
            done = subprocess.run(
                [POSTGRES_BIN / "psql", "--set=ON_ERROR_STOP=1", "--quiet", "--file=-"],
                env=server.environment("composed_landfall", "postgres") | {"POSTGRES_PASSWORD": "of'theowner"},
                input=script, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            migrate(f"postgresql://composed_landfall:of'theowner@127.0.0.1:{server.port}/composed_landfall")
            rights = "SELECT rolsuper, rolcreaterole, rolpassword IS NULL FROM pg_authid WHERE rolname LIKE 'composed%'"
            assert sorted(server.sql(rights).splitlines()) == ["f|t|f", "t|f|t"]
        finally:
            server.stop()


async def test_redis_of_the_compose_file_lets_nobody_in_without_the_password(locked_redis: int) -> None:
    for credentials in ("", ":wrong@", f"other:{REDIS_PASSWORD}@"):
        async with Redis.from_url(f"redis://{credentials}127.0.0.1:{locked_redis}/0") as client:
            with pytest.raises(AuthenticationError):
                await client.get("landfall:jobs")
    running = [process.info for process in psutil.process_iter(["name", "cmdline"])]
    processes = [found["cmdline"] for found in running if "redis-server" in found["name"] and found["cmdline"]]
    assert processes
    assert not any(REDIS_PASSWORD in word for words in processes for word in words), "any list of processes shows it"


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "FLUSHDB", "CONFIG GET requirepass", "CONFIG SET dir /tmp", "KEYS *", "DEBUG SLEEP 0", "SAVE",
        "BGSAVE", "SHUTDOWN NOSAVE", "REPLICAOF 127.0.0.1 1", "MODULE LIST", "ACL LIST", "MONITOR", "CLIENT LIST",
        "SWAPDB 0 1", "MIGRATE 127.0.0.1 1 k 0 1", "EVAL return 0", "SUBSCRIBE c", "SET elsewhere 1", "SORT landfall:a",
    ],
)  # fmt: skip
async def test_redis_of_the_compose_file_does_nothing_but_notify(locked_redis: int, command: str) -> None:
    words = command.split() if not command.startswith("EVAL") else ["EVAL", "return 0", "0"]
    async with Redis.from_url(f"redis://:{REDIS_PASSWORD}@127.0.0.1:{locked_redis}/0") as client:
        # Valkey lets nobody DEBUG, whatever a login may do.
        with pytest.raises(ResponseError, match=r"(?i)no permissions|DEBUG command not allowed"):
            await client.execute_command(*words)


async def test_redis_of_the_compose_file_is_enough_for_web_worker_and_doctor(
    locked_redis: int, database: str, tmp_path: Path
) -> None:
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{locked_redis}/0"
    service = Service(database, url, tmp_path)
    await service.start()
    try:
        status, _ = await service.send("instagram", instagram(comment(1)))
        assert status == 200

        async def notified() -> bool:
            return (await service.metrics()).get('landfall_worker_notifications_total{outcome="sent"}', 0) > 0

        await eventually(notified)
        done = await asyncio.to_thread(doctor, database, url)
        found = {finding["about"]: finding for finding in json.loads(done)}
        assert (found["redis"]["level"], found["arq"]["level"]) == ("ok", "ok")
        assert "wakeup." not in service.web.output() + service.worker.output(), "nothing failed on the way"
    finally:
        await service.stop()


def doctor(database: str, redis_url: str) -> str:
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": database, "REDIS_URL": redis_url} | ENVIRONMENT
    command = [sys.executable, "-m", "ops.cli.main", "doctor", "--json"]
    return subprocess.run(command, env=environ, cwd="/", check=True, capture_output=True, text=True).stdout


async def test_each_process_exports_what_it_measures_and_nothing_that_only_the_other_one_does(
    service: Service,
) -> None:
    """A gauge that nobody sets stands at 0: in the wrong process that reads as an empty backlog."""
    web, worker = await service.metrics(), await service.metrics(service.work_metrics)
    found = [
        {re.split(r"[{]", name)[0] for name in samples if name.startswith("landfall_")} for samples in (web, worker)
    ]
    families = {"web": found[0], "worker": found[1]}
    assert "landfall_ingest_waiting_deliveries" in families["web"] - families["worker"]
    assert "landfall_backlog_events" in families["worker"] - families["web"]
    assert "landfall_event_loop_lag_seconds" in families["web"] & families["worker"]
    for process, other in (("web", "worker"), ("worker", "web")):
        for metric in metrics.MEASURED[process]:
            for family in metric.describe():
                assert not any(name.startswith(family.name) for name in families[other]), (family.name, other)
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("landfall_")}
    assert len(ours) > 30
    for process in metrics.MEASURED:
        shown = {line.split()[2] for line in metrics.exposition(process).decode().splitlines() if "# TYPE" in line}
        hidden = {name for name in ours if name not in shown and f"{name}_total" not in shown}
        others = {
            f.name for kind, found in metrics.MEASURED.items() if kind != process for m in found for f in m.describe()
        }
        assert hidden == others

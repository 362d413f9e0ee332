"""All of Landfall with a database login for each process, as `make up` starts it: nothing that is needed is refused."""

import json
import re
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from ops.cli.stack import PERSON, Stack, stack
from ops.runtime.embedded import Postgres
from ops.sandbox.client import Client
from ops.web.authentication import SESSION
from tests.acceptance.test_up import environment
from tests.rig import HTML, form_of, led_to
from tests.support import command, eventually

pytestmark = pytest.mark.usefixtures("forked_stack")

FORM = re.compile(r'name="csrf" value="([0-9a-f]+)"')


async def used_by_person(running: Stack) -> None:
    """Log in, look at every page, make and revoke a key, let somebody in, change the password, log out."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:

        async def page(path: str, form: dict[str, str] | None = None, status: int = 200) -> str:
            async with browser.request("POST" if form else "GET", running.url + path, data=form) as response:
                text = await response.text()
                assert response.status == status, (path, text)
                return text

        await page("/login", {"email": PERSON, "password": "another password"}, 401)
        await page("/login", {"email": PERSON, "password": running.password})
        assert SESSION in {cookie.key for cookie in browser.cookie_jar}
        for path in ("/connections", "/people", "/account", "/audit"):
            await page(path)
        token = FORM.search(await page("/people"))
        assert token is not None
        csrf = {"csrf": token[1]}
        await page("/keys", csrf | {"name": "by hand", "connections:read": "on"})
        await page("/people", csrf | {"email": "ada@example.org", "role": "viewer", "password": ""})
        changed = await page("/account/password", csrf | {"old": running.password, "new": "another long password"})
        token = FORM.search(changed)
        assert token is not None
        await page("/logout", {"csrf": token[1]})


async def connected(running: Stack, sandbox: Client, platform: str) -> str:
    """An account, connected through the sandbox as a program and a browser do it."""
    headers = {"Authorization": f"Bearer {running.api_key}"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{running.url}/api/auth/{platform}", headers=headers) as response:
            begun = await response.json()
            assert response.status == 201, begun
        async with browser.get(begun["open"], headers=HTML) as response:
            action, fields = form_of(await response.text())
        async with browser.post(running.url + action, data=fields, headers=HTML) as response:
            query = await sandbox.consent(led_to(await response.text()), "approve", "shop")
        address = f"{running.url}/api/auth/{platform}/callback"
        async with browser.get(address, params=query, headers={"Accept": "application/json"}) as response:
            outcome = await response.json()
    assert outcome["ok"], outcome
    [id_] = outcome["connections"]
    return str(id_)


async def test_processes_with_logins_of_their_own_do_all_that_they_are_for(tmp_path: Path) -> None:
    async with stack(tmp_path / "data", environment()) as running, aiohttp.ClientSession() as http:
        owner = await asyncpg.connect(running.dsn)
        await owner.execute("SELECT set_config('landfall.tenant', '*', false)")
        sandbox = Client(http, running.sandbox)
        await sandbox.command("pace", pace=25.0, platforms=running.simulated)

        async def projected() -> bool:
            return bool(
                await owner.fetchval("SELECT EXISTS (SELECT FROM ig_comments) AND EXISTS (SELECT FROM tiktok_posts)")
            )

        await eventually(projected)
        await used_by_person(running)
        headers = {"Authorization": f"Bearer {running.api_key}"}
        ids = {name: await connected(running, sandbox, name) for name in ("tiktok", "x", "instagram")}
        kept = await owner.fetchval("SELECT sealed FROM connection_secrets WHERE connection_id = $1::uuid", ids["x"])
        await owner.execute("UPDATE connections SET refresh_due_at = now() WHERE id = $1::uuid", ids["x"])

        async def refreshed() -> bool:
            sealed = await owner.fetchval(
                "SELECT sealed FROM connection_secrets WHERE connection_id = $1::uuid", ids["x"]
            )
            return bool(sealed != kept)

        await eventually(refreshed, 60)  # by the worker, which looks every 30 seconds
        await owner.execute("UPDATE connections SET checked_at = NULL")
        for name, id_ in ids.items():
            async with http.post(f"{running.url}/api/connections/{id_}/check", headers=headers) as response:
                assert (response.status, (await response.json())["state"]) == (200, "active"), name
            async with http.delete(f"{running.url}/api/connections/{id_}", headers=headers) as response:
                assert await response.json() == {"disconnected": True, "revoked": True}, name
        async with http.get(f"{running.url}/api/audit", headers=headers) as response:
            actions = {entry["action"] for entry in (await response.json())["entries"]}
        assert {"connection.connected", "connection.disconnected", "user.logged_in", "user.password_changed"} <= actions
        held = await owner.fetch(
            "SELECT DISTINCT usename, split_part(application_name, '-', 1) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name ~ '^landfall (ingest|sync|publish)'"
        )
        assert {tuple(row) for row in held} == {
            ("landfall_serve", "landfall ingest"),
            ("landfall_serve", "landfall publish"),
            ("landfall_work", "landfall sync"),
            ("landfall_work", "landfall publish"),
        }
        for name in ("web", "worker"):
            said = (running.directory / f"{name}.log").read_text()
            assert "42501" not in said, "something was refused"
        # A stranger who may read what is shown to be typed learns the owner's; the processes' stand in one file.
        secrets = json.loads((running.directory / "secrets.json").read_text())["logins"]
        assert set(secrets) == {"landfall_serve", "landfall_work", "landfall_read"}
        assert (running.directory / "secrets.json").stat().st_mode & 0o077 == 0
        code, said = await command(running.dsn, "doctor")
        assert "logins: no process can do more than it needs" in said
        code, said = await command(running.logins["serve"], "doctor")
        assert code == 0, said
        assert "login: this login may not look at the rest" in said
        code, said = await command(running.logins["serve"], "user", "list")
        assert (code, "any other command one of landfall_app" in said) == (1, True)
        await owner.close()


async def test_owner_who_may_make_no_logins_shares_its_own_and_says_so(
    postgres: Postgres, template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a server whose administrator made the roles."""
    postgres.sql(
        "CREATE ROLE nomaker LOGIN PASSWORD 'nomaker' IN ROLE landfall_app",
        "CREATE DATABASE landfall_test_nomaker OWNER nomaker",
    )
    dsn = f"postgresql://nomaker:nomaker@127.0.0.1:{postgres.port}/landfall_test_nomaker"
    try:
        async with stack(tmp_path / "data", environment() | {"DATABASE_URL": dsn}) as running:
            assert running.logins == {}
            said = capsys.readouterr().out
            assert "the web process and the worker share the login of DATABASE_URL" in said
            assert "CREATE ROLE landfall_test_nomaker_serve LOGIN;" in said
            owner = await asyncpg.connect(dsn)
            held = await owner.fetch(
                "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'landfall %'"
            )
            await owner.close()
            assert [tuple(row) for row in held] == [("nomaker",)]
            code, said = await command(dsn, "doctor")
            assert code == 0, said
            assert "`serve` is logged in as nomaker, which owns the tables, can act as landfall_app" in said
    finally:
        postgres.sql("DROP DATABASE landfall_test_nomaker WITH (FORCE)", "DROP ROLE nomaker")


async def test_doctor_says_what_a_shared_login_could_do(database: str) -> None:
    code, said = await command(database, "doctor")
    assert code == 0, said
    assert "logins: the login landfall owns the tables, may create roles, can act as landfall_app" in said
    assert "landfall db login serve" in said

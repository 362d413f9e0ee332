"""A client of the control interface, for tests and `make up`."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp


class CommandRejected(Exception):  # noqa: N818  an answer, not a fault
    """The sandbox refused a command; the text says why."""


class Client:
    """A sandbox at ``url``. Send commands by name: ``await client.command("clock", jump=60)``."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url.rstrip("/")

    async def command(self, name: str, /, **fields: Any) -> Any:
        """Send a command and return its answer. Raises CommandRejected."""
        async with self.http.post(f"{self.url}/_sandbox/{name}", json=fields) as response:
            content = await response.json()
            if response.status != 200:
                raise CommandRejected(str(content["error"]))
            return content

    async def state(self) -> dict[str, Any]:
        """Return the settings, accounts and posts of every platform."""
        return dict(await self._get("state"))

    async def deliveries(self) -> dict[str, Any]:
        """Return counts of webhook deliveries: sent (by answer), waiting and dropped."""
        return dict(await self._get("deliveries"))

    async def ledger(self, kind: str, **fields: str) -> list[dict[str, Any]]:
        """Return the entries that have all of these values, oldest first."""
        found: list[dict[str, Any]] = await self._get("ledger", kind=kind, **fields)
        return found

    async def published(self, platform: str, **fields: str) -> list[dict[str, Any]]:
        """Return what the application really published: posts, comments, replies and messages, oldest first."""
        return await self.ledger("post", platform=platform, by="application", **fields)

    async def fetched(self, url: str) -> list[dict[str, Any]]:
        """Return the requests by which platforms downloaded a file, oldest first."""
        return await self.ledger("fetch", url=url)

    async def world(self, platform: str, **account: str) -> dict[str, Any]:
        """Return all accounts, posts and comments of a platform as they are, or those of one ``account``."""
        return dict(await self._get("world", platform=platform, **account))

    async def spent(self, **fields: str) -> dict[str, int]:
        """Return the calls by edge, of one ``platform`` and ``account`` or of all."""
        found: dict[str, int] = {}
        for entry in await self._get("spent", **fields):
            found[entry["edge"]] = found.get(entry["edge"], 0) + entry["calls"]
        return found

    async def clear_faults(self) -> None:
        """End all faults."""
        async with self.http.delete(f"{self.url}/_sandbox/faults") as response:
            await response.read()

    async def _get(self, name: str, **query: str) -> Any:
        async with self.http.get(f"{self.url}/_sandbox/{name}", params=query) as response:
            return await response.json()

    async def consent(
        self, address: str, decision: str = "approve", account: str = "alice", untick: str = ""
    ) -> dict[str, str] | str:
        """Open a consent page, do as a person would, and return what the application is sent, or the page.

        Without an ``account`` the first one of the page agrees.
        """
        async with self.http.get(address) as response:
            page = await response.text()
            if response.status != 200:
                raise CommandRejected(page)
        fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)
        scopes = [scope for scope in re.findall(r'name="granted\[\]" value="([^"]+)"', page) if scope != untick]
        account = account or unescape((re.findall(r"<option[^>]*>([^<]+)</option>", page) or [""])[0])
        form = [*fields, *(("granted[]", scope) for scope in scopes), ("account", account), ("decision", decision)]
        async with self.http.post(address.partition("?")[0], data=form, allow_redirects=False) as response:
            if response.status == 302:
                query = parse_qs(urlsplit(response.headers["Location"]).query)
                return {name: values[0] for name, values in query.items()}
            return await response.text()

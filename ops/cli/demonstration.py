"""Connect accounts of the sandbox and post to them while `landfall up` runs, so that publishing can be watched.

It does what a program and a person in a browser do, through the same routes: it is shown nothing that they are not.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from itertools import count, cycle
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from ops.cli import wiring
from ops.runtime.periodic import stopped
from ops.sandbox.client import Client, CommandRejected
from publish.posting.contract import Sample

POST_SECONDS = 12.0
"""Between two posts: no platform's quota of a day is used up within an hour of watching."""

FIRST_SECONDS = 3.0

INSTANCE = "social.example"
"""The name under which the sandbox is an instance, for platforms that have many."""

FILES = Path(__file__).parents[1] / "sandbox" / "media"
SHOWN: Mapping[str, str] = {"image": "picture.jpg", "video": "clip.mp4"}
ALT_TEXTS: Mapping[str, str] = {"image": "A cup of tea on a table", "video": ""}

HTML = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}

_FORM = re.compile(r'<form method="post" action="([^"]+)" class="block">(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_ONWARD = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')

log = structlog.get_logger()


class DemonstrationError(Exception):
    """Something of the demonstration did not work; the text says what was asked and what came of it."""


@dataclass
class Demonstration:
    """Posts by the API at ``url`` to the ``platforms`` that ``sandbox`` stands in for; ``say`` gets lines to show."""

    url: str
    api_key: str
    sandbox: str
    platforms: Collection[str]
    say: Callable[[str], None]
    files: dict[str, str] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def run(self, stop: asyncio.Event) -> None:
        """Connect what is not connected, and post now and then, until ``stop`` is set. What fails is said."""
        if await stopped(stop, FIRST_SECONDS):
            return
        samples = {
            name: publisher.machines.sample
            for name, publisher in wiring.publishers().items()
            if name in self.platforms and publisher.machines.sample is not None
        }
        headers = {"Authorization": f"Bearer {self.api_key}", **JSON}
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as program,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=timeout) as browser,
        ):
            connected = await self._connected(program)
            for name in samples:
                if name in connected:
                    continue
                try:
                    await self.connect(name, program, browser)
                except (DemonstrationError, CommandRejected, aiohttp.ClientError, TimeoutError) as error:
                    self.say(f"no account of {name} could be connected: {error}")
                if stop.is_set():
                    return
            for name in cycle(samples):
                await self._post_or_say(program, name, samples[name])
                if await stopped(stop, POST_SECONDS):
                    return

    async def _post_or_say(self, program: aiohttp.ClientSession, name: str, sample: Sample | None) -> None:
        try:
            if sample is not None and name in await self._connected(program):
                await self._post(program, name, sample)
        except (DemonstrationError, aiohttp.ClientError, TimeoutError) as error:
            log.info("demonstration.failed", platform=name, error=str(error))
            self.say(f"the demonstration could not post to {name}: {error}")

    async def _call(self, program: aiohttp.ClientSession, method: str, path: str, **more: Any) -> Any:
        """Send a request to our API and return its answer. Raises DemonstrationError for an error."""
        async with program.request(method, self.url + path, **more) as response:
            content = await response.json()
            if response.status >= 400:
                raise DemonstrationError(f"{method} {path}: {content['error']['message']}")
            return content

    async def _connected(self, program: aiohttp.ClientSession) -> set[str]:
        found = await self._call(program, "GET", "/api/connections")
        return {each["platform"] for each in found["connections"] if each["state"] == "active"}

    async def connect(
        self, name: str, program: aiohttp.ClientSession, browser: aiohttp.ClientSession, account: str = ""
    ) -> None:
        """Go through a flow as a person does: open the link, press the button, agree, and choose every account.

        ``account`` is whoever agrees, the first one of the page if none is named.
        """
        many = not wiring.oauth_providers()[name].hosts
        query = {"instance": INSTANCE} if many else {}
        link = (await self._call(program, "GET", f"/api/auth/{name}", params=query))["open"]
        async with browser.get(link, headers=HTML) as response:
            form = _FORM.search(await response.text())
        if form is None:
            raise DemonstrationError("the page at the link has no button")
        fields = {key: unescape(value) for key, value in _HIDDEN.findall(form[2])}
        async with browser.post(self.url + unescape(form[1]), data=fields, headers=HTML) as response:
            onward = _ONWARD.search(await response.text())
        if onward is None:
            raise DemonstrationError("the button leads nowhere")
        answer = await Client(browser, self.sandbox).consent(unescape(onward[1]), account=account)
        if not isinstance(answer, dict):
            raise DemonstrationError("the platform did not send the person back")
        middle = f"/{INSTANCE}" if many else ""
        callback = f"{self.url}/api/auth/{name}{middle}/callback"
        async with browser.get(callback, params=answer, headers=JSON) as response:
            outcome = await response.json()
        choices = (outcome.get("error") or {}).get("details", {}).get("choose") or outcome.get("choose") or []
        usable = [item["account"] for item in choices if not item["why_not"]]
        if usable:
            chosen = f"{self.url}/api/auth/{name}/choose"
            async with browser.post(chosen, json={"accounts": usable}, headers=JSON) as response:
                outcome = await response.json()
        if not outcome.get("ok"):
            raise DemonstrationError(str((outcome.get("error") or outcome).get("message", "it was not connected")))

    async def _post(self, program: aiohttp.ClientSession, name: str, sample: Sample) -> None:
        number = next(self.numbers)
        connections = (await self._call(program, "GET", "/api/connections"))["connections"]
        accounts = [each["id"] for each in connections if each["platform"] == name and each["state"] == "active"]
        media = (
            [{"id": await self._file(program, sample.shows), "alt_text": ALT_TEXTS[sample.shows]}]
            if sample.shows
            else []
        )
        target = {"connection": accounts[number % len(accounts)], "kind": sample.kind, "options": dict(sample.options)}
        body = {
            "content": f"Tea of the day: number {number}, at {datetime.now(UTC):%H:%M:%S}",
            "media": media,
            "targets": [target],
        }
        await self._call(program, "POST", "/api/posts", json=body | {"action": "publish", "campaign_id": "tea"})

    async def _file(self, program: aiohttp.ClientSession, kind: str) -> str:
        """Return the id of a sample file, which is uploaded once: the same bytes are stored once."""
        if kind not in self.files:
            content = await asyncio.to_thread((FILES / SHOWN[kind]).read_bytes)
            found = await self._call(program, "POST", f"/api/media?file_name={SHOWN[kind]}", data=content)
            self.files[kind] = found["id"]
        return self.files[kind]

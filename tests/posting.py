"""A rig with connected accounts, and what publishes: targets are stored, worked on, and looked at in the ledger."""

import hashlib
import json
import random
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import uuid_utils

import publish.platforms
from ops.cli import wiring
from ops.cli.composition import append_within
from ops.runtime.db import Pool, open_pool
from ops.runtime.discovery import discover
from ops.runtime.platform_protocol import FilePart
from ops.runtime.ports import Fact
from ops.runtime.tenancy import tenant_transaction
from publish.oauth.client_registration import ClientRegistrations
from publish.posting import post_store
from publish.posting.acceptance import KnownFile, Publisher
from publish.posting.contract import Media, PostingPlatform
from publish.posting.driver import Driver
from publish.posting.edits import Edits
from publish.posting.lifecycle import PostLifecycle
from publish.posting.listing import PostListing
from publish.posting.posts import Posts
from publish.preflight.contract import MediaFacts, PostingRules
from publish.schedule import zones
from schema.rights import WORKER_ROLE
from schema.tenancy import DEFAULT_TENANT
from sync.projection.worker import Projector
from tests.rig import PATIENT, Rig, use_community_management

POSTING = discover(publish.platforms, PostingPlatform, "machines")
RULES = discover(publish.platforms, PostingRules, "posting")
PUBLISHERS = {name: Publisher(POSTING[name], RULES[name]) for name in POSTING if name in RULES}
SHIPPED = Path(__file__).parents[1] / "ops" / "sandbox" / "media"


@dataclass
class SampleFiles:
    """The files that the sandbox ships, under ids of their own; the sandbox serves them to its platforms itself."""

    base: str
    folder: Path
    files: dict[str, tuple[Path, Media]] = field(default_factory=dict)

    def add(self, name: str, content_type: str, *, size: int = 0, **facts: Any) -> str:
        """Add a file that the sandbox ships, or one of so many bytes, none of which is like the next."""
        path, id_ = SHIPPED / name, str(uuid_utils.uuid7())
        if size:
            path = Path(tempfile.mkdtemp(dir=self.folder)) / name
            path.write_bytes(random.Random(size).randbytes(size))
        self.files[id_] = path, Media(id_, content_type, path.stat().st_size, file_name=name, **facts)
        return id_

    async def known(self, _: asyncpg.Connection, __: str, ids: Sequence[str]) -> Mapping[str, KnownFile]:
        found = {}
        for id_ in ids:
            if id_ in self.files:
                path, media = self.files[id_]
                facts = MediaFacts(
                    1, media.content_type, media.size, media.width, media.height, media.duration, frames=1
                )
                found[id_] = KnownFile(media, facts, hashlib.sha256(path.read_bytes()).digest())
        return found

    async def describe(self, _: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, Media]:
        return {id_: self.files[id_][1] for id_ in ids}

    async def digests(self, _: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, bytes]:
        return {id_: hashlib.sha256(self.files[id_][0].read_bytes()).digest() for id_ in ids}

    async def link(self, _: asyncpg.Connection, tenant: str, media_id: str, target_id: str, attempt: int) -> str:
        return f"{self.base}/_sandbox/media/{self.files[media_id][0].name}?for={target_id}.{attempt}&of={tenant}"

    async def fetched(self, _: asyncpg.Connection, target_id: str, attempt: int) -> Mapping[str, int]:
        return {}

    async def revoke(self, _: asyncpg.Connection, target_id: str) -> None:
        return None

    async def read(self, _: str, part: FilePart) -> AsyncIterator[bytes]:
        content = self.files[part.media_id][0].read_bytes()[part.offset : part.offset + part.length]
        for start in range(0, len(content), 65_536):
            yield content[start : start + 65_536]


@dataclass(repr=False)
class Posting:
    """``driver`` acts as the worker, ``posts`` as a command."""

    rig: Rig
    driver: Driver
    media: SampleFiles
    posts: Posts

    @property
    def edits(self) -> Edits:
        return Edits(self.posts)

    @property
    def lifecycle(self) -> PostLifecycle:
        return PostLifecycle(self.posts)

    @property
    def listing(self) -> PostListing:
        return PostListing(self.posts)

    async def target(
        self,
        connection_id: str,
        text: str,
        *,
        kind: str = "",
        media: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        link: Mapping[str, str] | None = None,
        parent: str | None = None,
        below: str | None = None,
        state: str = "scheduled",
    ) -> str:
        """Store a post with one target that is due; the target's id.

        ``below`` is a published target, of whose post it is a further part.
        """
        [row] = await self.rig.raw("SELECT platform, account_id FROM connections WHERE id = $1::uuid", connection_id)
        platform, post, id_ = POSTING[row["platform"]], str(uuid_utils.uuid7()), str(uuid_utils.uuid7())
        files = [self.media.files[each][1] for each in media]
        kind = kind or platform.kind_of(files, options or {}, link or {})
        digests = await self.media.digests(self.rig.connection, media)
        shown = [(each, "a picture", digests[each]) for each in media]
        if below is not None:
            post = str((await self.row(below))["post_id"])
            async with tenant_transaction(self.rig.pool, DEFAULT_TENANT) as connection:
                await post_store.set_part_media(connection, DEFAULT_TENANT, post, id_, shown)
            shown = []
        else:
            await self.rig.raw(
                "INSERT INTO posts (tenant_id, id, content, link, author, scheduled_at)"
                " VALUES ($1::uuid, $2::uuid, $3, $4::jsonb, 'test', now())",
                *(DEFAULT_TENANT, post, text, json.dumps(link) if link else None),
            )
        for position, each in enumerate(shown):
            await self.rig.raw(
                "INSERT INTO post_media (tenant_id, post_id, position, media_id, alt_text, sha256)"
                " VALUES ($1::uuid, $2::uuid, $3, $4::uuid, $5, $6)",
                *(DEFAULT_TENANT, post, position, *each),
            )
        await self.rig.raw(
            """
            INSERT INTO post_targets (tenant_id, id, post_id, connection_id, platform, account_id, kind, options,
                digest, state, due_at, parent_id, content)
            VALUES ($1::uuid, $2::uuid, $3::uuid, $4::uuid, $5, $6, $7, $8::jsonb, '', $9,
                CASE WHEN $10::uuid IS NULL OR $11::text IS NOT NULL THEN now() END, $10::uuid, $11)""",
            *(DEFAULT_TENANT, id_, post, connection_id, row["platform"], row["account_id"], kind),
            *(json.dumps(options or {}), state, parent or below, text if below else None),
        )
        return id_

    async def row(self, id_: str) -> Any:
        [row] = await self.rig.raw("SELECT * FROM post_targets WHERE id = $1::uuid", id_)
        return row

    async def run(self, id_: str, rounds: int = 60, *, driver: Driver | None = None) -> Any:
        """Work until the target waits for nobody's clock, each pause over at once; its row."""
        for _ in range(rounds):
            await (driver or self.driver).drain()
            row = await self.row(id_)
            if row["due_at"] is None and row["lease_until"] is None:
                return row
            await self.hurry()
        raise AssertionError(f"it never ends: {dict(row)}")

    async def free(self) -> None:
        """Let every lease be over, as if whoever held it had died long ago."""
        await self.rig.raw(
            "UPDATE post_targets SET lease_until = now() - interval '1 second' WHERE lease_until > now()"
        )

    async def hurry(self) -> None:
        """Let every pause be over, here and at the platforms."""
        [[pause]] = await self.rig.raw(
            "SELECT coalesce(max(extract(epoch FROM due_at - now())), 0)::float8 FROM post_targets"
            " WHERE coalesce(lease_until, '-infinity') < now()"
        )
        await self.rig.raw(
            """
            UPDATE post_targets SET step_since = step_since - greatest(due_at - now(), interval '0'),
                intent_at = intent_at - greatest(due_at - now(), interval '0'), due_at = now()
            WHERE due_at IS NOT NULL AND coalesce(lease_until, '-infinity') < now()"""
        )
        await self.rig.raw("UPDATE connections SET checked_at = checked_at - interval '1 hour'")
        await self.rig.sandbox.command("clock", jump=max(60, int(pause)))

    async def told(
        self, platform: str, account: str, kind: str, payload: Any, *, name: str = "", project: bool = True
    ) -> None:
        """Let the log have an event that the platform sent about an account; of one name it is the same one."""
        fact = Fact(platform, 1, account, kind, name or str(uuid_utils.uuid7()), json.dumps(payload), datetime.now(UTC))
        async with self.rig.pool.acquire() as connection, connection.transaction():
            await append_within(connection, [fact])
        if project:
            await self.project()

    async def project(self) -> None:
        """Bring the tables to what the log says."""
        await Projector(self.rig.pool, wiring.projections(), tries=1).drain()

    async def shown(self, platform: str) -> list[Any]:
        """Everything of ours that became visible there, by the sandbox's own ledger."""
        return await self.rig.sandbox.published(platform)


async def connect_organization(rig: Rig) -> str:
    """Connect the organization of LinkedIn that a member administers, and not the member; its id."""
    await use_community_management(rig)
    outcome = await rig.back("linkedin", await rig.consented("linkedin"))
    [account] = (await rig.chosen("linkedin", ["linkedin:1000"]))["connections"]
    assert [item["username"] for item in outcome["choose"] if item["account"] == "linkedin:1000"] == ["Acme"]
    return str(account)


@asynccontextmanager
async def posting(rig: Rig) -> AsyncIterator[Posting]:
    async with await open_pool(rig.dsn, "publish", 10, role=WORKER_ROLE, **PATIENT) as pool:
        yield made(rig, pool)


def made(rig: Rig, pool: Pool) -> Posting:
    client = replace(rig.providers.client, http=rig.providers.client.http)
    clients = ClientRegistrations(pool, rig.built.vault, rig.providers)
    media = SampleFiles(rig.sandbox.url, rig.media)
    driver = Driver(pool, rig.built.vault, POSTING, client, clients, rig.refresher, media, append_within)
    posts = Posts(rig.pool, PUBLISHERS, media, zones.installed(), rig.sandbox.url)
    return Posting(rig, driver, media, posts)

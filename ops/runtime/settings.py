"""Read the configuration from the environment, once.

Platform secrets are not fields: a platform file names its variables (``schema.configuration.Variable``) and they are
read by that name, so adding a platform touches nothing here.
"""

import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from ops.runtime.mailserver import MailServer
from ops.runtime.proxies import Network
from ops.runtime.redis_address import RedisAddress
from schema.configuration import Variable

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HALF_MAIL = "LANDFALL_SMTP_URL and LANDFALL_MAIL_FROM go together: set both to have notices mailed, or neither"


class ConfigurationError(Exception):
    """Every missing or bad variable, together; each line says how to mend it. Never shows a value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(["The configuration cannot be used:", *(f"  - {line}" for line in problems)]))
        self.problems = problems


def _networks(given: object) -> object:
    """Parse networks, separated by commas; a single address is one."""
    if not isinstance(given, str):
        return given
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in given.split(",") if part.strip())
    except ValueError:
        raise ValueError("one of them is no address and no network") from None


def _mail_server(given: SecretStr | None) -> SecretStr | None:
    if given is not None:
        MailServer.of(given.get_secret_value())
    return given


def _database(given: SecretStr | None) -> SecretStr | None:
    """Check an address of PostgreSQL. Raises ValueError, which shows nothing of the value."""
    if given is None:
        return None
    scheme, separator, rest = given.get_secret_value().partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        raise ValueError("it does not begin with postgresql://")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    ports = [host.rpartition("]")[2].partition(":")[2] for host in place.split(",")]
    if not all(port == "" or (port.isdecimal() and 0 < int(port) < 65536) for port in ports):
        raise ValueError(
            "the port is no number up to 65535; a password with one of : / ? # @ has to be percent-encoded"
        )
    return given


def _redis(given: SecretStr | None) -> SecretStr | None:
    """Check an address of Redis. Raises ValueError, which shows nothing of the value."""
    if given is not None:
        RedisAddress.of(given.get_secret_value())
    return given


def _media(given: str | None) -> str | None:
    """Check an address of a storage of files. Raises ValueError."""
    if given is None:
        return None
    parts = urlsplit(given)
    if parts.scheme == "file" and not parts.netloc and parts.path.strip("/"):
        return given
    if parts.scheme == "s3" and _BUCKET.fullmatch(parts.netloc) and not parts.query:
        return given
    raise ValueError("it is neither file:///folder nor s3://bucket")


class Settings(BaseModel):
    """Field names are the environment variables in lower case."""

    model_config = ConfigDict(frozen=True, validate_default=True, hide_input_in_errors=True)

    database_url: Annotated[SecretStr, AfterValidator(_database)] = Field(
        description="PostgreSQL, as postgresql://user:password@host:5432/name; `make up` brings its own"
    )
    landfall_reader_url: Annotated[SecretStr | None, AfterValidator(_database)] = Field(
        default=None,
        description="the same database for `landfall sql`, with a login that `landfall db login read` makes",
    )
    redis_url: Annotated[SecretStr | None, AfterValidator(_redis)] = Field(
        default=None,
        description="Redis, as redis://host:6379/0 or unix:///path?db=0; without it the worker sweeps once a second",
    )
    landfall_database_role: str | None = Field(
        default=None,
        description="role to act as after connecting, in place of each command's own; empty for the login itself",
    )
    landfall_pgbouncer: bool = Field(
        default=False,
        description="true where DATABASE_URL leads to PgBouncer in transaction mode, for `serve` and `work` only",
    )
    landfall_http_host: str = Field(default="127.0.0.1", description="address the web process listens on")
    landfall_http_port: int = Field(default=8080, ge=0, le=65535, description="port of the web process")
    landfall_public_url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://[^/?#]+$",
        description="address of the web process as browsers and platforms know it; https anywhere but on one machine",
    )
    landfall_vault_ring: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:[\w.]+$",
        description="package.module:factory of a ring of keys, where a key service keeps them; not a secret",
    )
    landfall_trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(
        default=(), description="networks of the proxies in front of the web process, such as 10.0.0.5,10.1.0.0/24"
    )
    landfall_session_idle_minutes: int = Field(
        default=120, ge=5, le=720, description="minutes without a request after which somebody has to log in again"
    )
    landfall_owners_need_second_factor: bool = Field(
        default=False, description="true where an owner who logs in can do nothing before adding a second factor"
    )
    landfall_smtp_url: Annotated[SecretStr | None, AfterValidator(_mail_server)] = Field(
        default=None,
        description="the server that takes mail about notices, and invitations, as smtp://user:password@host:587, or"
        " smtps:// for TLS from the first byte; without it people see notices only when they look, and links of"
        " invitations are shown to whoever invites",
    )
    landfall_mail_from: str = Field(
        default="",
        pattern=r"^([\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+)?$",
        description="address that mail comes from, such as landfall@example.org",
    )
    landfall_metrics_host: str = Field(default="127.0.0.1", description="address of the internal port")
    landfall_metrics_port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="internal port: /metrics, /healthz, /readyz; one per process",
    )
    landfall_log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error"
    )
    landfall_body_limit: int = Field(
        default=16 * 2**20, ge=1024, le=2**28, description="largest webhook body accepted, in bytes"
    )
    landfall_queue_deliveries: int = Field(
        default=2048,
        ge=1,
        description="deliveries that may wait for a commit before new ones are answered 503",
    )
    landfall_queue_bytes: int = Field(
        default=64 * 2**20, ge=2**20, description="bytes of bodies that may be in memory before the same"
    )
    landfall_spool_dir: Path | None = Field(
        default=None,
        description="folder of one web process for deliveries that it accepts while PostgreSQL is away; empty for none",
    )
    landfall_spool_bytes: int = Field(
        default=2**30, ge=2**20, description="bytes of deliveries that may be there before new ones are answered 503"
    )
    landfall_http_connections: int = Field(
        default=4096,
        ge=16,
        description="client connections open at once; fewer where the limit of file descriptors leaves no room",
    )
    landfall_client_connections: int = Field(
        default=512, ge=4, description="of them, how many of one address that is none of LANDFALL_TRUSTED_PROXIES"
    )
    landfall_check_minutes: int | None = Field(
        default=None,
        ge=1,
        description="a connected account is asked at least this often whether it still holds; unset, as each platform's"
        " page suggests: daily where refreshing does not show it sooner",
    )
    landfall_pull_accounts: int = Field(
        default=4, ge=1, le=64, description="connected accounts that one worker process reads from platforms at once"
    )
    landfall_media_url: Annotated[str | None, AfterValidator(_media)] = Field(
        default=None,
        description="where files to be posted are kept: a folder, as file:///srv/landfall/media, which the web process"
        " and the worker share, or a bucket, as s3://name; without it uploads are refused",
    )
    landfall_media_image_bytes: int = Field(
        default=50 * 2**20, ge=1024, le=2**30, description="largest image that is taken, in bytes"
    )
    landfall_media_gif_bytes: int = Field(
        default=50 * 2**20, ge=1024, le=2**30, description="largest GIF that is taken, in bytes"
    )
    landfall_media_video_bytes: int = Field(
        default=4 * 2**30, ge=1024, le=2**40, description="largest video that is taken, in bytes"
    )
    landfall_media_audio_bytes: int = Field(
        default=100 * 2**20, ge=1024, le=2**30, description="largest audio file that is taken, in bytes"
    )
    landfall_media_document_bytes: int = Field(
        default=100 * 2**20, ge=1024, le=2**30, description="largest document that is taken, in bytes"
    )
    landfall_media_days: int = Field(
        default=90, ge=1, description="days after which a file is removed that nothing refers to"
    )
    landfall_worker_jobs: int = Field(default=10, ge=1, le=64, description="jobs one worker process runs at once")
    landfall_event_tries: int = Field(
        default=5, ge=1, le=100, description="failures before an event is parked for a person to look at"
    )

    landfall_batch_events: int = Field(
        default=1000, ge=1, le=10_000, description="events that the worker projects in one transaction"
    )
    landfall_lease_buckets: int = Field(
        default=32,
        ge=1,
        le=256,
        description="buckets of accounts, of 256, whose events one transaction projects at most",
    )
    landfall_distributed: bool = Field(
        default=False,
        description="true where Citus distributes the tables of accounts (docs/scale.md); `work` and `rebuild` need it",
    )
    landfall_plan_cache_mode: str = Field(
        default="force_generic_plan",
        pattern="^(auto|force_generic_plan|force_custom_plan)$",
        description="plan_cache_mode of the worker's connections: auto, force_generic_plan or force_custom_plan",
    )

    def role(self, own: str) -> str:
        """Return the database role to act as: ``own``, the command's, unless another is set."""
        return own if self.landfall_database_role is None else self.landfall_database_role

    @property
    def https(self) -> bool:
        """Whether people reach the web process by https."""
        return self.landfall_public_url.startswith("https://")


class Configuration:
    """Settings and the platforms' variables, loaded together so that all problems are reported together."""

    def __init__(self, settings: Settings, variables: Mapping[str, tuple[str, ...]]) -> None:
        self.settings = settings
        self.variables = variables

    @classmethod
    def load(
        cls,
        variables: Iterable[Variable] = (),
        environ: Mapping[str, str] | None = None,
        env_file: Path = Path(".env"),
    ) -> "Configuration":
        """Read ``.env``, then the environment over it. Raises ConfigurationError."""
        environ = os.environ if environ is None else environ
        merged = {k: v for k, v in dotenv_values(env_file).items() if v is not None} | dict(environ)
        secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
        wanted = {name.upper() for name in Settings.model_fields}
        named = tuple(variables)
        problems = _read_files(merged, {name.upper() for name in secret} | {v.name for v in named})
        given: dict[str, Any] = {k.lower(): v for k, v in merged.items() if k in wanted and v != ""}
        if merged.get("LANDFALL_DATABASE_ROLE") == "":
            given["landfall_database_role"] = ""
        settings = None
        try:
            settings = Settings(**given)
        except ValidationError as error:
            problems += [_explain(detail) for detail in error.errors(include_input=False, include_context=False)]
        if settings is not None and (settings.landfall_smtp_url is None) != (not settings.landfall_mail_from):
            problems.append(_HALF_MAIL)
        if settings is None or problems:
            raise ConfigurationError(problems)
        values = {
            v.name: tuple(part for raw in merged.get(v.name, "").split(",") if (part := raw.strip())) for v in named
        }
        return cls(settings, MappingProxyType(values))


def _read_files(merged: dict[str, str], names: set[str]) -> list[str]:
    problems = []
    for name in sorted(names):
        path = merged.get(f"{name}_FILE")
        if not path:
            continue
        if merged.get(name):
            problems.append(f"{name} and {name}_FILE are both set; keep one")
            continue
        try:
            merged[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}_FILE names a file that cannot be read ({error.__class__.__name__}): {path}")
    return problems


def _explain(detail: ErrorDetails) -> str:
    field = str(detail["loc"][0])
    hint = Settings.model_fields[field].description
    if detail["type"] == "missing":
        return f"{field.upper()} is not set. It is {hint}."
    return f"{field.upper()} cannot be used: {_reason(detail)}. It is {hint}."


def _reason(detail: Any) -> str:
    """Return what is wrong with a value, in words for whoever set it; pydantic's own are for programmers."""
    words = {
        "int_parsing": "it is no whole number",
        "float_parsing": "it is no number",
        "bool_parsing": "it is neither true nor false",
        "string_pattern_mismatch": "it does not have the form of one",
    }
    said = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "it has to be")
    return words.get(detail["type"], said)

"""Configuration is read once, complains about everything at once, and never shows a value."""

import ast
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from ops.cli import wiring
from ops.runtime.mailserver import MailServer
from ops.runtime.settings import Configuration, ConfigurationError, Settings

ROOT = Path(__file__).parents[4]
NOWHERE = Path("/nonexistent/.env")


def load(environ: dict[str, str]) -> Configuration:
    return Configuration.load(wiring.variables(), environ, NOWHERE)


def test_example_names_every_variable_and_no_other() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    platforms = {variable.name for variable in wiring.variables()}
    # What only docker-compose.yml reads.
    compose = {"POSTGRES_PASSWORD", "SERVE_PASSWORD", "WORK_PASSWORD", "REDIS_PASSWORD", "LANDFALL_BIND"}
    # Set and empty means something else than not set.
    [aside] = re.findall(r"^# (LANDFALL_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(dotenv_values(ROOT / ".env.example")) | {aside} == settings | platforms | compose


def test_every_setting_is_read_by_something() -> None:
    places = [path for part in ("ingest", "sync", "publish", "ops") for path in (ROOT / part).rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in places if path.name != "settings.py"]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert set(Settings.model_fields) - read == set()


def test_example_values_are_the_defaults() -> None:
    example = {name: value for name, value in dotenv_values(ROOT / ".env.example").items() if value}
    given = load(example).settings
    plain = load({"DATABASE_URL": example["DATABASE_URL"], "REDIS_URL": example["REDIS_URL"]}).settings
    assert given == plain


def test_every_problem_is_reported_at_once_with_its_remedy_and_without_values() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(
            {
                "LANDFALL_HTTP_PORT": "canary-port",
                "LANDFALL_LOG_LEVEL": "canary-level",
                "REDIS_URL": "redis://:canary-password@h",
                "REDIS_URL_FILE": "/nonexistent/redis",
                "META_APP_SECRET_FILE": "/nonexistent/secret",
            }
        )
    text = str(caught.value)
    for name in ("DATABASE_URL", "LANDFALL_HTTP_PORT", "LANDFALL_LOG_LEVEL", "REDIS_URL", "META_APP_SECRET_FILE"):
        assert name in text
    assert "make up" in text, "the missing one says how to get it"
    assert "canary" not in text


def test_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("first, second\n")
    (tmp_path / "dsn").write_text("postgresql://u:p@h/d\n")
    loaded = load({"DATABASE_URL_FILE": str(tmp_path / "dsn"), "META_APP_SECRET_FILE": str(tmp_path / "secret")})
    assert loaded.variables["META_APP_SECRET"] == ("first", "second")
    assert loaded.settings.database_url.get_secret_value() == "postgresql://u:p@h/d"


def test_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://file/d\nLANDFALL_HTTP_PORT=1234\n")
    loaded = Configuration.load([], {"DATABASE_URL": "postgresql://environment/d"}, tmp_path / ".env")
    assert loaded.settings.database_url.get_secret_value() == "postgresql://environment/d"
    assert loaded.settings.landfall_http_port == 1234


def test_empty_means_unset_but_an_empty_role_means_none() -> None:
    loaded = load(
        {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "", "META_APP_SECRET": " , ", "LANDFALL_DATABASE_ROLE": ""}
    )
    assert loaded.settings.redis_url is None
    assert loaded.variables["META_APP_SECRET"] == ()
    assert loaded.settings.landfall_database_role == ""


def test_settings_do_not_show_secrets() -> None:
    loaded = load({"DATABASE_URL": "postgresql://u:canary@h/d", "REDIS_URL": "redis://:canary@h"})
    assert "canary" not in repr(loaded.settings)
    assert "canary" not in loaded.settings.model_dump_json()


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "demands_tls"),
    [
        ("smtp://u:p@mail.example.org:2525", "mail.example.org", 2525, False, True),
        ("smtp://mail.example.org", "mail.example.org", 587, False, False),
        ("smtps://u:p%2F%40@mail.example.org", "mail.example.org", 465, True, True),
        ("smtp://u:p@127.0.0.1:25", "127.0.0.1", 25, False, False),
        ("smtp://u:p@[::1]", "::1", 587, False, False),
        ("smtp://u:p@localhost", "localhost", 587, False, False),
        ("smtp://u:p@localhost.example.org", "localhost.example.org", 587, False, True),
    ],
)
def test_mail_server_on_another_machine_gets_no_password_without_tls(
    url: str, host: str, port: int, *, tls: bool, demands_tls: bool
) -> None:
    server = MailServer.of(url)
    assert (server.host, server.port, server.tls, server.demands_tls) == (host, port, tls, demands_tls)
    assert server.password in {None, "p", "p/@"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"LANDFALL_SMTP_URL": "smtp://u:canary@h"}, "set both"),
        ({"LANDFALL_MAIL_FROM": "a@example.org"}, "set both"),
        ({"LANDFALL_SMTP_URL": "http://u:canary@h"}, "does not begin with smtp://"),
        ({"LANDFALL_SMTP_URL": "smtp://u:canary/2@h"}, "LANDFALL_SMTP_URL cannot be used"),
        ({"LANDFALL_SMTP_URL": "smtp://h/canary"}, "something follows the host"),
        ({"LANDFALL_SMTP_URL": "smtp://canary@h"}, "a user and a password go together"),
        ({"LANDFALL_SMTP_URL": "smtp://h:canary"}, "it is no address"),
        ({"LANDFALL_SMTP_URL": "smtp://h", "LANDFALL_MAIL_FROM": "canary\nBcc: x@y"}, "LANDFALL_MAIL_FROM cannot"),
        ({"LANDFALL_SMTP_URL": "smtp://h", "LANDFALL_MAIL_FROM": "canary"}, "LANDFALL_MAIL_FROM cannot be used"),
    ],
)
def test_mail_that_cannot_be_is_said_so_without_the_password(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load({"DATABASE_URL": "postgresql://h/d"} | given)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"DATABASE_URL": "mysql://u:canary@h/d"}, "DATABASE_URL cannot be used: .* does not begin with postgresql://"),
        ({"DATABASE_URL": "canary"}, "DATABASE_URL cannot be used: .* does not begin with postgresql://"),
        ({"DATABASE_URL": "postgresql://u:canary#1@h/d"}, "has to be percent-encoded"),
        ({"DATABASE_URL": "postgresql://u:p@h:canary/d"}, "the port is no number"),
        ({"DATABASE_URL": "postgresql://u:p@h1:5432,h2:70000/d"}, "the port is no number"),
        (
            {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "http://:canary@h"},
            "REDIS_URL cannot be used: .* redis://",
        ),
        ({"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "canary"}, "REDIS_URL cannot be used: .* redis://"),
    ],
)
def test_address_that_is_none_of_such_a_server_is_one_sentence(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load(given)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LANDFALL_HTTP_PORT", "canary", "it is no whole number"),
        ("LANDFALL_HTTP_PORT", "80.5", "it is no whole number"),
        ("LANDFALL_HTTP_PORT", "-3", "it has to be greater than or equal to 0"),
        ("LANDFALL_HTTP_PORT", "99999", "it has to be less than or equal to 65535"),
        ("LANDFALL_PGBOUNCER", "canary", "it is neither true nor false"),
        ("LANDFALL_PUBLIC_URL", "ftp://canary", "it does not have the form of one"),
        ("LANDFALL_READER_URL", "mysql://canary", "it does not begin with postgresql://"),
    ],
)
def test_value_that_cannot_be_is_said_in_words_for_people(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} cannot be used: {said}. It is ") as caught:
        load({"DATABASE_URL": "postgresql://h/d", name: value})
    assert "canary" not in str(caught.value)
    assert "Input should" not in str(caught.value)
    assert "String should" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql:///d?host=/run/postgresql",
        "postgres://u:p%23%40@h1:5432,h2:5433/d?target_session_attrs=primary",
        "postgresql://u:p@[::1]:5432/d",
        "postgresql://u@[::1]/d",
    ],
)
def test_address_of_postgresql_may_have_every_form_that_its_driver_takes(address: str) -> None:
    assert load({"DATABASE_URL": address}).settings.database_url.get_secret_value() == address


def test_address_of_the_mail_server_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "smtp").write_text("smtp://u:canary@h\n")
    given = {"LANDFALL_SMTP_URL_FILE": str(tmp_path / "smtp"), "LANDFALL_MAIL_FROM": "a@example.org"}
    settings = load({"DATABASE_URL": "postgresql://h/d"} | given).settings
    assert settings.landfall_smtp_url is not None
    assert settings.landfall_smtp_url.get_secret_value() == "smtp://u:canary@h"
    assert "canary" not in repr(settings) + settings.model_dump_json()

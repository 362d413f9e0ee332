"""The oldest PostgreSQL that is supported, Debian's 15: the migrations, and the way from a webhook to rows and back.

The tests are those that run on the newest one; only the cluster is another.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli.doctor import OLDEST_POSTGRES
from ops.cli.migrate import migrate
from ops.runtime.embedded import Postgres, scratch
from tests.integration.schema.test_published import (  # noqa: F401  fixtures and tests
    tenant_login,
    test_condition_of_somebodys_own_never_sees_a_row_of_another_tenant,
    test_login_of_a_tenant_sees_its_rows_in_every_published_view_and_no_other,
    two_tenants,
)
from tests.integration.sync.rebuild.test_rebuild import (  # noqa: F401  fixtures and tests
    pool,
    test_drift_is_found_row_by_row_and_put_right_to_the_byte,
    test_emptied_tables_come_back,
    test_readers_see_the_old_tables_or_the_new_while_traffic_flows,
)
from tests.integration.test_webhook_to_rows import test_signed_webhooks_become_rows  # noqa: F401
from tests.migration.test_migrations import (  # noqa: F401
    empty,
    test_down_to_nothing_and_up_again,
    test_migrations_lead_to_the_metadata,
)
from tests.support import required_program


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """In the place of the run's cluster, for this module."""
    program: Path = required_program("/usr/lib/postgresql/15/bin/postgres", "postgresql-15")
    with scratch() as directory:
        directory.chmod(0o755)
        server = Postgres.at(directory / "pg", programs=program.parent)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    postgres.sql("CREATE DATABASE template_landfall OWNER landfall")
    migrate(postgres.dsn("template_landfall"))
    return "template_landfall"


def test_it_is_the_oldest_that_doctor_takes(postgres: Postgres) -> None:
    assert int(postgres.sql("SHOW server_version_num")) // 10000 == OLDEST_POSTGRES // 10000

"""What is shipped for dashboards runs against the views that there are."""

import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from ops.cli import logins
from schema.catalogue import catalogue

ROOT = Path(__file__).parents[4]
GUIDE = (ROOT / "docs" / "dashboards.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
SUPERSET = ROOT / "ops" / "deploy" / "superset"
PASSWORD = "long-enough-for-this"


def shipped(folder: str) -> list[dict[str, Any]]:
    return [yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted((SUPERSET / folder).rglob("*.yaml"))]


@pytest.mark.parametrize("tenant", [None, "default"], ids=["all", "one tenant"])
async def test_every_query_of_the_guide_runs_with_the_logins_that_it_names(
    database: str, connection: asyncpg.Connection, tenant: str | None
) -> None:
    name = f"{database.rpartition('/')[2]}_guide"
    await logins.make(connection, "read", name, PASSWORD, tenant)
    reader = await asyncpg.connect(logins.address(database, name, PASSWORD))
    assert len(QUERIES) == 8
    for query in QUERIES:
        assert await reader.fetch(query) == []
    await reader.close()
    await connection.execute(f"DROP ROLE {name}")


def test_dashboard_shows_columns_that_are_published_and_charts_that_are_shipped() -> None:
    datasets = {each["uuid"]: each for each in shipped("datasets")}
    for each in datasets.values():
        assert each["schema"] == "reporting"
        assert {column["column_name"] for column in each["columns"]} <= set(catalogue()[each["table_name"]])
        assert each["main_dttm_col"] in catalogue()[each["table_name"]]
    charts = {each["uuid"]: each for each in shipped("charts")}
    for chart in charts.values():
        columns = catalogue()[datasets[chart["dataset_uuid"]]["table_name"]]
        params = chart["params"]
        named = {*params.get("groupby", []), *params.get("all_columns", []), params.get("x_axis")} - {None}
        assert named <= set(columns), chart["slice_name"]
        assert {each["subject"] for each in params["adhoc_filters"]} <= set(columns), chart["slice_name"]
    [dashboard] = shipped("dashboards")
    shown = {
        each["meta"]["uuid"]
        for each in dashboard["position"].values()
        if isinstance(each, dict) and each["type"] == "CHART"
    }
    assert shown == set(charts)


async def test_every_measure_of_a_chart_can_be_computed(connection: asyncpg.Connection) -> None:
    datasets = {each["uuid"]: each["table_name"] for each in shipped("datasets")}
    for chart in shipped("charts"):
        metrics = [*chart["params"].get("metrics", []), *filter(None, [chart["params"].get("metric")])]
        for metric in metrics:
            view = datasets[chart["dataset_uuid"]]
            await connection.fetch(f"SELECT {metric['sqlExpression']} FROM reporting.{view}")


def test_no_password_and_no_host_of_anybody_is_shipped() -> None:
    [database] = shipped("databases")
    assert database["sqlalchemy_uri"] == "postgresql+psycopg2://landfall_read:XXXXXXXXXX@127.0.0.1:5432/landfall"

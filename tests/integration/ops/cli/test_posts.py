"""`landfall posts`: what a person at a terminal may do with posts."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from ops.cli import posts
from ops.cli.shapes import SHAPES
from tests.linked_site import linked_site
from tests.rig import Rig
from tests.support import command


@pytest.fixture
async def account(rig: Rig) -> str:
    [id_] = await rig.connect("instagram")
    return id_


async def landfall(rig: Rig, *arguments: str) -> tuple[int, str]:
    return await command(rig.dsn, "posts", *arguments)


async def made(rig: Rig, account: str, *more: str) -> Any:
    code, output = await landfall(rig, "create", "--content", "Tea", "--connection", account, "--json", *more)
    assert code == 0, output
    return json.loads(output)["post"]


async def test_draft_is_made_listed_shown_and_cancelled(rig: Rig, account: str) -> None:
    post = await made(rig, account, "--campaign", "spring", "--hashtag", "tea", "--hashtag", "green")
    assert (post["hashtags"], post["campaign_id"], post["targets"][0]["state"]) == (["tea", "green"], "spring", "draft")
    code, output = await landfall(rig, "list", "--campaign", "spring", "--state", "pending")
    assert (code, post["id"] in output, "instagram draft  Tea" in output) == (0, True, True), output
    code, output = await landfall(rig, "show", post["id"])
    assert (code, "draft (image), target" in output) == (0, True), output
    code, output = await landfall(rig, "cancel", post["id"])
    assert (code, output.endswith(": cancelled\n")) == (0, True), output
    code, output = await landfall(rig, "cancel", post["id"])
    assert (code, "not cancelled, it is cancelled" in output) == (0, True), output


async def test_posts_are_listed_by_state_account_and_text_and_have_a_history(rig: Rig, account: str) -> None:
    post = await made(rig, account)
    await made(rig, account, "--content", "Coffee")
    for chosen, expected in (
        (("--text", "COFF"), ["Coffee"]),
        (("--connection", account, "--state", "draft"), ["Coffee", "Tea"]),
        (("--connection", post["id"]), []),
        (("--state", "only:failed"), []),
        (("--before", post["id"]), []),
    ):
        code, output = await landfall(rig, "list", *chosen, "--json")
        listed = [json.loads(line)["content"] for line in output.splitlines() if line.startswith("{")]
        assert (code, listed) == (0, expected), output
    code, output = await landfall(rig, "history", post["id"])
    assert (code, "  draft\n    next: Nothing before somebody" in output) == (0, True), output
    code, output = await landfall(rig, "history", account)
    assert (code, "There is no such post" in output) == (1, True), output


async def test_refusal_says_every_finding_and_what_to_do(rig: Rig, account: str) -> None:
    code, output = await landfall(rig, "create", "--content", "x" * 2300, "--connection", account, "--now")
    assert code == 1
    assert "What to do" in output
    assert "refusal, text: The text has 2300 characters" in output
    code, output = await landfall(rig, "show", account)
    assert (code, "There is no such post" in output) == (1, True)


async def test_person_decides_what_is_unconfirmed(rig: Rig, account: str) -> None:
    post = await made(rig, account)
    [target] = post["targets"]
    await rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    await rig.raw("UPDATE post_targets SET state = 'unconfirmed', evidence = '[\"a listing\"]'")
    await rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")
    code, output = await landfall(rig, "show", post["id"])
    assert "a listing" in output
    assert "landfall posts confirm" in output
    code, output = await landfall(rig, "confirm", post["id"], target["id"])
    assert (code, "--there" in output) == (2, True), "nothing is decided for the person"
    code, output = await landfall(rig, "confirm", post["id"], target["id"], "--there", "--post-id", "17")
    assert (code, output.endswith(": published\n")) == (0, True), output


async def test_failed_posts_are_tried_again_by_cause(rig: Rig) -> None:
    [account] = await rig.connect("mastodon")
    post = await made(rig, account)
    assert (await landfall(rig, "retry"))[0] == 2
    code, output = await landfall(rig, "retry", post["id"])
    assert (code, "Nothing of this failed" in output) == (1, True)
    await rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    await rig.raw("UPDATE post_targets SET state = 'failed', error_code = 'spam'")
    await rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")
    await rig.raw("UPDATE connections SET scopes = ARRAY['read']")
    code, output = await landfall(rig, "retry", "--cause", "spam")
    assert (code, "1 are refused" in output) == (0, True), output
    await rig.raw("UPDATE connections SET scopes = ARRAY['read', 'write', 'push']")
    code, output = await landfall(rig, "retry", "--cause", "spam")
    assert (code, output.startswith("1 targets")) == (0, True), output
    [[state]] = await rig.raw("SELECT state FROM post_targets")
    assert state == "scheduled"


async def test_posts_are_counted_listed_by_time_and_answered_as_json(rig: Rig, account: str) -> None:
    post = await made(rig, account, "--campaign", "spring")
    code, output = await landfall(rig, "summary")
    counted = "all pending 1 posted 0 failed 0 cancelled 0"
    assert (code, " ".join(output.splitlines()[0].split())) == (0, counted)
    assert any(line.startswith("campaign spring") for line in output.splitlines()), output
    code, output = await landfall(rig, "summary", "--campaign", "autumn", "--json")
    assert (code, json.loads(output)["total"]) == (0, 0)
    code, output = await landfall(rig, "list", "--from", "2020-01-01", "--json")
    assert (code, json.loads(output)["id"]) == (0, post["id"])
    code, output = await landfall(rig, "list", "--to", "2020-01-01")
    assert (code, post["id"] in output) == (0, False)
    code, output = await landfall(rig, "list", "--from", "soon")
    assert (code, "--from is no time" in output) == (1, True), output
    code, output = await landfall(rig, "cancel", post["id"], "--json")
    assert (code, json.loads(output)["cancelled"]) == (0, True), output


async def test_file_is_imported_with_a_report_for_each_line(rig: Rig, account: str, tmp_path: Path) -> None:
    file = tmp_path / "posts.csv"
    file.write_text(
        "content,platforms,scheduled_time,timezone\n"
        "Tea,instagram,2099-06-01 09:00,Europe/Berlin\n"
        "Coffee,friendfeed,2099-06-01 09:00,Europe/Berlin\n"
    )
    code, output = await landfall(rig, "import", str(file), "--dry-run")
    assert code == 1
    assert "line 2: " in output, "Instagram wants a file"
    assert "line 3: there is no platform 'friendfeed'" in output
    assert output.endswith("0 accepted, 2 refused\n")
    assert await rig.raw("SELECT 1 FROM posts") == []
    file.write_text("nonsense\n")
    code, output = await landfall(rig, "import", str(file))
    assert (code, "nonsense" in output) == (1, True)


async def test_import_prints_a_document_for_each_line(rig: Rig, account: str, tmp_path: Path) -> None:
    file = tmp_path / "posts.csv"
    file.write_text(
        "content,platforms,scheduled_time,timezone,media_urls\n"
        "Tea,instagram,2099-06-01 09:00,UTC,http://127.0.0.1:1/a.jpg\n"
        "Coffee,friendfeed,2099-06-01 09:00,UTC,\n"
    )
    code, output = await landfall(rig, "import", str(file), "--json")
    first, second = (json.loads(line) for line in output.splitlines())
    assert (code, first["number"], first["accepted"], first["post"]) == (1, 2, False, None)
    assert "there is no place to keep them" in first["problems"][0]["message"]
    assert second["problems"][0]["field"] == "platforms"


async def test_post_repeats_and_takes_slots(rig: Rig) -> None:
    [account] = await rig.connect("x")
    rule = ("--rule", "FREQ=DAILY;COUNT=3", "--at", "2099-06-01 09:00", "--zone", "Europe/Berlin")
    text = ("--content", "Tea", "--connection", account, "--utm")
    code, output = await landfall(rig, "repeat", "create", *text, *rule, "--json")
    assert code == 0, output
    recurrence = json.loads(output)["recurrence"]
    assert recurrence["post"]["utm"] is True
    code, output = await landfall(rig, "repeat", "list")
    assert (code, recurrence["id"] in output, "FREQ=DAILY;COUNT=3" in output) == (0, True, True), output
    code, output = await landfall(rig, "repeat", "show", recurrence["id"])
    assert (code, "next: 2099-06-01 09:00 in Europe/Berlin" in output) == (0, True), output
    for action, state in (("pause", "paused"), ("resume", "active"), ("end", "ended")):
        code, output = await landfall(rig, "repeat", action, recurrence["id"])
        assert (code, f"{recurrence['id']}  {state}" in output) == (0, True), output
    code, output = await landfall(rig, "repeat", "resume", recurrence["id"])
    assert (code, "It has ended" in output) == (1, True)
    code, output = await landfall(rig, "create", "--content", "Tea", "--connection", account, "--next-free-slot")
    assert (code, "has no slot" in output) == (1, True), output
    code, output = await landfall(rig, "slots", "set", account, "MO/09:00", "th/17:30", "--zone", "Europe/Berlin")
    assert (code, output.startswith("MO/09:00 TH/17:30 in Europe/Berlin\nfree: ")) == (0, True), output
    post = await made(rig, account, "--next-free-slot")
    code, output = await landfall(rig, "slots", "show", account, "--json")
    assert post["targets"][0]["slot_at"] not in [each["time"] for each in json.loads(output)["free"]]
    code, output = await landfall(rig, "slots", "set", account, "Monday")
    assert (code, "is no slot" in output) == (1, True)
    code, output = await landfall(rig, "create", "--content", "Tea", "--next-free-slot", "--now")
    assert code == 2


async def test_campaign_parameters_are_shown_with_the_text_of_each_account(rig: Rig, account: str) -> None:
    tagged = "https://example.org/tea?utm_source=instagram&utm_medium=social&utm_campaign=spring"
    more = ("--content", "See https://example.org/tea", "--utm", "--campaign", "spring")
    post = await made(rig, account, *more)
    assert (post["utm"], post["targets"][0]["text"]) == (True, f"See {tagged}")
    code, output = await landfall(rig, "show", post["id"])
    assert (code, f"    | See {tagged}\n" in output) == (0, True), output


async def test_link_is_looked_at(rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async with linked_site(monkeypatch) as (site, _):
        await posts.preview_link(f"{site}/tea", "", as_json=True)
        shown = json.loads(capsys.readouterr().out)
        assert (tuple(shown), shown["title"]) == (SHAPES["posts preview-link"], "All about tea")
        await posts.preview_link(f"{site}/tea", "", as_json=False)
        assert f"image: {site}/cup.jpg" in capsys.readouterr().out
        with pytest.raises(click.ClickException, match="no server on the internet has this name"):
            await posts.preview_link(f"{site}/tea", site, as_json=True)
    code, output = await landfall(rig, "preview-link", "http://127.0.0.1:1/")
    assert (code, "no server on the internet has this name" in output) == (1, True), output

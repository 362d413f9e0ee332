"""What the machines of Instagram, Facebook and Threads make of errors, without network or database."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import publish.platforms
from ops.runtime.discovery import discover
from ops.runtime.platform_client import TRIPPED
from ops.runtime.platform_protocol import Response
from publish.oauth.contract import App
from publish.posting.contract import (
    AFTERWARDS,
    Doubt,
    Effect,
    Failed,
    Go,
    Hold,
    Job,
    Machine,
    Media,
    PostingPlatform,
    Published,
    Retry,
    Step,
    TokenRefused,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import DOUBT, VISIBLE, decide
from schema.states import TargetState

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PLATFORMS = discover(publish.platforms, PostingPlatform, "machines")
MACHINES = [
    pytest.param(name, machine, id=f"{name}-{machine.name}")
    for name in ("instagram", "facebook", "threads")
    for machine in PLATFORMS[name].machines.values()
]
PICTURE = Media("m1", "image/jpeg", 1000, 640, 640, alt_text="a picture", url="https://landfall.example/m1")
CLIP = Media("m2", "video/mp4", 5000, 720, 1280, 5.0, url="https://landfall.example/m2")
HOSTS = {"graph": "https://graph.example", "rupload": "https://rupload.example"}


def job(machine: Machine, **more: Any) -> Job:
    media = {"reel": [CLIP], "video": [CLIP], "text": [], "link": [], "comment": []}.get(machine.name, [PICTURE])
    kept: Mapping[str, Any] = {
        "container": "c1",
        "children": ["c1", "c2"],
        "photos": ["p1"],
        "draft": "1_2",
        "video": "v1",
        "offset": 0,
        **more.pop("kept", {}),
    }
    values: dict[str, Any] = {
        "id": "t1",
        "kind": machine.name,
        "app": App("app", "secret", "https://landfall.example", HOSTS),
        "account_id": "1",
        "username": "shop",
        "text": "Tea",
        "secrets": {"access_token": "token"},
        "media": media,
        "parent_id": "",
        "post_id": "9",
        "now": NOW,
        "step_since": NOW,
        "intent_at": NOW,
        "sealed": {"session": "upload:1", "handle": "2:1"},
        "link": {"url": "https://example.org"},
    }
    return Job(**values | {"kept": kept} | more)


def error(code: int, subcode: int | None = None, status: int = 400, **more: Any) -> Response:
    found = {"code": code, "message": "It did not work", **more}
    return Response(status, {"error": found | ({"error_subcode": subcode} if subcode else {})})


UNKNOWN_OUTCOMES = [
    *(error(1, status=500), error(2, status=500), error(2), error(2, is_transient=True), error(-1, 2207001)),
    *(error(4, 2207051, 403), error(506), error(100, 1366051), error(2, 1363047, 500), error(77777), error(1, 1609010)),
    *(Response(502, None), Response(200, None), Response(200, []), Response(500, {}), Response(504, {"a": 1})),
]
"""Answers to a call that makes something visible after which it may be there (``meta.md`` 7.5, 9.5)."""

NOT_DONE = [error(10), error(200), error(36000, 2207004), error(352, 2207026), error(25, 2207050), error(190, 460)]

ANY_ERROR = [
    *UNKNOWN_OUTCOMES,
    *NOT_DONE,
    *(error(100), error(100, 33), error(613, status=403), error(24, 2207006), error(24, 4279009), error(3)),
    *(Response(401, {"error": {"message": "Please wait"}}), Response(429, {}), error(368), error(9, 2207042)),
]


def read(step: Step, of: Job, response: Response) -> Verdict:
    """As the driver does, which takes what cannot be read for unknown."""
    try:
        found = step.read(of, response)
    except TRIPPED:
        return Unknown("unreadable")
    # What the driver finds where the platform stays with it.
    return Failed("access_token_invalid", "") if isinstance(found, TokenRefused) else found


@dataclass
class At:
    """How far a target has come."""

    state: TargetState
    step: str
    failures: int = 0
    intent_at: datetime | None = NOW
    kept: Mapping[str, Any] = field(default_factory=dict)


def visible(machine: Machine) -> list[Step]:
    return [step for step in machine.steps.values() if step.effect in VISIBLE]


@pytest.mark.parametrize(("_name", "machine"), MACHINES)
def test_lost_outcome_of_a_commit_is_never_taken_for_a_failure(_name: str, machine: Machine) -> None:
    for step in visible(machine):
        for response in UNKNOWN_OUTCOMES:
            found = read(step, job(machine), response)
            assert isinstance(found, Unknown), (response, found)


@pytest.mark.parametrize(("_name", "machine"), MACHINES)
def test_error_that_no_page_knows_leads_every_commit_to_a_look_and_its_code_is_shown(
    _name: str, machine: Machine
) -> None:
    for name, step in machine.steps.items():
        if step.effect not in VISIBLE:
            continue
        for response in (error(77777), error(77777, 99, 403), error(1, 12345)):
            found = read(step, job(machine), response)
            outcome = decide(At(step.state, name), machine, found)
            assert (outcome.state, outcome.step) == (TargetState.UNCONFIRMED, step.unknown), response
            look = decide(At(outcome.state, outcome.step, kept=outcome.kept), machine, Doubt("No post like this."))
            assert look.state == TargetState.UNCONFIRMED
            assert str(response.content["error"]["code"]) in " ".join(look.evidence), look.evidence


@pytest.mark.parametrize(("_name", "machine"), MACHINES)
def test_what_the_page_proves_not_done_is_not_looked_for(_name: str, machine: Machine) -> None:
    for step in visible(machine):
        for response in NOT_DONE:
            assert not isinstance(read(step, job(machine), response), Unknown | Published), response


@pytest.mark.parametrize(("_name", "machine"), MACHINES)
def test_no_reading_that_fails_decides_against_a_post(_name: str, machine: Machine) -> None:
    for name, step in machine.steps.items():
        if step.effect is not Effect.READ or step.state in (TargetState.PREPARING, TargetState.UPLOADING):
            continue
        for response in ANY_ERROR:
            for failures in (0, 99):
                at = At(step.state, name, failures, kept={DOUBT: "lost", "looks": 99})
                of = job(machine, kept={DOUBT: "lost", "looks": 99}, step_since=NOW.replace(day=27))
                outcome = decide(at, machine, read(step, of, response))
                assert outcome.state is not TargetState.FAILED, (name, response, outcome)
                if step.state in AFTERWARDS:
                    assert outcome.state in AFTERWARDS, (name, response, outcome)


@pytest.mark.parametrize(("_name", "machine"), MACHINES)
def test_unknown_commit_leads_to_a_reading_that_people_see_as_unconfirmed(
    _name: str,
    machine: Machine,
) -> None:
    for name, step in machine.steps.items():
        if step.effect in VISIBLE:
            outcome = decide(At(step.state, name), machine, Unknown("lost"))
            assert (outcome.state, outcome.step) == (TargetState.UNCONFIRMED, step.unknown)
            assert outcome.kept[DOUBT] == "lost"


@pytest.mark.parametrize(("_name", "machine"), MACHINES)
def test_no_request_has_a_token_in_its_path_and_each_names_its_host(_name: str, machine: Machine) -> None:
    for name, step in machine.steps.items():
        nothing_yet = {"children": [], "photos": []} if name in ("child", "photo", "start") else {}
        of = job(machine, parent_id="7", kept=nothing_yet)
        request = step.ask(of)
        assert "token" not in request.url
        assert request.url.startswith((*HOSTS.values(), "https://graph.example"))
        sent = {**request.query, **(request.form or {}), **request.headers}
        assert "token" in " ".join(sent.values())


@pytest.mark.parametrize(("_name", "machine"), MACHINES)
def test_throttle_by_401_is_no_dead_token(_name: str, machine: Machine) -> None:
    response = Response(401, {"error": {"message": "Please wait a few minutes before you try again."}})
    for step in machine.steps.values():
        found = read(step, job(machine), response)
        assert isinstance(found, Unknown if step.effect in VISIBLE else Hold), found


def machine_of(platform: str, kind: str) -> Machine:
    return PLATFORMS[platform].machines[kind]


@pytest.mark.parametrize("platform", ["instagram", "facebook", "threads"])
def test_parent_that_is_not_found_yet_is_asked_again(platform: str) -> None:
    kind = PLATFORMS[platform].reply_kind
    step = machine_of(platform, kind).steps["container" if platform == "threads" else "say"]
    response = error(24, 4279009) if platform == "threads" else error(100, 33)
    assert isinstance(read(step, job(machine_of(platform, kind), parent_id="7", media=[]), response), Retry)


def test_missing_object_is_deleted_only_where_it_was_asked_for() -> None:
    machine = machine_of("facebook", "delete_post")
    act, look = machine.steps["act"], machine.steps["look"]
    of = job(machine, parent_id="7")
    assert isinstance(read(act, of, error(100, 33)), Retry), "it may be hidden from us"
    looked = replace(of, kept={**of.kept, "looks": 1}, step_since=NOW.replace(hour=11))
    assert isinstance(read(look, looked, error(100, 33)), Published)


def test_comment_by_somebody_else_is_not_ours() -> None:
    said = {"id": "1", "text": "Tea", "timestamp": NOW.isoformat(), "username": "fan"}
    machine = machine_of("instagram", "comment")
    look, of = machine.steps["look"], job(machine, parent_id="7", kept={"looks": 9}, step_since=NOW.replace(hour=11))
    assert isinstance(read(look, of, Response(200, {"data": [said]})), Doubt)
    assert read(look, of, Response(200, {"data": [said | {"username": "shop"}]})) == Published("1")
    two = [said | {"username": "shop"}, said | {"username": "shop", "id": "2"}]
    found = read(look, of, Response(200, {"data": two}))
    assert isinstance(found, Doubt)
    assert len(found.evidence) == 2
    bound = replace(of, bound=frozenset({"2"}))
    assert read(look, bound, Response(200, {"data": two})) == Published("1")


def test_reply_with_the_same_text_to_another_post_is_not_ours() -> None:
    machine = machine_of("threads", "reply")
    said = {"id": "1", "text": "Tea", "timestamp": NOW.isoformat(), "media_type": "TEXT_POST"}
    listed = Response(
        200, {"data": [said | {"replied_to": {"id": "8"}}, said | {"id": "2", "replied_to": {"id": "7"}}]}
    )
    found = read(machine.steps["locate"], job(machine, parent_id="7", media=[]), listed)
    assert found == Published("2")


@pytest.mark.parametrize(("platform", "kind"), [("instagram", "image"), ("threads", "image")])
def test_container_that_cannot_be_read_is_looked_for_twice_and_left_to_a_person(platform: str, kind: str) -> None:
    """``meta.md`` 9.6: two empty lists, ten minutes apart, and it is never published again by itself."""
    machine = machine_of(platform, kind)
    search, empty = machine.steps["search"], Response(200, {"data": []})
    begun = NOW - timedelta(minutes=10)
    first = read(search, job(machine), empty)
    assert isinstance(first, Wait)
    assert first.seconds == 600
    assert isinstance(read(search, job(machine, step_since=begun), empty), Wait)
    assert isinstance(read(search, job(machine, kept={"looks": 1}), empty), Wait)
    assert isinstance(read(search, job(machine, kept={"looks": 1}, step_since=begun), empty), Doubt)
    listed = {"id": "5", "permalink": "https://example.org/p/5", "caption": "Tea", "text": "Tea"}
    assert read(search, job(machine), Response(200, {"data": [listed]})) == Published("5", "https://example.org/p/5")


def test_photos_tell_a_direct_post_apart_from_one_with_the_same_text() -> None:
    machine = machine_of("facebook", "multi_photo")
    below = {"data": [{"target": {"id": "p1"}}, {"target": {"id": "p2"}}]}
    ours = {
        "id": "1_5",
        "message": "Tea",
        "attachments": {"data": [{"target": {"id": "1_5"}, "subattachments": below}]},
    }
    other = {"id": "1_6", "message": "Tea", "created_time": NOW.isoformat()}
    of = job(machine, kept={"draft": "", "direct": True})
    found = read(machine.steps["search"], of, Response(200, {"data": [other, ours]}))
    assert found == Published("1_5")


def test_upload_goes_on_at_the_offset_and_gives_up_where_nothing_arrives() -> None:
    machine = machine_of("facebook", "reel")
    step = machine.steps["offset"]

    def says(arrived: object) -> Response:
        return Response(200, {"status": {"uploading_phase": {"bytes_transfered": arrived}}})

    found = read(step, job(machine), says(3000))
    assert isinstance(found, Go)
    assert found.keep["offset"] == 3000
    resumed = job(machine, kept=found.keep)
    request = machine.steps["upload"].ask(resumed)
    assert request.content is not None
    assert (request.content.offset, request.content.length, request.headers["offset"]) == (3000, 2000, "3000")
    assert isinstance(read(step, job(machine, kept={"offset": 3000, "stuck": 4}), says(3000)), Failed)
    assert isinstance(read(step, job(machine), says(10**9)), Unknown)
    assert isinstance(read(step, job(machine), says(None)), Unknown)


def test_relative_address_of_a_reel_is_completed() -> None:
    machine = machine_of("facebook", "reel")
    content = {"status": {"publishing_phase": {"status": "completed"}}, "permalink_url": "/reel/5/", "post_id": "1_5"}
    found = read(machine.steps["status"], job(machine), Response(200, content))
    assert found == Published("1_5", "https://www.facebook.com/reel/5/")


@pytest.mark.parametrize("session", ["https://evil.example/upload", "upload:1/../me", 5, None])
def test_upload_goes_nowhere_that_the_page_does_not_name(session: object) -> None:
    machine = machine_of("facebook", "video")
    assert isinstance(read(machine.steps["session"], job(machine), Response(200, {"id": session})), Unknown)

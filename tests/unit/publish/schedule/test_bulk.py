"""Many posts from a file: read as people send it, or refused line by line with what to do."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publish.schedule.bulk import MOST_BYTES, MOST_POSTS, BulkPost, Defaults, Report
from publish.schedule.bulk_csv import read_csv
from publish.schedule.bulk_json import read_json
from publish.schedule.intervals import read_options
from tests.unit.publish.schedule.support import ZONES, utc

DEFAULTS = Defaults(("mastodon", "x", "tiktok"), utc("2027-01-01 00:00"), ZONES, "spring", "Europe/Berlin")
HEADER = "content,platforms,scheduled_time,hashtags\n"
LINE = "Hello,x,2027-05-01 09:00,#a\n"


def csv(text: str | bytes, defaults: Defaults = DEFAULTS) -> Report:
    return read_csv(text if isinstance(text, bytes) else text.encode(), defaults)


def post_json(defaults: Defaults = DEFAULTS, **post: Any) -> Report:
    whole = {"content": "Hello", "platforms": ["x"], "scheduled_time": "2027-05-01 09:00"} | post
    return read_json(json.dumps({"posts": [whole]}).encode(), defaults)


def said(report: Report) -> list[str]:
    """Every problem, with its line."""
    found = [f"{problem.field}: {problem.message}" for problem in report.problems]
    for line in report.lines:
        found += [f"{line.number} {problem.field}: {problem.message}" for problem in line.problems]
    assert all(
        problem.remedy for problem in (*report.problems, *(each for line in report.lines for each in line.problems))
    )
    assert report.accepted == (not found)
    return found


def test_csv_becomes_posts_with_the_line_of_each() -> None:
    report = csv(
        HEADER
        + LINE
        + '"Two\nlines, and a ""quote""",mastodon x,2027-05-02 09:00,"#b, c"\n'
        + "\nLast,tiktok,2027-05-03 09:00,\n"
    )
    assert said(report) == []
    assert [(line.number, line.post and line.post.content) for line in report.lines] == [
        (2, "Hello"),
        (3, 'Two\nlines, and a "quote"'),
        (6, "Last"),
    ]
    assert report.posts[1].platforms == ("mastodon", "x")
    assert report.posts[1].hashtags == ("b", "c")
    assert report.posts[1].campaign_id == "spring"
    assert report.posts[1].time.instant == utc("2027-05-02 07:00")


@pytest.mark.parametrize(
    "text",
    [
        (HEADER + LINE).replace("\n", "\r\n"),
        (HEADER + LINE).replace("\n", "\r"),
        (HEADER + LINE).replace(",", ";"),
        (HEADER + LINE).replace(",", "\t"),
        (HEADER + LINE).replace(",", "|"),
        "sep=;\r\n" + (HEADER + LINE).replace(",", ";"),
        "\ufeff" + HEADER + LINE,
        "\ufeffsep=,\n" + HEADER + LINE,
        "\n\n" + HEADER + LINE + "\n,,,\n",
        '"Content"," Platforms ",Scheduled Time,HASHTAGS\n' + LINE,
        (HEADER + LINE).rstrip(),
        'content,platforms,scheduled_time,hashtags\n"Hello","X","2027-05-01T07:00:00Z","a"\n',
    ],
)
def test_csv_is_read_as_spreadsheets_and_people_send_it(text: str) -> None:
    report = csv(text)
    assert said(report) == []
    (post,) = report.posts
    assert (post.content, post.platforms, post.hashtags) == ("Hello", ("x",), ("a",))
    assert post.time.instant == utc("2027-05-01 07:00")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((HEADER + "Grüße,x,2027-05-01 09:00,\n").encode("cp1252"), "line 2 of the file has the byte 0xFC"),
        (("\ufeff" + HEADER).encode() + b"a\n\xff", "line 3 of the file has the byte 0xFF"),
        ((HEADER + LINE).encode("utf-16"), "UTF-16"),
        ((HEADER + LINE).encode("utf-16-be"), "line 1 of the file has a NUL"),
        ((HEADER + LINE).encode("utf-32"), "UTF-16 or UTF-32"),
        (HEADER.encode() + b"x" * MOST_BYTES, f"{MOST_BYTES} are allowed"),
        (b"", "no line with the names of the columns"),
        (b"\n \n", "no line with the names of the columns"),
        (HEADER.encode(), "has no posts"),
        ((HEADER + LINE * (MOST_POSTS + 1)).encode(), f"more than {MOST_POSTS} posts"),
        (b"sep=x\ncontentxplatforms\n", "names 'x' as separator"),
        (b'"content,platforms\n', "the line is no CSV"),
    ],
)
def test_file_that_cannot_be_read_as_a_whole_says_why(content: bytes, message: str) -> None:
    report = csv(content)
    assert report.lines == ()
    assert message in said(report)[0]
    if "0x" in message or "UTF" in message or "NUL" in message:
        assert "UTF-8" in report.problems[0].remedy


def test_unknown_repeated_and_missing_columns_are_named() -> None:
    report = csv("content,Colour,content,,image\n")
    assert said(report) == [
        "colour: there is no column 'colour'",
        ": a column has no name",
        "image: there is no column 'image'",
        "content: the column content is there more than once",
        "platforms: the column platforms is missing",
    ]
    assert "media_urls" in report.problems[0].remedy


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (",x,2027-05-01 09:00,", "content: the post has no text and no media"),
        ("Hi,,2027-05-01 09:00,", "platforms: the post names no platform"),
        ("Hi,myspace,2027-05-01 09:00,", "platforms: there is no platform 'myspace' to post to"),
        ("Hi,x,,", "scheduled_time: the post has no time"),
        ("Hi,x,01/05/2027,", "scheduled_time: '01/05/2027' is not a time that can be read"),
        ("Hi,x,2026-05-01 09:00,", "scheduled_time: the time is past: 2026-05-01 09:00 in Europe/Berlin (UTC+02:00)"),
        ("Hi,x,2027-05-01 09:00,#", "hashtags: '' is no hashtag"),
        ("Hi,x,2027-05-01 09:00,#a#b", "hashtags: 'a#b' is no hashtag"),
        ("Hi,x,2027-05-01 09:00", ": the line has 3 cells, and there are 4 columns"),
        ("Hi, and more,x,2027-05-01 09:00,", ": the line has 5 cells, and there are 4 columns"),
    ],
)
def test_each_line_says_what_is_wrong_with_it_and_the_others_are_read(cells: str, message: str) -> None:
    report = csv(f"{HEADER}{LINE}{cells}\nLast,x,2027-05-03 09:00,\n")
    assert said(report) == [f"3 {message}"]
    assert [post.content for post in report.posts] == ["Hello", "Last"]


def test_all_that_is_wrong_with_a_line_is_said_at_once() -> None:
    report = csv(f"{HEADER},y,tomorrow,#a#b\n")
    assert [text.partition(":")[0] for text in said(report)] == [
        "2 platforms",
        "2 hashtags",
        "2 content",
        "2 scheduled_time",
    ]


@pytest.mark.parametrize("broken", ['"never closed,x,2027-05-01 09:00,\n' + LINE, 'a "b" c,x\n"d"e,x,,\n' + LINE])
def test_broken_quotes_end_the_report_and_say_where(broken: str) -> None:
    report = csv(HEADER + LINE + broken)
    assert len(report.posts) == 1
    assert report.lines[-1].problems[0].message.startswith("the line is no CSV")
    assert "nothing after line" in said(report)[0]


WIDE = "\uff1d\uff0b\uff0d\uff20"
"""The wide forms of = + - @, which spreadsheets take for them."""


@pytest.mark.parametrize("formula", ["=1+1", "+49 30 1", "-5 %", "@you", *(f"{sign}1" for sign in WIDE)])
def test_formula_is_text_and_the_apostrophe_that_marks_it_for_a_spreadsheet_is_taken_away(formula: str) -> None:
    for cell, content in ((formula, formula), (f"'{formula}", formula), (f"''{formula}", f"'{formula}")):
        assert csv(f"{HEADER}{cell},x,2027-05-01 09:00,\n").posts[0].content == content
    assert csv(f"{HEADER}'quoted,x,2027-05-01 09:00,\n").posts[0].content == "'quoted"


def test_same_post_twice_is_refused_and_another_time_is_another_post() -> None:
    again = "Hello,x mastodon,2027-05-01T07:00Z,\n"
    report = csv(HEADER + LINE + again + "Hello,x,2027-05-02 09:00,\n")
    assert said(report) == ["3 : it is the same post on x at the same time as on line 2"]
    assert len(report.posts) == 2


def test_posts_without_a_time_follow_one_another_at_the_interval() -> None:
    options = read_options({"start_time": "2027-05-01 09:00", "interval_hours": 4}, "Europe/Berlin", ZONES)
    report = csv(
        "content,platforms,scheduled_time\na,x,\nb,x,2027-06-01 09:00\nc,y,\nd,x,\n", replace(DEFAULTS, options=options)
    )
    assert [post.time.wall.isoformat(" ", "minutes") for post in report.posts] == [
        "2027-05-01 09:00",
        "2027-06-01 09:00",
        "2027-05-01 17:00",
    ], "a line that is wrong keeps its place, so that mending it moves no other"


def test_decision_about_daylight_saving_is_part_of_the_report() -> None:
    (post,) = csv(HEADER + "Hi,x,2027-03-28 02:30,\n").posts
    assert "does not exist in Europe/Berlin" in post.time.words


def test_time_zone_of_the_line_comes_before_the_one_of_the_file() -> None:
    text = "content,platforms,scheduled_time,timezone\na,x,2027-05-01 09:00,Asia/Tokyo\nb,x,2027-05-01 09:00,Mars\n"
    report = csv(text)
    assert report.posts[0].time.instant == utc("2027-05-01 00:00")
    assert said(report) == ["3 scheduled_time: there is no time zone 'Mars'"]
    assert "names no time zone" in said(csv(HEADER + LINE, replace(DEFAULTS, timezone=None)))[0]


def test_json_is_read_as_the_design_has_it() -> None:
    document = {
        "campaign_id": "launch",
        "posts": [
            {"content": "One", "platforms": ["x", "mastodon"], "hashtags": ["#a", "b"]},
            {"content": "Two", "platforms": ["x"], "scheduled_time": "2027-06-01 09:00", "campaign_id": "other"},
            {
                "content": None,
                "platforms": "x",
                "media_urls": ["https://example.com/1.jpg", "https://example.com/1.jpg"],
            },
        ],
        "scheduling_options": {"interval_hours": 24, "start_time": "2027-05-01T09:00:00", "timezone": "Asia/Tokyo"},
    }
    report = read_json(json.dumps(document).encode("utf-8-sig"), DEFAULTS)
    assert said(report) == []
    assert [(line.number, line.post and line.post.campaign_id) for line in report.lines] == [
        (1, "launch"),
        (2, "other"),
        (3, "launch"),
    ]
    assert [post.time.instant for post in report.posts] == [
        utc("2027-05-01 00:00"),
        utc("2027-06-01 00:00"),
        utc("2027-05-02 00:00"),
    ]
    assert report.posts[0].hashtags == ("a", "b")
    assert report.posts[2].media_urls == ("https://example.com/1.jpg",) * 2


def test_campaign_parameters_are_switched_on_for_a_line_or_for_all() -> None:
    text = "content,platforms,scheduled_time,utm\n" + "".join(
        f"{word},x,2027-05-01 09:00,{word}\n" for word in ("yes", "No", "TRUE", "0")
    )
    report = csv(text + "empty,x,2027-05-01 09:00,\nwrong,x,2027-05-01 09:00,perhaps\n")
    assert said(report) == ["7 utm: utm is neither yes nor no"]
    assert [post.utm for post in report.posts] == [True, False, True, False, False]
    of_post = {"platforms": "x", "scheduled_time": "2027-05-01 09:00"}
    posts = [{"content": "a", **of_post}, {"content": "b", "utm": False, **of_post}]
    report = read_json(json.dumps({"utm": True, "posts": posts}).encode(), DEFAULTS)
    assert [post.utm for post in report.posts] == [True, False]


def test_offset_of_the_start_is_no_zone_for_the_other_times() -> None:
    document = {
        "posts": [{"content": "a", "platforms": "x", "scheduled_time": "2027-05-01 09:00"}],
        "scheduling_options": {"interval_hours": 1, "start_time": "2027-05-01T09:00:00Z"},
    }
    (post,) = read_json(json.dumps(document).encode(), DEFAULTS).posts
    assert post.time.instant == utc("2027-05-01 07:00"), "Europe/Berlin, as without the options"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ('{"posts": [\n{"content": "a",}]}', "line 2 of the file is no JSON"),
        ("[]", "is no object"),
        ("{}", "no list of posts"),
        ('{"posts": []}', "no list of posts"),
        ('{"posts": {}}', "no list of posts"),
        ('{"posts": [{}], "post": 1, "x": 2}', "there is no field 'post'"),
        ('{"posts": [{}], "posts": [{}]}', "'posts' is there twice"),
        ('{"posts": [{"content": NaN}]}', "NaN is no number"),
        ('{"posts": [{"content": ' + "9" * 5000 + "}]}", "a number has 5000 digits"),
        ("[" * 100_000, "nested too deeply"),
        ('{"posts": [' + "{}," * MOST_POSTS + "{}]}", f"{MOST_POSTS} are allowed"),
        ('{"posts": [{}], "campaign_id": 5}', "campaign_id is no text"),
        ('{"posts": [{}], "utm": 5}', "utm is neither yes nor no"),
        ('{"posts": [{}], "scheduling_options": []}', "scheduling_options is no object"),
        ('{"posts": [{}], "scheduling_options": {"cron": "*"}}', "has no field 'cron'"),
    ],
)
def test_json_that_cannot_be_read_as_a_whole_says_why(text: str, message: str) -> None:
    report = read_json(text.encode(), DEFAULTS)
    assert report.lines == ()
    assert message in said(report)[0]


@pytest.mark.parametrize(
    ("post", "message"),
    [
        ({"colour": "red"}, "1 colour: there is no field 'colour'"),
        ({"content": 5}, "1 content: content is no text"),
        ({"content": "a\x00b"}, "1 content: content has a character that no text can have"),
        ({"content": "a\ud800"}, "1 content: content has a character"),
        ({"platforms": [1]}, "1 platforms: platforms is no list of texts"),
        ({"platforms": {"x": 1}}, "1 platforms: platforms is no list of texts"),
        ({"hashtags": ["two words"]}, "1 hashtags: 'two words' is no hashtag"),
        ({"hashtags": ["\ud800"]}, "1 hashtags: hashtags has a character"),
        ({"media_urls": ["ftp://example.com/a"]}, "1 media_urls: 'ftp://example.com/a' is no address of the web"),
        ({"media_urls": ["http://[", "https:///a"]}, "1 media_urls: 'http://['"),
        ({"scheduled_time": 1830297600}, "1 scheduled_time: scheduled_time is no text"),
        ({"campaign_id": "x" * 201}, "1 campaign_id: the name of the campaign is too long"),
    ],
)
def test_field_of_a_wrong_kind_is_named(post: dict[str, Any], message: str) -> None:
    assert said(post_json(**post))[0].startswith(message)
    assert not isinstance(read_json(b'{"posts": ["a"]}', DEFAULTS).lines[0].post, BulkPost)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=40)


@settings(deadline=None)
@given(st.binary(max_size=200) | TEXT.map(lambda text: (HEADER + text).encode()))
def test_whatever_comes_is_reported(content: bytes) -> None:
    for report in (read_csv(content, DEFAULTS), read_json(content, DEFAULTS)):
        assert report.accepted or report.problems or any(line.problems for line in report.lines)


def test_largest_file_is_read_in_seconds() -> None:
    began = time.monotonic()
    for line in ('"' + "a" * 100_000 + '",x,2027-05-01 09:00,#a\n', ",,,\n", '""\n', "\n", "#" * 1000 + ",x,,\n"):
        csv(HEADER + line * ((MOST_BYTES - len(HEADER)) // len(line)))
    assert time.monotonic() - began < 20

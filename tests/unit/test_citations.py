"""Every citation of a page of ``docs`` leads to a heading that exists, and what the pages demand is cited."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PLATFORMS = DOCS / "platforms"
PAGES: Mapping[str, Path] = {
    path.name: path
    for path in (*PLATFORMS.glob("*.md"), DOCS / "faults.md", DOCS / "performance.md", DOCS / "users-design.md")
}
FOLDERS = ("docs", "ingest", "migrations", "ops", "publish", "schema", "sync", "tests")
SUFFIXES = {".html", ".json", ".md", ".py", ".sql", ".toml", ".yml"}

NAME = r"`{0,2}(?:docs/(?:platforms/)?)?(?P<page>" + "|".join(map(re.escape, PAGES)) + r")`{0,2}"
ONE = r"(?:[A-J]-?\d{1,2}|T\d{1,2}[bc]?|V\d|body [A-G]|\d{1,2}(?:\.\d{1,2})?)(?![\w.]*\d)(?!\w)"
MANY = rf"{ONE}(?:(?:, and |, | and | to | (?=[TV]\d)){ONE})*"
AFTER = re.compile(rf"(?<![\w/.]){NAME},? ?(?:sections? )?(?P<many>{MANY})?")
BEFORE = re.compile(rf"\b(?:[Rr]ows?|[Ss]ections?) (?P<many>{MANY}) of {NAME}")
INNER = re.compile(rf"\bsections? (?P<many>{MANY})|\((?P<bare>\d{{1,2}}\.\d{{1,2}}(?:, \d{{1,2}}\.\d{{1,2}})*)\)")
QUOTED = re.compile(r'(?P<page>[\w/]+\.md)`{0,2}, "(?P<heading>[^"]+)"')
FILE = re.compile(r"(?<![\w/.…:-])(?:[\w.-]+/)*[\w-]+\.md\b")
ROW = re.compile(r"^\| ([A-J]-?\d{1,2}) \|", re.MULTILINE)
TEST = re.compile(r"^(?:async )?def test_([a-j]\d{1,2}(?:_[a-j]\d{1,2})*)_", re.MULTILINE)


class Citation(NamedTuple):
    """Where it stands, as a path from the root, the name of the page, and one number of it; empty for the page."""

    file: str
    page: str
    number: str


def sources() -> Iterator[tuple[str, str]]:
    """Path and text of each file that may cite, on one line each: a citation may be broken by a margin."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*"))
    for path in sorted(files):
        if path.suffix in SUFFIXES and path != Path(__file__) and path.is_file() and "vendor" not in path.parts:
            yield str(path.relative_to(ROOT)), re.sub(r"\s*\n\s*(?:#(?!#)\s*)?", " ", path.read_text())


def numbers(many: str, page: str) -> Iterator[str]:
    """Each number of a list; of a span, all of them."""
    before = ""
    for separator, one in re.findall(rf"(, and |, | and | to | )?({ONE})", many):
        if separator == " to " and before:
            head = one.rstrip("0123456789")
            first, last = (int(re.sub(r"\D", "", number)) for number in (before, one))
            assert first < last, f"{page}: no span: {many}"
            yield from (f"{head}{number}" for number in range(first + 1, last + 1))
        else:
            yield one
        before = one


def citations(file: str, text: str) -> Iterator[Citation]:
    for pattern in (AFTER, BEFORE):
        for found in pattern.finditer(text):
            page = found["page"]
            yield Citation(file, page, "")
            yield from (Citation(file, page, number) for number in numbers(found["many"] or "", page))


def inner_citations(page: str) -> Iterator[Citation]:
    """What a page says of its own sections."""
    text = re.sub(r"\s*\n\s*", " ", PAGES[page].read_text())
    for found in INNER.finditer(text):
        many = found["many"] or found["bare"]
        yield from (Citation(page, page, number) for number in numbers(many, page))


@cache
def headings(page: str) -> Mapping[str, str]:
    """The sections of a page by number, each with its text up to the next heading of any level."""
    parts = re.split(r"^#{2,4} (\d{1,2}(?:\.\d{1,2})?|[A-J])(?=[. ])", PAGES[page].read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def resolves(page: str, number: str) -> bool:
    """Whether a page has this section, row of a table, trap or test vector.

    ``9.2`` may be the second item of section 9 where that section has no second level.
    """
    sections, text = headings(page), PAGES[page].read_text()
    if not number or number in sections:
        return True
    if number.startswith("body "):
        return bool(re.search(rf"^\| {number[-1]} \|", text, re.MULTILINE))
    if number.startswith("V"):
        return bool(re.search(rf"^{number} ", text, re.MULTILINE))
    if number[0].isalpha():
        row = rf"^\| {number} \|" if page == "faults.md" or number[0] == "T" else r"(?!)"
        return bool(re.search(rf"{row}|^- \*\*{number} ", text, re.MULTILINE))
    section, _, item = number.partition(".")
    if not item or any(other.startswith(f"{section}.") for other in sections):
        return False
    return bool(re.search(rf"^\| {item} \||(?:^|\s){item}\. (?=\S)", sections.get(section, ""), re.MULTILINE))


@cache
def cited() -> tuple[Citation, ...]:
    """Every citation there is."""
    return tuple(citation for file, text in sources() for citation in citations(file, text))


def test_every_citation_leads_to_a_section_that_exists() -> None:
    found = cited()
    assert sum(bool(citation.number) for citation in found) > 250
    assert [citation for citation in found if not resolves(citation.page, citation.number)] == []


@pytest.mark.parametrize("page", sorted(page for page in PAGES if PAGES[page].parent == PLATFORMS))
def test_page_refers_to_sections_of_its_own_that_exist(page: str) -> None:
    found = list(inner_citations(page))
    assert found
    assert [citation for citation in found if not resolves(page, citation.number)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("as ``meta.md`` 7.4 and 10.5 have it", ["7.4", "10.5"]),
        ("(meta.md 14, T9, T10)", ["14", "T9", "T10"]),
        ("meta.md 14 T18", ["14", "T18"]),
        ("meta.md 12, body G: bytes", ["12", "body G"]),
        ("``meta.md`` sections 2.4, 2.5 and 8.", ["2.4", "2.5", "8"]),
        ("(``meta.md`` 9, and RFC 6750 3.1)", ["9"]),
        ("meta.md 1.3 repeats for 36 h", ["1.3"]),
        ("(meta.md 1 to 3)", ["1", "2", "3"]),
        ("rows B2, B8 and D1 to D4 of ``faults.md``", ["B2", "B8", "D1", "D2", "D3", "D4"]),
        ("Rows I-4 of ``faults.md``", ["I-4"]),
    ],
)
def test_citation_is_read_as_people_write_it(text: str, expected: list[str]) -> None:
    assert [citation.number for citation in citations("", text) if citation.number] == expected


@pytest.mark.parametrize(
    ("page", "number"),
    [
        *(("meta.md", number) for number in ("16", "7.9", "0.99", "T99", "body Z", "14.1", "A1")),
        *(("x.md", number) for number in ("9.14", "4.9", "15", "V1")),
        *(("faults.md", number) for number in ("A9", "K1", "I-9", "I10", "1")),
        ("tiktok.md", "V7"),
    ],
)
def test_number_that_no_page_has_does_not_resolve(page: str, number: str) -> None:
    assert not resolves(page, number)


def test_every_link_of_a_page_is_defined() -> None:
    """``meta.md`` names its sources by tags."""
    text = PAGES["meta.md"].read_text()
    tags = set(re.findall(r"\[([A-Z][A-Z0-9]+[bc]?)\](?!:)", text))
    defined = set(re.findall(r"^\[(\w+)\]: ", text, re.MULTILINE)) | set(
        re.findall(r"^\| (T\d+b?) \|", text, re.MULTILINE)
    )
    assert len(tags) > 60
    assert tags - defined == set()


def test_every_named_page_exists_and_has_the_heading_that_is_quoted() -> None:
    files = (*PAGES.values(), *DOCS.glob("*.md"), *ROOT.glob("ops/*.md"), *ROOT.glob("*.md"))
    known = {path.name: path for path in files}
    missing = []
    for file, text in sources():
        missing += [
            (file, name)
            for name in FILE.findall(text)
            if not (ROOT / name).exists() and not (DOCS / name).exists() and name not in known
        ]
        for found in QUOTED.finditer(text):
            exact = ROOT / found["page"]
            here = exact if exact.exists() else known[exact.name]
            chapters = re.findall(r"^#{2,4} (.+)$|\*\*(.+?)\*\*", here.read_text(), re.MULTILINE)
            if not any(re.sub(r"[`*]", "", "".join(one)).startswith(found["heading"]) for one in chapters):
                missing.append((file, found[0]))
    assert missing == []


def test_every_file_of_a_platform_cites_a_page_and_every_page_is_cited_by_one() -> None:
    """The contract of a platform is an authority outside this tree."""
    found: dict[str, set[str]] = {}
    for citation in cited():
        found.setdefault(citation.file, set()).add(citation.page)
    files = [
        str(path.relative_to(ROOT))
        for folder in ("ingest", "sync", "publish", "ops/sandbox")
        for path in (ROOT / folder / "platforms").glob("[!_]*.py")
    ]
    pages = {path.name for path in PLATFORMS.glob("*.md")}
    assert [file for file in files if not found.get(file, set()) & pages] == []
    assert pages == {page for file in files for page in found[file]} & pages


def test_every_row_of_the_fault_matrix_has_a_test_or_is_said_to_have_none() -> None:
    text = PAGES["faults.md"].read_text()
    tested = {
        citation.number for citation in cited() if citation.page == "faults.md" and citation.file.startswith("tests/")
    }
    for file in (ROOT / "tests").rglob("test_*.py"):
        for name in TEST.findall(file.read_text()):
            tested |= {row.upper() for row in name.split("_")}
    tested |= {f"I-{row[1:]}" for row in tested if re.fullmatch(r"I\d", row)} & {
        "I-3",
        "I-4",
    }  # as a test's name spells it
    rows = set(ROW.findall(text))
    open_ = set(re.findall(ONE, text.split("\n## Rows without a test\n")[1]))
    assert open_ <= rows
    assert rows - tested - open_ == set()
    assert open_ & tested == set()


def test_every_page_of_docs_is_in_the_index_and_says_nothing_of_where_it_was_written() -> None:
    index = (DOCS / "README.md").read_text()
    pages = [path for path in DOCS.rglob("*") if path.is_file() and path.name != "README.md"]
    assert [path.name for path in pages if f"{path.relative_to(DOCS)}" not in index] == []
    linked = re.findall(r"\]\(([^)#]+)", index)
    assert linked
    assert [link for link in linked if not (DOCS / link).exists()] == []
    private = re.compile(r"(?<![\w.])/(?:work|home|tmp)/|\.\./shared|``shared``")
    assert [path.name for path in pages if path.suffix == ".md" and private.search(path.read_text())] == []


@pytest.mark.parametrize("page", sorted(page for page in PAGES if PAGES[page].parent == PLATFORMS))
def test_test_vectors_of_every_page_are_cited_by_a_test(page: str) -> None:
    [section] = re.findall(r"^## (\d+)\. (?:Signature t|T)est vectors", PAGES[page].read_text(), re.MULTILINE)
    assert any(c.page == page and c.number == section and c.file.startswith("tests/") for c in cited())

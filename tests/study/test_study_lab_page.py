"""The matrix as one HTML file: well formed, nothing fetched, every link has a target, no label over another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import combinations
from xml.etree import ElementTree

import pytest

from rawproto.link.script import Event
from rawproto.study.checker import GUARANTEES
from rawproto.study.lab.costs import Cost
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.grounds import GROUNDS
from rawproto.study.lab.matrix import Matrix, Row
from rawproto.study.lab.mechanisms import MECHANISMS, settings_on
from rawproto.study.lab.page import page
from rawproto.study.lab.story import tell
from rawproto.study.lab.svg import CLIENT, SERVER, WIDTH

MS = 1_000_000
WORLDS = {ground.name: ground for ground in GROUNDS}
SVG = "{http://www.w3.org/2000/svg}"
LETTER = 0.602
"""The width of a letter of a fixed-width font, of its size."""
VOID = ("meta", "link", "br", "hr", "img", "input")


def finding(off: str, guarantee: str, world: str, *events: Event) -> Finding:
    changed = MECHANISMS[off].off
    return Finding(off, guarantee, WORLDS[world].scenario(changed, events), 1, settings_on(changed))


FINDINGS = [
    finding("sequencing", "order", "both at once", Event("delay", "client", 3, for_ns=15 * MS)),
    finding("handshake", "connection", "the same ports again", Event("duplicate", "client", 1, for_ns=300 * MS)),
    finding("backoff", "restraint", "both at once", Event("outage", "client", start_ns=35 * MS, for_ns=20_000 * MS)),
    finding("congestion_control", "restraint", "more than the road holds"),
    finding("persist", "complete", "a reader that sleeps", Event("drop", "server", 3)),
    finding(
        "isn",
        "no_creation",
        "an attacker beside the path",
        Event("forge", "client", 1, for_ns=30 * MS, at=401, what="blind-data"),
    ),
]


def matrix(*found: Finding) -> Matrix:
    rows = [Row("none", {}, 1234, 1000)]
    rows += [Row(one.off, {one.guarantee: one}, 100, 90) for one in found]
    return Matrix(7, rows)


@dataclass
class Seen(HTMLParser):
    """Notes ids, links, and what is in the cells of the first table; complains of tags that do not match."""

    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if "href" in given else []
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "xlink:href")]
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"th", "td"} & set(self.stack) and data.strip():
            self.rows[-1].append(data.strip())


def parse(text: str) -> Seen:
    seen = Seen()
    seen.feed(text)
    seen.close()
    assert not seen.stack
    return seen


@pytest.fixture(scope="module")
def html() -> str:
    return page(matrix(*FINDINGS))


def test_the_page_is_well_formed_and_ids_are_unique(html: str) -> None:
    seen = parse(html)
    assert len(seen.ids) == len(set(seen.ids))


def test_every_link_leads_to_a_place_on_the_page(html: str) -> None:
    seen = parse(html)
    assert len([link for link in seen.links if link.startswith("#without-")]) == len(FINDINGS)
    assert {link.removeprefix("#") for link in seen.links} <= set(seen.ids)


def test_nothing_is_fetched_and_nothing_runs(html: str) -> None:
    assert not parse(html).sources
    assert not re.search(r"https?://|url\(|@import|<script|<link|javascript:", html)


def test_each_row_has_a_cell_for_each_guarantee(html: str) -> None:
    seen = parse(html)
    head, clean, sequencing = seen.rows[:3]
    assert len(head) == len(GUARANTEES) + 2
    assert clean == ["everything on", *["✓"] * len(GUARANTEES), "1,234"]
    assert sequencing == ["sequencing", "✓", "1", *["✓"] * (len(GUARANTEES) - 2), "100"]


def test_cells_say_in_words_what_they_show(html: str) -> None:
    assert 'aria-label="order breaks after 1 event: read the story">1</a>' in html
    assert 'aria-label="integrity: nothing found">✓</span>' in html


def test_each_story_comes_with_its_files(html: str) -> None:
    assert html.count("<svg ") == html.count("<article ") == len(FINDINGS)
    for summary in ("The ladder as text", "The scenario, for rawproto", "A test that shows it again, for pytest"):
        assert html.count(f"<details><summary>{summary}</summary>") == len(FINDINGS)


def test_costs_are_shown_where_they_are_known() -> None:
    known = Cost("octets sent again, octets", 10, 40, "less", "Nine datagrams are lost.")
    shown = page(Matrix(1, [Row("sack", {}, 5, 5, known)]))
    assert f'<td class="text">{known.sentence()}</td>' in shown
    assert "What each mechanism costs" not in page(matrix())


def test_what_a_scenario_is_called_cannot_break_the_page() -> None:
    rude = replace(FINDINGS[0], scenario=replace(FINDINGS[0].scenario, name='</pre><script>alert("1")</script>'))
    text = page(matrix(rude))
    parse(text)
    assert "<script" not in text


def test_the_same_matrix_gives_the_same_page(html: str) -> None:
    assert page(matrix(*FINDINGS)) == html


# -- the pictures -----------------------------------------------------------------------------------------------------


def boxes(picture: ElementTree.Element) -> Iterator[tuple[float, float, float, float, str]]:
    """Left, top, right and bottom of each text, and what it says."""
    for text in picture.iter(f"{SVG}text"):
        size = float(text.get("font-size", picture.get("font-size", "0")))
        said = "".join(text.itertext())
        width, x, y = LETTER * size * len(said), float(text.get("x", "0")), float(text.get("y", "0"))
        left = {"end": x - width, "middle": x - width / 2}.get(text.get("text-anchor", "start"), x)
        yield left, y - size * 0.9, left + width, y + size * 0.3, said


@pytest.mark.parametrize("found", FINDINGS, ids=lambda found: found.off)
def test_no_label_covers_another_or_leaves_the_picture(found: Finding) -> None:
    picture = ElementTree.fromstring(tell(found).svg())
    places = list(boxes(picture))
    assert len(places) > 10
    for one, other in combinations(places, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)
    height = float(picture.get("height", "0"))
    for left, top, right, bottom, said in places:
        assert left >= 0 and right <= WIDTH and top >= 0 and bottom <= height, said


@pytest.mark.parametrize("found", FINDINGS, ids=lambda found: found.off)
def test_labels_stay_off_the_lines_of_life(found: Finding) -> None:
    picture = ElementTree.fromstring(tell(found).svg())
    for left, _, right, _, said in boxes(picture):
        if said not in ("client", "server"):
            assert right < CLIENT or left > SERVER or (left > CLIENT and right < SERVER), said


def test_the_fatal_datagram_is_named_in_the_picture() -> None:
    said = [text for *_, text in boxes(ElementTree.fromstring(tell(FINDINGS[0]).svg()))]
    assert [text for text in said if text.startswith("FATAL: #3 data 0:1400")]
    assert "✗ ORDER BROKEN" in said


def test_arrows_are_to_scale() -> None:
    """All that took equally long falls equally far; what came 15 ms later falls so much further."""
    svg = tell(FINDINGS[0]).svg()
    found = re.findall(rf'd="M(?:{CLIENT}|{SERVER}) ([\d.]+)L(?:{CLIENT}|{SERVER}) ([\d.]+)"', svg)
    falls = {round(float(end) - float(start)) for start, end in found}
    assert falls == {62, 155}


def test_a_long_silence_is_broken_off_and_says_how_long_it_was() -> None:
    svg = tell(FINDINGS[4]).svg()
    assert ">2.99 s later</text>" in svg
    assert float(ElementTree.fromstring(svg).get("height", "0")) < 600

"""The matrix and its stories as one HTML file that opens anywhere: nothing in it is fetched, and nothing runs.

A table of mechanisms against guarantees, what each mechanism costs, and below it each story with its ladder, its
schedule, and the files that show it again. It is read by people who see it, who hear it, and who print it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from string import Template
from typing import Protocol

from rawproto.study.checker import GUARANTEES
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.packets import plural
from rawproto.study.lab.story import Story, tell
from rawproto.study.lab.wording import MEANINGS, guarantee_name, mechanism_name

__all__ = ["MatrixLike", "RowLike", "page"]


class CostLike(Protocol):
    """What a mechanism costs or saves."""

    @property
    def metric(self) -> str:
        """What is measured."""

    @property
    def scenario(self) -> str:
        """What happens meanwhile."""

    def sentence(self) -> str:
        """What it comes to."""


class RowLike(Protocol):
    """One mechanism that is off."""

    @property
    def off(self) -> str:
        """Its name; "none" and "all" are names, too."""

    @property
    def title(self) -> str:
        """The same for people."""

    @property
    def findings(self) -> Mapping[str, Finding]:
        """By guarantee."""

    @property
    def searched(self) -> int:
        """How many schedules were tried."""

    @property
    def cost(self) -> CostLike | None:
        """What it costs, if that was measured."""


class MatrixLike(Protocol):
    """What `rawproto.study.lab.matrix` computes."""

    @property
    def seed(self) -> int:
        """What all chance comes from."""

    @property
    def rows(self) -> Sequence[RowLike]:
        """In the order of the table."""


PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What each mechanism is for</title>
<style>
$style
</style>
</head>
<body>
<a class="skip" href="#matrix">To the matrix</a>
<header>
<h1>What each mechanism is for</h1>
<p>In each row one mechanism of the transport is switched off, and a search looks for something that the network may
do and that makes one of twelve guarantees break. What it finds is shortened until nothing can be left out. Each cell
with a number leads to such a story: the number says how many things must go wrong. $summary</p>
</header>
<main>
<section id="matrix" aria-labelledby="matrix-title">
<h2 id="matrix-title">The matrix</h2>
$matrix
<details><summary>What the guarantees mean</summary>
<dl class="meanings">
$meanings
</dl>
</details>
</section>
$costs
<section id="stories" aria-labelledby="stories-title">
<h2 id="stories-title">The stories</h2>
$stories
</section>
</main>
</body>
</html>
""")

STYLE = """\
:root { color-scheme: light dark; --ink: #1d2329; --paper: #fdfdfc; --faint: #6a737d; --rule: #d5d9de; --shade: #f2f4f6;
  --bad: #b3202a; --badshade: #fbe9ea; --good: #2f7d4f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe3e8; --paper: #15181c; --faint: #98a2ad; --rule: #373d45; --shade: #1d2126;
    --bad: #ff8b91; --badshade: #3a1f22; --good: #6fc793; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 75rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; margin: .5rem 0; } h2 { margin: 2.5rem 0 .75rem; }
h3 { margin: 0 0 .25rem; font-size: 1.25rem; }
header p, .story p, .story li, .meanings { max-width: 46rem; }
a { color: inherit; } :focus-visible { outline: 3px solid #4c8dff; outline-offset: 2px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--paper); padding: .25rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; line-height: 1.3; }
caption { text-align: left; color: var(--faint); padding-bottom: .5rem; }
th, td { border: 1px solid var(--rule); padding: .3rem .35rem; text-align: center; font-variant-numeric: tabular-nums; }
thead th { background: var(--shade); vertical-align: bottom; font-weight: 600; }
tbody th { text-align: left; white-space: nowrap; background: var(--shade); position: sticky; left: 0; }
td.holds { color: var(--good); } td.breaks { background: var(--badshade); padding: 0; }
td.breaks a { display: block; padding: .3rem .35rem; color: var(--bad); font-weight: 700; }
tr.whole th { font-style: italic; } td.text { text-align: left; } td.count { color: var(--faint); text-align: right; }
.story { border-top: 1px solid var(--rule); padding: 1.5rem 0; } .story:target { border-top: 3px solid var(--bad); }
.world, .clause, .back { color: var(--faint); margin: .25rem 0; } .schedule { margin: .5rem 0; font-weight: 600; }
figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; min-width: 44rem; }
figcaption { color: var(--bad); font-weight: 600; max-width: 46rem; }
details { margin: .4rem 0; } summary { cursor: pointer; }
pre { overflow-x: auto; background: var(--shade); border: 1px solid var(--rule); padding: .75rem; margin: .4rem 0;
  font: .8rem/1.35 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 1.2rem; }
@page wide { size: landscape; margin: 1.2cm; }
@media print { body { max-width: none; padding: 0; font-size: 9.5pt; } .skip, .back, .story details { display: none; }
  #matrix, #costs { page: wide; } figure, tr { break-inside: avoid; } h3 { break-after: avoid; }
  figure svg { min-width: 0; max-height: 22cm; }
  table { font-size: 7pt; } th, td { padding: 2pt; } tbody th { position: static; } }"""


def page(matrix: MatrixLike) -> str:
    """The whole file. Every finding is run again for its story; raises ConfigError if one no longer breaks."""
    stories = [tell(finding) for row in matrix.rows for finding in row.findings.values()]
    searched = sum(row.searched for row in matrix.rows)
    summary = (
        f"{plural(searched, 'schedule').capitalize()} tried, {plural(len(stories), 'story', 'stories')} found, "
        f"from seed {matrix.seed}: the same seed gives the same page."
    )
    return PAGE.substitute(
        style=STYLE,
        summary=escape(summary),
        matrix="\n".join(_matrix(matrix)),
        meanings="\n".join(f"<dt>{_name(name)}</dt><dd>{escape(MEANINGS[name])}</dd>" for name in GUARANTEES),
        costs="\n".join(_costs(matrix.rows)),
        stories="\n".join(part for story in stories for part in _story(story)) or "<p>There are none.</p>",
    )


def _name(guarantee: str) -> str:
    return escape(guarantee_name(guarantee).removeprefix("the "))


def _matrix(matrix: MatrixLike) -> Iterator[str]:
    yield '<div class="wide" role="region" aria-labelledby="matrix-title" tabindex="0"><table>'
    yield "<caption>Rows: what is switched off. Columns: what may break. ✓: nothing was found that breaks it.</caption>"
    yield '<thead><tr><th scope="col">switched off</th>'
    yield from (f'<th scope="col" title="{escape(MEANINGS[name])}">{_name(name)}</th>' for name in GUARANTEES)
    yield '<th scope="col">schedules tried</th></tr></thead><tbody>'
    for row in matrix.rows:
        whole = ' class="whole"' if row.off in ("none", "all") else ""
        yield f'<tr{whole}><th scope="row">{escape(row.title)}</th>'
        yield from (_cell(row.findings.get(name), name) for name in GUARANTEES)
        yield f'<td class="count">{row.searched:,}</td></tr>'
    yield "</tbody></table></div>"


def _cell(finding: Finding | None, guarantee: str) -> str:
    name = guarantee_name(guarantee)
    if finding is None:
        return f'<td class="holds"><span role="img" aria-label="{escape(name)}: nothing found">✓</span></td>'
    events = plural(finding.events, "event")
    label = escape(f"{name} breaks after {events}: read the story")
    return f'<td class="breaks"><a href="#{_anchor(finding)}" aria-label="{label}">{finding.events}</a></td>'


def _anchor(finding: Finding) -> str:
    return f"without-{finding.off}-{finding.guarantee}".replace("_", "-")


def _costs(rows: Sequence[RowLike]) -> Iterator[str]:
    measured = [(row, row.cost) for row in rows if row.cost is not None]
    if not measured:
        return
    yield '<section id="costs" aria-labelledby="costs-title">'
    yield '<h2 id="costs-title">What each mechanism costs or saves</h2>'
    yield '<div class="wide" role="region" aria-labelledby="costs-title" tabindex="0"><table>'
    yield "<caption>Each in a small world of its own, with the mechanism and without it.</caption>"
    yield '<thead><tr><th scope="col">mechanism</th><th scope="col">in what world</th>'
    yield '<th scope="col">what is measured</th><th scope="col">what it comes to</th></tr></thead><tbody>'
    for row, cost in measured:
        yield f'<tr><th scope="row">{escape(mechanism_name(row.off))}</th>'
        texts = (cost.scenario, cost.metric.rpartition(", ")[0] or cost.metric, cost.sentence())
        yield "".join(f'<td class="text">{escape(text)}</td>' for text in texts) + "</tr>"
    yield "</tbody></table></div></section>"


def _story(story: Story) -> Iterator[str]:
    # In an HTML file an <svg> needs no namespace.
    picture = story.svg().replace(' xmlns="http://www.w3.org/2000/svg"', "")
    yield f'<article class="story" id="{story.name}" aria-labelledby="{story.name}-title">'
    yield f'<h3 id="{story.name}-title">{escape(story.title)}</h3>'
    yield f'<p class="world">{escape(story.where())}</p>'
    yield f'<ul class="schedule">{"".join(f"<li>{escape(text)}</li>" for text in story.schedule)}</ul>'
    yield f"<figure>{picture}<figcaption>{escape(_sentence(story.violation.text))}</figcaption></figure>"
    yield f"<p>{escape(story.does)}</p><p>{escape(story.without)}</p>"
    yield f'<p class="clause">See {escape(story.clause)}.</p>'
    for summary, text in (
        ("The ladder as text", "\n".join(line.plain.rstrip() for line in story.ladder())),
        ("The scenario, for rawproto", story.scenario_source()),
        ("A test that shows it again, for pytest", story.pytest_source()),
    ):
        yield f'<details><summary>{summary}</summary><pre tabindex="0">{escape(text, quote=False)}</pre></details>'
    yield '<p class="back"><a href="#matrix">Back to the matrix</a></p></article>'


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."

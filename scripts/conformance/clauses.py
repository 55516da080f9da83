"""Reads the requirements: the numbered statements of docs/rdt.md, and the clauses listed in docs/rfc_clauses.toml.

It knows nothing of tests; see marks.py for those and check.py for what one says of the other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RDT", "Clause", "Document", "rank", "read_rdt", "read_rfcs"]

RDT = "rdt"
"""The name of docs/rdt.md among the documents; all others have their number, or the name of a draft."""
RANKS = {
    "MUST": ("MUST", "MUST NOT", "SHALL", "SHALL NOT", "REQUIRED"),
    "SHOULD": ("SHOULD", "SHOULD NOT", "RECOMMENDED", "NOT RECOMMENDED"),
    "MAY": ("MAY", "OPTIONAL"),
    "TEXT": ("TEXT",),
}
"""What BCP 14 takes for the same; TEXT is what a document describes without a key word."""
KEY_WORD = re.compile(r"\b((?:MUST|SHALL|SHOULD)(?: NOT)?|(?:NOT )?RECOMMENDED|REQUIRED|MAY|OPTIONAL)\b(?!-\d)")
QUOTED = re.compile(r"(?<!\w)'.+?'(?!\w)|\"[^\"]*\"|`[^`]*`")
HEADING = re.compile(r"#+ (?:(\d+(?:\.\d+)*)|(Appendix \w+))?")
STATEMENT = re.compile(r"- \[(\d[\d.]*-\d+)\] (.+)")
LIST_ITEM = re.compile(r"- |\d+\. ")
FIELDS = {"level", "part", "says", "section", "not_followed"}


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement, by the document that it stands in and its name there."""

    document: str
    name: str
    section: str
    level: str
    says: str
    part: str = ""
    not_followed: str = ""
    """Why the transport does something else; empty if it follows the clause."""

    @property
    def label(self) -> str:
        """How a reader calls it."""
        if self.document == RDT:
            return f"rdt [{self.name}]"
        document = f"RFC {self.document}" if self.document.isdigit() else self.document
        return f"{document} {'§' if self.name[0].isdigit() else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Document:
    """What docs/rdt.md requires: its statements, and the lines that require something without a number."""

    clauses: list[Clause]
    unnumbered: list[str]


@dataclass(frozen=True, slots=True)
class _Block:
    section: str
    line: int
    text: str


def rank(level: str) -> str:
    """MUST, SHOULD, MAY or TEXT. Raises KeyError for what is no level."""
    return {word: name for name, words in RANKS.items() for word in words}[level]


def read_rdt(text: str) -> Document:
    """Read docs/rdt.md. The section that refers to BCP 14 explains the key words and requires nothing with them."""
    blocks = list(_blocks(text))
    explains = {block.section for block in blocks if "BCP 14" in block.text}
    clauses, unnumbered = [], []
    for block in blocks:
        words = KEY_WORD.findall(QUOTED.sub("", block.text))
        if found := STATEMENT.match(block.text):
            level = min(words, key=lambda word: list(RANKS).index(rank(word)), default="TEXT")
            clauses.append(Clause(RDT, found[1], block.section, level, found[2]))
        elif block.section not in explains and any(rank(word) == "MUST" for word in words):
            unnumbered.append(f"docs/rdt.md line {block.line}: {block.text[:70]}")
    return Document(clauses, unnumbered)


def _blocks(text: str) -> Iterator[_Block]:
    """Paragraphs and list items, each on one line; no tables, nothing fenced. An indented line goes on with an item."""
    held = list[str]()
    section, start, fenced, gap = "", 0, False, False
    for number, line in enumerate([*text.splitlines(), "# end"], 1):
        fence = line.lstrip().startswith("```")
        apart = fence or fenced or line.startswith(("#", "|", "<!--"))
        goes_on = not gap or (line.startswith("  ") and bool(held) and bool(LIST_ITEM.match(held[0])))
        if held and line and (apart or LIST_ITEM.match(line) or not goes_on):
            yield _Block(section, start, " ".join(" ".join(held).split()))
            held = []
        if not fenced and (heading := HEADING.match(line)):
            section = heading[1] or heading[2] or section
        fenced, gap = fenced != fence, not line
        if line and not apart:
            start = start if held else number
            held.append(line)


def read_rfcs(path: Path) -> list[Clause]:
    """Read docs/rfc_clauses.toml. Raises ValueError, naming the entry, for one that is not whole."""
    clauses = []
    for document, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
        for name, entry in entries.items():
            if name == "title":
                continue
            section = entry.get("section", name.partition("-")[0])
            if fault := _fault(entry, section):
                raise ValueError(f"{path.name}, [{document}.{name}]: {fault}")
            given = {key: value for key, value in entry.items() if key != "section"}
            clauses.append(Clause(document, name, section, **given))
    return clauses


def _fault(entry: dict[str, str], section: str) -> str:
    """What is wrong with one entry of the list; empty if nothing is."""
    if unknown := set(entry) - FIELDS:
        return f"no field is called {min(unknown)}; there are {', '.join(sorted(FIELDS))}"
    if empty := {"level", "part", "says"} - {key for key, value in entry.items() if value}:
        return f"{min(empty)} is missing"
    if not any(entry["level"] in words for words in RANKS.values()):
        return f"level is {entry['level']!r}; it must be a key word of BCP 14, or TEXT"
    if not re.fullmatch(r"\d+(\.\d+)*|[A-Z](\.\d+)*", section):
        return f"{section!r} is no number of a section; say which one in `section`"
    return "not_followed must say why" if entry.get("not_followed") == "" else ""

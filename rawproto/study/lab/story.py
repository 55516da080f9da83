"""A finding as a story: what went wrong, the ladder, why it happened, a capture, and a test that shows it again.

`tell` runs the scenario once more; all else is made from that run, from outside, and is the same each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap

from rich.text import Text

from rawproto.capture.pcapng import PcapngWriter
from rawproto.errors import ConfigError
from rawproto.link.script import Sent
from rawproto.sim import scenario_toml
from rawproto.sim.world import Run
from rawproto.study.checker import Verdict, Violation
from rawproto.study.lab.drawing import draw_timeline
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.svg import draw_svg
from rawproto.study.lab.timeline import Timeline, timeline
from rawproto.study.lab.wording import event_text, guarantee_name, mechanism_of, title_of
from rawproto.study.wirecapture import capture_records
from rawproto.wire.frame import Direction, Frame

__all__ = ["Story", "tell"]

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Story:
    """All that there is to say of one finding. `name` is fit for files: "without-sequencing-order"."""

    finding: Finding
    run: Run
    verdict: Verdict
    violation: Violation
    line: Timeline
    title: str
    name: str
    schedule: tuple[str, ...]
    """What goes wrong, a sentence for each event."""
    does: str
    """What the mechanism is there for."""
    without: str
    """What happens without it, and what happened here."""
    clause: str

    @property
    def guarantee(self) -> str:
        """What the guarantee is called."""
        return guarantee_name(self.finding.guarantee)

    def lines(self, width: int = WIDTH) -> list[Text]:
        """The whole story for a terminal; styles are rich's and can be left out."""
        told = [Text(self.title, style="bold"), Text(self.where(), style="dim"), Text()]
        told += [Text(f"  {part}", style="yellow") for text in self.schedule for part in wrap(text, width - 2)]
        told += [Text(), *self.ladder(width), Text()]
        for paragraph in (self.does, self.without):
            told += [*(Text(part) for part in wrap(paragraph, min(width, WIDTH))), Text()]
        return [*told, Text(f"See {self.clause}.", style="dim")]

    def where(self) -> str:
        """In which of the small worlds it happens."""
        return f"In the world “{self.finding.scenario.name}”, from seed {self.finding.seed}:"

    def ladder(self, width: int = WIDTH) -> list[Text]:
        """What was sent and seen, in the order of time."""
        return list(draw_timeline(self.line, width, self.guarantee).split("\n"))

    def text(self, width: int = WIDTH) -> str:
        """The same without styles."""
        return "\n".join(line.plain.rstrip() for line in self.lines(width)) + "\n"

    def svg(self) -> str:
        """The ladder as an `<svg>` element, to scale in time."""
        return draw_svg(self.line, self.guarantee, self.title)

    def scenario_source(self) -> str:
        """The scenario as TOML."""
        return scenario_toml.dump(self.finding.scenario)

    def write_capture(self, path: str | os.PathLike[str]) -> None:
        """Write a pcapng file of what both hosts sent and got; a comment marks the datagram that is to blame."""
        comment = f"{self.title}. Seed {self.run.seed}, fingerprint {self.run.fingerprint()}"
        fatal = f"FATAL: {self.guarantee} breaks: {self.violation.text}"
        with PcapngWriter(path, comment=comment) as writer:
            for frame, comments in capture_records(self.run):
                blamed = _is_blamed(frame, self.violation.packet)
                writer.write(frame, (fatal, *comments) if blamed else comments)

    def pytest_source(self) -> str:
        """A test file that shows it again: with the mechanism off the guarantee breaks, with it on nothing does."""
        return _test_file(self)

    def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write story, capture, scenario and test into `directory`; gives the paths.

        All of them, or none: if one can't be written nothing new is left. Raises OSError.
        """
        files: dict[str, Callable[[Path], object]] = {
            f"{self.name}.txt": _writes(self.text()),
            f"{self.name}.pcapng": self.write_capture,
            f"{self.name}.toml": _writes(self.scenario_source()),
            f"test_{self.name.replace('-', '_')}.py": _writes(self.pytest_source()),
        }
        return _write_all(Path(directory), files)


def tell(finding: Finding) -> Story:
    """Run it again, and tell what happened. Raises ConfigError if the guarantee does not break."""
    run, verdict = finding.run(traced=False)
    violation = finding.violation(verdict)
    scenario = finding.scenario
    if violation is None:
        raise ConfigError(
            f"{scenario.name}, seed {finding.seed}: {finding.guarantee} does not break without {finding.off}: "
            "search again, the transport is no longer what it was"
        )
    mechanism = mechanism_of(finding.off, scenario.settings)
    return Story(
        finding,
        run,
        verdict,
        violation,
        timeline(run, verdict, finding.guarantee),
        title_of(finding.off, finding.guarantee, scenario.events),
        f"without-{finding.off}-{finding.guarantee}".replace("_", "-"),
        tuple(map(event_text, scenario.events)) or ("Nothing goes wrong on the way.",),
        mechanism.does,
        f"{mechanism.without} Here {violation.text}.",
        mechanism.clause,
    )


def _is_blamed(frame: Frame, packet: Sent | None) -> bool:
    return (
        packet is not None
        and frame.direction is Direction.OUTBOUND
        and (frame.time_ns, frame.interface, frame.data) == (packet.time_ns, packet.side, packet.frame)
    )


# -- the test ----------------------------------------------------------------------------------------------------------

TEST = '''\
"""{title}.

{paragraphs}

See {clause}. Run it with: pytest {file}
"""

{imports}

SEED = {seed}
SCENARIO = load({scenario})
{on}

def test_{guarantee}_breaks_{without}() -> None:
    verdict = check(run_scenario(SCENARIO, SEED))
    assert "{guarantee}" in verdict.broken, "it holds: the mechanism is on, or the transport is no longer what it was"
    assert not verdict.idle, f"these events did not happen: {{verdict.idle}}"
'''
MENDED = """

def test_nothing_breaks_{with_it}() -> None:
    mended = replace(SCENARIO, settings={{**SCENARIO.settings, **ON}})
    verdict = check(run_scenario(mended, SEED))
    assert not verdict.violations, [violation.text for violation in verdict.violations]
    assert verdict.delivered, "nothing was delivered, so nothing was shown"
"""
IMPORTS = """\
from rawproto.sim.scenario_toml import load
from rawproto.sim.world import run_scenario
from rawproto.study.checker import check"""


def _test_file(story: Story) -> str:
    finding = story.finding
    paragraphs = "\n\n".join("\n".join(wrap(text, WIDTH)) for text in (*story.schedule, story.does, story.without))
    source = TEST.format(
        title=_plain(story.title),
        paragraphs=_plain(paragraphs),
        clause=_plain(story.clause),
        file=f"test_{story.name.replace('-', '_')}.py",
        imports=f"from dataclasses import replace\n\n{IMPORTS}" if finding.on else IMPORTS,
        seed=finding.seed,
        scenario=_quoted(story.scenario_source()),
        on=_settings(finding.on) if finding.on else "",
        guarantee=finding.guarantee,
        without={"all": "with_nothing_but_ports", "none": "with_everything_on"}.get(
            finding.off, f"without_{finding.off}"
        ),
    )
    with_it = "with_everything_on" if finding.off == "all" else f"with_{finding.off}"
    return source + (MENDED.format(with_it=with_it) if finding.on else "")


def _settings(on: Mapping[str, object]) -> str:
    """What is switched on again."""
    line = f"ON = {dict(on)!r}".replace("'", '"')
    if len(line) <= WIDTH:
        return line + "\n"
    rows = (f"    {name!r}: {value!r},".replace("'", '"') for name, value in on.items())
    return "\n".join(["ON = {", *rows, "}\n"])


def _plain(text: str) -> str:
    """Fit to stand in a docstring."""
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _quoted(source: str) -> str:
    """A text as a literal of several lines, if it can be one."""
    return repr(source) if "\\" in source or '"""' in source else f'"""\\\n{source.rstrip()}\n"""'


# -- files -------------------------------------------------------------------------------------------------------------


def _writes(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _write_all(directory: Path, files: dict[str, Callable[[Path], object]]) -> list[Path]:
    """Write all files beside where they belong, then put them there."""
    made = [parent for parent in (directory, *directory.parents) if not parent.exists()]
    placed: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory, prefix=".") as unfinished:
            for name, write in files.items():
                write(Path(unfinished, name))
            for name in files:
                path, is_new = directory / name, not (directory / name).exists()
                Path(unfinished, name).replace(path)
                placed += [path] if is_new else []
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        for parent in made:
            if parent.exists():
                parent.rmdir()
        raise
    return [directory / name for name in files]

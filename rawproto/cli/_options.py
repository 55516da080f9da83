"""What the options of several commands have in common: how they are written, and what their values mean.

A parser raises ValueError with a text that completes "--option: ...", as those in `units` do.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from rawproto.cli import UsageError
from rawproto.wire.frame import LinkType

if TYPE_CHECKING:
    from cyclopts import Token
    from cyclopts.completion import CompletionContext

__all__ = [
    "flag",
    "interface",
    "output_file",
    "parse_count",
    "parse_count_or_endless",
    "parse_linktype",
    "parse_seconds",
    "plain_words",
    "several",
    "unit",
    "words",
]

NUMBER = re.compile(r"\s*([0-9]{1,15})\s*", re.ASCII)
SECONDS = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*s?\s*", re.ASCII)


def flag(*names: str) -> Parameter:
    """A switch that is off unless it is named; without `names` it is called as the argument is."""
    return Parameter(name=names or None, negative="", show_default=False)


def unit(parse: Callable[[str], Any], metavar: str, *names: str, default: str = "") -> Parameter:
    """A value that `parse` reads; `default` is how the help shows the default, if it does."""

    def convert(_: object, tokens: Sequence[Token]) -> Any:
        return parse(tokens[0].value)

    return Parameter(
        name=names or None,
        converter=convert,
        n_tokens=1,
        accepts_keys=False,  # it is one value, whatever it is made of
        metavar=metavar,
        show_choices=False,
        negative="",
        show_default=(lambda _: default) if default else False,
        allow_leading_hyphen=True,  # "-5" is a wrong number, not an option
    )


def several(parse: Callable[[str], Any], metavar: str, *names: str) -> Parameter:
    """An option that may be given more than once; its values are a tuple."""

    def convert(_: object, tokens: Sequence[Token]) -> Any:
        return tuple(parse(token.value) for token in tokens)

    return Parameter(
        name=names or None,
        converter=convert,
        n_tokens=1,
        accepts_keys=False,  # it is one value, whatever it is made of
        metavar=metavar,
        negative="",
        show_default=False,
        allow_leading_hyphen=True,
    )


def words(name: str) -> Parameter:
    """The words of a line that are no options, "-" among them; `plain_words` refuses those that look like options."""
    return Parameter(name=name, show_default=False, allow_leading_hyphen=True, completer=_files)


def output_file(*names: str) -> Parameter:
    """The name of a file to write, "-" for standard output."""
    return Parameter(name=names, metavar="FILE", show_default=False, allow_leading_hyphen=True, completer=_files)


def plain_words(given: Sequence[str], verb: str) -> Sequence[str]:
    """The words, if none of them is an option that there is not. Raises UsageError."""
    for word in given:
        if word.startswith("-") and word != "-":
            raise UsageError(f"unknown option: {word}. See `rawproto {verb} --help`.")
    return given


def interface() -> Parameter:
    """The name of a network interface; the shell completes it."""
    return Parameter(name="--iface", metavar="NAME", completer=_interfaces)


def parse_count(text: str) -> int:
    """A whole number, 1 or more."""
    match = NUMBER.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r} is not a count: give a whole number, 1 or more")
    return int(match[1])


def parse_count_or_endless(text: str) -> int:
    """A whole number, 0 for no end."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a count: give a whole number, or 0 for no end")
    return int(match[1])


def parse_seconds(text: str) -> float:
    """Seconds above 0: "10", "2.5", "2.5s"."""
    match = SECONDS.fullmatch(text)
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is not a time: give seconds, such as 10 or 2.5")
    return float(match[1])


def parse_linktype(text: str) -> LinkType:
    """A link type by its name, "ethernet", "raw", or by its number in captures."""
    known = {name.lower(): member for name, member in LinkType.__members__.items()}
    name = text.strip().lower().replace("-", "_")
    if name in known:
        return known[name]
    match = NUMBER.fullmatch(text)
    if match is None or int(match[1]) > 0xFFFF:
        nearest = get_close_matches(name, known, 1)
        advice = f"did you mean {nearest[0]}?" if nearest else "give a name such as ethernet or raw, or a number"
        raise ValueError(f"{text!r} is not a link type: {advice}")
    return LinkType(int(match[1]))


def _files(context: CompletionContext) -> list[str]:
    """The names that begin with what was typed, directories with a slash behind."""
    folder = context.incomplete[: context.incomplete.rfind("/") + 1]
    try:
        entries = sorted(Path(folder or ".").iterdir())
    except OSError:
        return []
    return [f"{folder}{entry.name}{'/' if entry.is_dir() else ''}" for entry in entries]


def _interfaces(_context: object) -> list[str]:
    return [name for _, name in socket.if_nameindex()]

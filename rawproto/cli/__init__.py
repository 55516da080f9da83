"""The command line: one file a verb. May import everything; nothing imports it.

Exit status: 0 all went well, 1 it did not (a guarantee is broken, a transfer failed), 2 something is wrong with how
it was called or with the machine, 3 it shows nothing (`simulate`), 130 interrupted. Whatever is not 0 comes with one
line on stderr.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress

from cyclopts import App, CycloptsError

from rawproto import __version__

__all__ = ["USAGE", "FailedError", "UsageError", "app", "main"]

USAGE = 2
INTERRUPTED = 130
NARROWEST = 40

app = App(
    name="rawproto",
    version=__version__,
    help="Handmade frames on a real wire, and a readable reliable transport on top of them.",
    version_flags=["--version"],
    help_flags=["--help", "-h"],
    help_format="markdown",
    suppress_keyboard_interrupt=False,
)
VERBS = ("demo", "simulate", "explain", "dump", "sniff", "send", "ping", "traceroute", "scan", "doctor", "lab")
for _verb in VERBS:
    # By name, so that each is imported when it is called and not before.
    app.command(f"rawproto.cli.{_verb}:{_verb}", name=_verb)
app.register_install_completion_command(add_to_startup=False, help="Write the shell's completion script.")


class UsageError(Exception):
    """The command can't be carried out as it was given; the text says in one line why, and what to do."""

    status = USAGE


class FailedError(Exception):
    """The command was called rightly and could not be carried out to its end; the text says in one line why."""

    status = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, that of the process by default; give the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _prepare_output()
    try:
        if not arguments or arguments[0] in app.help_flags:
            for verb in VERBS:
                _ = app[verb]  # the list of commands quotes their docstrings: import them now
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return _complain(_one_line(error), USAGE)
    except (UsageError, FailedError) as error:
        return _complain(str(error), error.status)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone.
        _give_up_output()
        return 1
    except OSError as error:
        _give_up_output()
        return _complain(f"can't write the output: {error.strerror or error}", 1)
    return status if isinstance(status, int) else 0


def _prepare_output() -> None:
    """Have something to print to, whatever the caller has closed, and print it, whatever the encoding lacks."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - it stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if os.environ.get("COLUMNS", "40").isdigit() and int(os.environ.get("COLUMNS", "40")) < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)  # help can't be laid out in less


def _give_up_output() -> None:
    """Python would complain once more when it flushes stdout at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str, status: int) -> int:
    with suppress(OSError):
        print(f"rawproto: {' '.join(text.split())}", file=sys.stderr)
    return status


def _one_line(error: CycloptsError) -> str:
    """Cyclopts' message, with the way to more help where the message does not say what to do itself."""
    text = " ".join(str(error).split())
    text = re.sub(r"^Invalid value for (\S+): ", r"\1: ", text)
    unused = re.fullmatch(r"Unused Tokens: \[(.*)\]\.", text)
    if unused:
        text = f"unexpected argument {unused[1]}."
    if not text.startswith("-"):
        verb = error.command_chain[0] if error.command_chain else ""
        text = f"{text[:1].lower()}{text[1:]} See `{' '.join(filter(None, ('rawproto', verb, '--help')))}`."
    return text

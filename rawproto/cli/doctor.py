"""`rawproto doctor`: what this machine and this user can do, and what to run to have more. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rawproto.cli import FailedError

if TYPE_CHECKING:
    from rawproto.cli._checks import Check

__all__ = ["doctor"]

TITLES = {
    "privileges": "Privileges of this process",
    "attempts": "What it can open",
    "interfaces": "Interfaces",
    "settings": "Settings of the kernel",
    "software": "Software",
}
STYLES = {"ok": "green", "limited": "yellow", "missing": "red", "unknown": "dim"}


def doctor(
    *,
    as_object: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Say what this machine and this user can do with raw frames, and what to run to have more.

    Looked at are capabilities, raw sockets, rings, namespaces, nftables, TUN, interfaces with their MTU and
    offloads, the kernel's settings, libpcap and the programs around it. Each is ok, limited (it works, but), missing,
    or unknown, if this user may not see it. Nothing is changed: what would change something is tried in a namespace
    of its own, which is gone at once. No privilege is needed; run it as the user who is to send frames.

    Exit status: 0 if real frames can be sent in some way, directly or in a user namespace, whatever else is missing; 1
    if they can't.

    For example:

    ```
    rawproto doctor
    sudo rawproto doctor
    rawproto doctor --json | jq '.checks[] | select(.status != "ok")'
    ```

    Parameters
    ----------
    as_object
        Print one JSON object and nothing else.
    """
    from rawproto.cli._attempts import (  # noqa: PLC0415 - pyroute2 is not needed for --help
        attempt_checks,
        capabilities,
        capability_checks,
        in_first_user_namespace,
    )
    from rawproto.cli._checks import interface_checks, setting_checks, software_checks  # noqa: PLC0415

    checks = [
        *capability_checks(),
        *attempt_checks(),
        *interface_checks(),
        *setting_checks(beyond_limits="CAP_NET_ADMIN" in capabilities() and in_first_user_namespace()),
        *software_checks(),
    ]
    road = raw_frames(checks)
    if as_object:
        print(json.dumps({"raw_frames": road, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _show(checks, road)
    if road == "no":
        raise FailedError("no real frame can be sent: CAP_NET_RAW or a user namespace is needed")
    return 0


def raw_frames(checks: Sequence[Check]) -> str:
    """How this user can send real frames: "directly", "in a user namespace" or "no"."""
    fine = {check.name for check in checks if check.status == "ok"}
    if "AF_PACKET" in fine:
        return "directly"
    return "in a user namespace" if "user namespace" in fine else "no"


def _show(checks: Sequence[Check], road: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed for --json
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(check.name) for check in checks)
    group = ""
    told: set[str] = set()
    for check in checks:
        if check.group != group:
            group = check.group
            console.print(Text(f"{TITLES[group]}", style="bold"))
        status = Text(f"  {check.status:<8}", style=STYLES[check.status])
        console.print(status + Text(f" {check.name:<{width}}  {check.found}"))
        if check.fix and check.fix not in told:  # most of what is missing takes the same one capability
            told.add(check.fix)
            console.print(Text(f"           {'':<{width}}  to change that: {check.fix}", style="dim"))
    how = {
        "directly": "Real frames can be sent directly.",
        "in a user namespace": "Real frames can be sent in a user namespace only: unshare -Urn",
        "no": "Real frames can't be sent.",
    }
    console.print(Text(f"\n{how[road]}"))

"""What `rawproto doctor` can tell by looking: interfaces, kernel settings, programs and libraries. Changes nothing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pyroute2 import IPRoute
from pyroute2.ethtool import Ethtool

from rawproto import __version__
from rawproto.errors import LinkError
from rawproto.link.bpf import libpcap_version
from rawproto.link.sockopt import IFF_LOOPBACK, IFF_UP

__all__ = ["WANTED_BUFFER", "Check", "Status", "interface_checks", "setting_checks", "software_checks"]

Status = Literal["ok", "limited", "missing", "unknown"]

SYSCTL = Path("/proc/sys")
WANTED_BUFFER = 32 << 20
"""Bytes of socket buffer and of ring that the links ask for."""
LEAST_MTU6 = 1280
"""RFC 8200 §5."""
NAMES_SHOWN = 60
"""Characters of a program's version line."""
OFFLOADS = {
    "tx checksum": "tx-checksum-(ipv4|ipv6|ip-generic)",
    "rx checksum": "rx-checksum",
    "TSO": "tx-tcp.*-segmentation",
    "GSO": "tx-generic-segmentation",
    "GRO": "rx-gro",
    "LRO": "rx-lro",
}
"""ethtool's names, and the kernel's features behind them (net/ethtool/common.c)."""
JOINING = ("TSO", "GSO", "GRO", "LRO")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: how it is, and what to run where that is not as it could be."""

    group: str
    name: str
    status: Status
    found: str
    fix: str = ""


def interface_checks() -> Iterator[Check]:
    """Each interface: whether it is up, its MTU, and the offloads that change what is seen of frames."""
    with IPRoute() as netlink:
        links = list(netlink.get_links())
    for link in links:
        name = str(link.get_attr("IFLA_IFNAME"))
        mtu = int(link.get_attr("IFLA_MTU"))
        up = bool(link["flags"] & IFF_UP)
        loopback = bool(link["flags"] & IFF_LOOPBACK)
        state = f"{'up' if up else 'down'}, MTU {mtu}"
        on = _offloads(name)
        if on is None:
            yield Check("interfaces", name, "unknown", f"{state}, can't see its offloads")
            continue
        state += f", offloads: {', '.join(on) or 'none'}"
        joining = [offload for offload in on if offload in JOINING]
        if mtu < LEAST_MTU6:
            fix = f"sudo ip link set {name} mtu {LEAST_MTU6}"
            yield Check("interfaces", name, "limited", f"{state}; IPv6 needs an MTU of {LEAST_MTU6}", fix)
        elif joining and up and not loopback:
            found = f"{state}; frames may be seen joined, larger than on the wire"
            switches = " ".join(f"{offload.lower()} off" for offload in joining)
            yield Check("interfaces", name, "limited", found, f"sudo ethtool -K {name} {switches}")
        else:
            yield Check("interfaces", name, "ok", state)


def _offloads(name: str) -> list[str] | None:
    """Those of `OFFLOADS` that are on; None if the kernel does not tell."""
    try:
        ethtool = Ethtool()
        try:
            features = ethtool.get_features(name).features
        finally:
            ethtool.close()
    except Exception:  # pyroute2 raises its own, and OSError, and KeyError for what it does not know
        return None
    on = [feature for feature, value in features.items() if value.enable]
    return [offload for offload, names in OFFLOADS.items() if any(re.fullmatch(names, feature) for feature in on)]


def setting_checks(*, beyond_limits: bool) -> Iterator[Check]:
    """The kernel's settings. `beyond_limits`: this process may have larger buffers than these allow."""
    for name in ("net.core.rmem_max", "net.core.wmem_max"):
        yield _buffer(name, beyond_limits=beyond_limits)
    yield _setting("net.ipv4.ip_forward", {"0": "this host does not route", "1": "this host routes"})
    yield _reverse_path()
    yield _setting(
        "net.ipv6.conf.all.disable_ipv6",
        {"0": "IPv6 is on"},
        limited={"1": "IPv6 is switched off"},
        fix="sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0",
        absent="the kernel has no IPv6",
    )
    yield _setting("net.ipv4.ping_group_range", {}, note="groups that may ping without privilege; not used here")
    yield from _user_namespace_settings()


def _user_namespace_settings() -> Iterator[Check]:
    """Those that only some distributions have are told only where they are."""
    for name, good, why in (
        ("kernel.unprivileged_userns_clone", "1", "users may not make user namespaces"),
        ("kernel.apparmor_restrict_unprivileged_userns", "0", "AppArmor keeps user namespaces from having privileges"),
    ):
        if (SYSCTL / name.replace(".", "/")).exists():
            bad = {"0": "1", "1": "0"}[good]
            yield _setting(name, {good: "no restriction"}, limited={bad: why}, fix=f"sudo sysctl -w {name}={good}")
    yield _setting(
        "user.max_user_namespaces",
        {},
        limited={"0": "no user namespace may be made"},
        fix="sudo sysctl -w user.max_user_namespaces=10000",
        note="the limit of user namespaces",
    )


def _buffer(name: str, *, beyond_limits: bool) -> Check:
    text = _read(name)
    if text is None or not text.isdigit():
        return Check("settings", name, "unknown", "can't be read")
    if int(text) >= WANTED_BUFFER:
        return Check("settings", name, "ok", text)
    if beyond_limits:
        return Check("settings", name, "ok", f"{text}; CAP_NET_ADMIN goes beyond it")
    found = f"{text}: links ask for {WANTED_BUFFER}, bursts may be lost"
    return Check("settings", name, "limited", found, f"sudo sysctl -w {name}={WANTED_BUFFER}")


def _reverse_path() -> Check:
    """The larger of the two values counts (Documentation/networking/ip-sysctl.rst)."""
    name = "net.ipv4.conf.*.rp_filter"
    everywhere = int(_read("net.ipv4.conf.all.rp_filter") or 0)
    strict = []
    for path in sorted((SYSCTL / "net/ipv4/conf").glob("*/rp_filter")):
        interface = path.parent.name
        with contextlib.suppress(OSError, ValueError):
            if interface not in ("all", "default", "lo") and max(int(path.read_text()), everywhere) == 1:
                strict.append(interface)
    if not strict:
        return Check("settings", name, "ok", "not strict")
    found = f"strict on {', '.join(strict)}: what comes from where no route leads back to is dropped"
    fix = f"sudo sysctl -w {' '.join(f'net.ipv4.conf.{interface}.rp_filter=2' for interface in strict)}"
    return Check("settings", name, "limited", found, fix)


def _setting(
    name: str,
    good: dict[str, str],
    *,
    limited: dict[str, str] | None = None,
    fix: str = "",
    note: str = "",
    absent: str = "",
) -> Check:
    """A sysctl whose values mean what `good` and `limited` say; any other one is as good, and means `note`."""
    text = _read(name)
    if text is None:
        return Check("settings", name, "missing" if absent else "unknown", absent or "can't be read")
    meaning = (limited or {}).get(text)
    if meaning is not None:
        return Check("settings", name, "limited", f"{text}: {meaning}", fix)
    meaning = good.get(text, note)
    return Check("settings", name, "ok", f"{text}: {meaning}" if meaning else text)


def _read(name: str) -> str | None:
    try:
        return " ".join((SYSCTL / name.replace(".", "/")).read_text().split())
    except OSError:
        return None


def software_checks() -> Iterator[Check]:
    """This package, the interpreter, libpcap, and the programs that judge what is sent."""
    yield Check("software", "rawproto", "ok", __version__)
    yield Check("software", "Python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Check("software", "kernel", "ok", f"{platform.system()} {platform.release()}")
    try:
        yield Check("software", "libpcap", "ok", libpcap_version())
    except LinkError as error:
        found = f"{error.strerror}; filters can't be compiled"
        yield Check("software", "libpcap", "missing", found, "sudo apt install libpcap0.8")
    yield _program("tshark", "sudo apt install tshark", "captures can't be held against Wireshark")
    yield _program("tcpdump", "sudo apt install tcpdump", "only for comparison")
    yield _package("scapy", "pip install 'rawproto[scapy]'", "to_scapy() and protocols that we don't speak")


def _program(name: str, fix: str, why: str) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check("software", name, "missing", f"not installed: {why}", fix)
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("software", name, "limited", f"{path} does not run: {error}", fix)
    lines = (done.stdout or done.stderr).splitlines()
    return Check("software", name, "ok", lines[0][:NAMES_SHOWN] if lines else path)


def _package(name: str, fix: str, why: str) -> Check:
    find: Callable[[str], str] = importlib.metadata.version
    try:
        return Check("software", name, "ok", find(name))
    except importlib.metadata.PackageNotFoundError:
        return Check("software", name, "missing", f"not installed: {why}", fix)

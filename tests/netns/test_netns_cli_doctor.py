"""`rawproto doctor` as root, as nobody, and where neither capabilities nor namespaces are to be had."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute
from pyroute2.nftables.main import NFTables

import rawproto
from rawproto.cli import main
from rawproto.link.netns import Lab

pytestmark = pytest.mark.root

CODE = "import sys; from rawproto.cli import main; sys.exit(main())"
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def by_name(text: str) -> tuple[str, dict[str, dict[str, Any]]]:
    report = json.loads(text)
    return report["raw_frames"], {check["name"]: check for check in report["checks"]}


def test_root_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    road, checks = by_name(capsys.readouterr().out)
    assert road == "directly"
    for name in ("CAP_NET_RAW", "AF_PACKET", "SOCK_RAW, IPv4", "SOCK_RAW, IPv6", "network namespace", "nftables"):
        assert checks[name]["status"] == "ok"
    assert checks["receive ring"]["found"] == "32 MiB on lo"


def test_the_interfaces_are_those_of_the_namespace(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with lab.left.entered():
        assert main(["doctor", "--json"]) == 0
    _, checks = by_name(capsys.readouterr().out)
    interfaces = {name: check for name, check in checks.items() if check["group"] == "interfaces"}
    assert set(interfaces) == {"lo", "veth0"}
    assert interfaces["veth0"]["found"].startswith("up, MTU 1500, offloads: tx checksum")
    assert interfaces["veth0"]["fix"].startswith("sudo ethtool -K veth0 ")


def test_offloads_that_are_off_are_fine(capsys: pytest.CaptureFixture[str]) -> None:
    with Lab(offloads=False) as lab, lab.left.entered():
        main(["doctor", "--json"])
    _, checks = by_name(capsys.readouterr().out)
    assert checks["veth0"]["status"] == "ok"


def test_nothing_is_changed(lab: Lab) -> None:
    def state() -> object:
        with lab.left.entered(), IPRoute() as netlink:
            reader = NFTables(nfgen_family=1)
            try:
                tables = [table.get_attr("NFTA_TABLE_NAME") for table in reader.get_tables()]
            finally:
                reader.close()
            links = [(link["index"], link["flags"], link.get_attr("IFLA_IFNAME")) for link in netlink.get_links()]
            routes = [str(route["attrs"]) for route in netlink.get_routes()]
            return tables, links, routes

    before = state()
    with lab.left.entered():
        assert main(["doctor", "--json"]) == 0
    assert state() == before


def as_nobody(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as the user nobody, by a Python that this user may run: it starts another one."""
    path = os.pathsep.join((str(Path(rawproto.__file__).parents[1]), *site.getsitepackages()))
    environment = [f"HOME={home}", f"PYTHONPATH={path}", "PYTHONDONTWRITEBYTECODE=1"]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = [*NOBODY, "env", *environment, python, "-c"]
        if subprocess.run([*command, "import rawproto.cli.doctor"], capture_output=True, check=False).returncode == 0:
            return subprocess.run([*command, CODE, *arguments], capture_output=True, text=True, check=False)
    pytest.skip("no Python here that the user nobody may run")


def test_nobody_is_told_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    done = as_nobody(tmp_path, "doctor", "--json")
    road, checks = by_name(done.stdout)
    assert checks["CAP_NET_RAW"]["status"] == checks["AF_PACKET"]["status"] == "missing"
    assert "sudo setcap cap_net_raw+ep " in checks["CAP_NET_RAW"]["fix"]
    assert checks["lo"]["status"] == "ok"
    allowed = checks["user namespace"]["status"] == "ok"  # that is the machine's to say
    assert (road, done.returncode) == (("in a user namespace", 0) if allowed else ("no", 1))
    assert done.stderr.count("\n") == done.returncode

"""The tests against other tools share what the modules called `peer_...` beside them hold."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def scapy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = pytest.importorskip("scapy.all")
    logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
    return names

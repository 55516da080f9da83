from collections.abc import Callable
from random import Random

import pytest

from rawproto.study.guarantees import judge
from rawproto.study.transfer import Outcome, Side

FILE = Random(1).randbytes(10_000)
STREAM = Random(2).randbytes(3_000)


def good_outcome() -> Outcome:
    client = Side("client", FILE, STREAM, True, 10, 30)
    server = Side("server", STREAM, FILE, True, 20, 25)
    client.fired = {"loss": 5, "corrupt": 2, "duplicate": 3, "reorder": 0}
    server.fired = {"loss": 1, "corrupt": 1, "duplicate": 0, "reorder": 4}
    return Outcome(1, client, server, 0.0, 100)


def broken(outcome: Outcome) -> set[str]:
    return {verdict.name for verdict in judge(outcome) if not verdict.held}


def swap(data: bytes) -> bytes:
    return data[:64] + data[96:128] + data[64:96] + data[128:]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], set[str]]] = {
    "swapped blocks": (swap, {"sequenced"}),
    "a block twice": (lambda data: data[:96] + data[64:], {"no_duplication"}),
    "foreign bytes": (lambda data: data[:50] + b"what nobody sent" + data[50:], {"no_creation"}),
    "cut short": (lambda data: data[:-1], {"nothing_missing"}),
    "bytes replaced": (lambda data: data[:64] + bytes(32) + data[96:], {"no_creation", "nothing_missing"}),
    "nothing at all": (
        lambda _: b"",
        {"sequenced", "no_duplication", "no_creation", "nothing_missing", "two_way"},
    ),
}


def test_a_good_transfer_holds_all_six_in_order() -> None:
    verdicts = judge(good_outcome())
    names = ["sequenced", "no_duplication", "no_creation", "nothing_missing", "two_way", "connection_based"]
    assert [verdict.name for verdict in verdicts] == names
    assert all(verdict.held for verdict in verdicts)


@pytest.mark.parametrize("direction", ["to server", "to client"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_breaks_its_own_guarantees_alone(damage: str, direction: str) -> None:
    change, expected = DAMAGES[damage]
    outcome = good_outcome()
    side = outcome.server if direction == "to server" else outcome.client
    side.received = change(side.received)
    assert broken(outcome) == expected


def test_a_file_of_zeros_gives_no_false_alarm() -> None:
    outcome = good_outcome()
    outcome.client.sent = outcome.server.received = bytes(50_000)
    assert broken(outcome) == set()


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_side_that_read_no_end_of_stream_breaks_the_connection(side: str) -> None:
    outcome = good_outcome()
    getattr(outcome, side).end_of_stream = False
    assert broken(outcome) == {"connection_based"}


@pytest.mark.parametrize("side", ["client", "server"])
def test_data_before_both_are_established_breaks_the_connection(side: str) -> None:
    outcome = good_outcome()
    getattr(outcome, side).first_data_ns = 15
    assert broken(outcome) == {"connection_based"}


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_side_that_was_never_established_breaks_the_connection(side: str) -> None:
    outcome = good_outcome()
    getattr(outcome, side).established_ns = None
    assert broken(outcome) == {"connection_based"}


def test_a_run_that_delivered_nothing_holds_none() -> None:
    outcome = Outcome(1, Side("client", FILE), Side("server", STREAM), 0.0, 0)
    assert len(broken(outcome)) == 6


def test_every_kind_of_damage_stands_beside_what_it_could_have_broken() -> None:
    outcome = good_outcome()
    outcome.client.fired |= {"swap": 7, "truncate": 8}
    faults = {verdict.name: verdict.faults for verdict in judge(outcome)}
    assert faults["no_creation"] == {"corrupt": 3, "swap": 7, "truncate": 8}
    assert faults["nothing_missing"] == {"loss": 6, "corrupt": 3, "swap": 7, "truncate": 8}


def test_the_faults_beside_a_verdict_are_those_of_both_directions() -> None:
    faults = {verdict.name: verdict.faults for verdict in judge(good_outcome())}
    assert faults["nothing_missing"] == {"loss": 6, "corrupt": 3}
    assert faults["sequenced"] == {"reorder": 4, "loss": 6}
    assert faults["no_duplication"] == {"duplicate": 3, "retransmission": 0}
    assert faults["no_creation"] == {"corrupt": 3}
    assert faults["two_way"] == {"from the client": 10, "from the server": 6}

"""The textbook's protocols keep what they promise, in every pairing; and the bench sees what a machine does."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import pytest

from rawproto.errors import ConfigError
from rawproto.link.impairment import Impairment
from rawproto.link.script import Event
from rawproto.study.textbook import Packet, Receiver, Sender, Settings
from rawproto.study.textbook.bench import MS, Trial, judge, play
from rawproto.study.textbook.go_back_n import GoBackNReceiver, GoBackNSender
from rawproto.study.textbook.ladder import draw
from rawproto.study.textbook.loading import load_class
from rawproto.study.textbook.packet import decode, encode
from rawproto.study.textbook.schedules import grounds, schedules
from rawproto.study.textbook.selective_repeat import SelectiveRepeatReceiver, SelectiveRepeatSender
from rawproto.study.textbook.stop_and_wait import StopAndWaitReceiver, StopAndWaitSender

SENDERS = (StopAndWaitSender, GoBackNSender, SelectiveRepeatSender)
RECEIVERS = (StopAndWaitReceiver, GoBackNReceiver, SelectiveRepeatReceiver)
PAIRS = list(product(SENDERS, RECEIVERS))
BY_NAME = [f"{sender.__name__}-{receiver.__name__}" for sender, receiver in PAIRS]
BAD = Impairment(loss=0.15, duplicate=0.1, corrupt=0.1)
WORSE = replace(BAD, reorder=0.1, reorder_delay_ns=35 * MS)


@pytest.mark.parametrize(("sender", "receiver"), PAIRS, ids=BY_NAME)
@pytest.mark.parametrize("seed", range(3))
def test_every_pairing_keeps_its_promises(sender: type[Sender], receiver: type[Receiver], seed: int) -> None:
    for ground in grounds((sender, receiver), "crc32"):
        several = (events for events in schedules(ground, seed) if len(events) > 1)
        for events in islice(several, 12):
            trial = Trial(sender=sender, receiver=receiver, settings=ground.settings, events=events, seed=seed)
            assert judge(play(trial)) == (), trial


@pytest.mark.parametrize(("sender", "receiver"), PAIRS, ids=BY_NAME)
def test_every_pairing_gets_over_a_bad_wire(sender: type[Sender], receiver: type[Receiver]) -> None:
    for seed in range(4):
        for ground in grounds((sender, receiver), "crc32"):
            impairment = WORSE if ground.reorders else BAD
            trial = Trial(
                sender=sender, receiver=receiver, settings=ground.settings, impairment=impairment, seed=seed, pieces=15
            )
            played = play(trial)
            assert judge(played) == (), trial
            assert played.run.accounts[1].read == trial.octets


def test_selective_repeat_sends_again_only_what_was_lost() -> None:
    lost = (Event("drop", "client", 1),)
    sent = {}
    for sender, receiver in ((GoBackNSender, GoBackNReceiver), (SelectiveRepeatSender, SelectiveRepeatReceiver)):
        log = play(Trial(sender=sender, receiver=receiver, events=lost, pieces=3)).run.log
        sent[sender] = [packet.seq for entry in log.sent if (packet := decode(entry.frame, "crc32")) and packet.data]
    assert sent[SelectiveRepeatSender] == [0, 1, 2, 0]
    assert sent[GoBackNSender] == [0, 1, 2, 0, 1, 2]


def test_a_run_is_a_function_of_its_trial() -> None:
    trial = Trial(sender=GoBackNSender, receiver=GoBackNReceiver, impairment=WORSE, seed=3)
    assert play(trial).run.fingerprint() == play(trial).run.fingerprint()
    assert play(trial).run.fingerprint() != play(replace(trial, seed=4)).run.fingerprint()


@pytest.mark.parametrize("checksum", ["crc32", "internet"])
def test_a_damaged_packet_is_seen(checksum: str) -> None:
    datagram = encode(Packet(seq=9, data=b"data", last=True, ack=2, has=1), 8, checksum)
    assert decode(datagram, checksum) == Packet(1, b"data", True, 2, 1)
    for bit in range(len(datagram) * 8):
        damaged = bytearray(datagram)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(damaged), checksum) is None
    assert decode(datagram[:11], checksum) is None


def test_the_internet_checksum_misses_swapped_words() -> None:
    trial = Trial(sender=GoBackNSender, receiver=GoBackNReceiver, events=(Event("swap", "client", 2, at=6, to=7),))
    broken = [
        {violation.guarantee for violation in judge(play(replace(trial, settings=Settings(checksum=checksum))))}
        for checksum in ("internet", "crc32")
    ]
    assert broken == [{"integrity"}, set()]


@pytest.mark.parametrize(
    "wrong", [{"seq_bits": 0}, {"seq_bits": 17}, {"window": 0}, {"timeout_ns": 0}, {"mss": 0}, {"checksum": "md5"}]
)
def test_settings_that_can_not_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]


def test_the_ladder_shows_what_was_lost_and_what_was_read() -> None:
    trial = Trial(
        sender=StopAndWaitSender, receiver=StopAndWaitReceiver, events=(Event("drop", "client", 1),), pieces=1
    )
    assert draw(play(trial)) == [
        "  time ms  sender                                        receiver",
        "    0.000  ├─ #1 seq 0, 16 octets ────────────────────────────✗ │  is lost",
        "   50.000  ├─ #2 seq 0, 16 octets ─────────────────────────────▶│",
        "   60.000  │                                  reads octets 0:16 │",
        "           │◀───────────────────────────────── #1 ack 1, has 0 ─┤",
        "   70.000  ├─ #3 seq 1, the end ───────────────────────────────▶│",
        "   80.000  │                          is told: that was the end │",
        "           │◀───────────────────────────────── #2 ack 2, has 1 ─┤",
        "   90.000  │ is told: all has arrived                           │",
    ]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "is no place of a class: give module:Class, such as mine:MySender"),
        ("textbook_students", "is no place of a class"),
        ("no_such_module:Class", "module 'no_such_module' can't be imported: ModuleNotFoundError"),
        ("textbook_students:Nobody", "has no attribute 'Nobody'"),
        ("textbook_students:NOT_A_CLASS", "is not a subclass of rawproto.study.textbook.Sender"),
        ("textbook_students:ForgetsDuplicates", "is not a subclass of rawproto.study.textbook.Sender"),
    ],
)
def test_a_class_that_can_not_be_had_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, place: str, said: str) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with pytest.raises(ConfigError) as caught:
        load_class(place, Sender)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)

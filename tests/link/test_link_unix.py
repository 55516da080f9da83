"""UnixLink: datagrams between sockets of this machine, without any privilege."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from select import POLLIN, poll
from typing import Any

import pytest

from rawproto.errors import LinkError
from rawproto.link.unix import UnixLink
from rawproto.sockets.host import Host
from rawproto.sockets.socket import Socket
from rawproto.wire.frame import Direction, Frame, LinkType

PATIENCE_MS = 5000


def abstract() -> str:
    """A name that no other run has."""
    return f"@rawproto-test-{os.getpid()}-{random.randrange(1 << 48):x}"


def gather(link: UnixLink, count: int, now: int = 0) -> list[Frame]:
    poller = poll()
    poller.register(link.fileno(), POLLIN)
    frames: list[Frame] = []
    while len(frames) < count:
        assert poller.poll(PATIENCE_MS), f"{len(frames)} of {count} datagrams came"
        frames += link.receive(now)
    return frames


def poll_now(link: UnixLink) -> bool:
    poller = poll()
    poller.register(link.fileno(), POLLIN)
    return bool(poller.poll(0))


def in_thread(work: object) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


@pytest.fixture(params=["path", "abstract", "chosen"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[UnixLink, UnixLink]]:
    names = {
        "path": (str(tmp_path / "left"), str(tmp_path / "right")),
        "abstract": (abstract(), abstract()),
        "chosen": ("", ""),
    }[request.param]
    with UnixLink(names[0]) as left, UnixLink(names[1]) as right:
        yield left, right


def test_datagrams_cross_whole_with_their_sender(pair: tuple[UnixLink, UnixLink]) -> None:
    left, right = pair
    sent = [b"", b"x", bytes(1200), os.urandom(65_535), b"y"]
    for one, other in ((left, right), (right, left)):
        one.send(sent, 0, peer=other.address)
        frames = gather(other, len(sent), now=42)
        assert [frame.data for frame in frames] == sent
        assert {frame[1:6] + frame[8:] for frame in frames} == {
            (42, LinkType.USER0, "unix", Direction.INBOUND, None, one.address)
        }
    assert left.receive(0) == []


def test_a_name_is_written_in_one_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with UnixLink("left.sock") as left, UnixLink(abstract()) as right:
        assert left.address == str(tmp_path / "left.sock") == left.canonical("./left.sock")
        assert right.canonical("@x") == "@x"
        right.send([b"hello"], 0, peer="left.sock")
        left.send([b"back"], 0, peer=gather(left, 1)[0].peer)
        assert [(frame.data, frame.peer) for frame in gather(right, 1)] == [(b"back", left.address)]


def test_a_name_that_the_kernel_chose_is_told_and_serves_as_a_peer() -> None:
    with UnixLink() as left, UnixLink() as right:
        assert left.address.startswith("@")
        assert left.address != right.address
        left.send([b"x"], 0, peer=right.address)
        assert gather(right, 1)[0].peer == left.address


def test_a_sender_without_a_name_has_none() -> None:
    with UnixLink() as link, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", b"\0" + link.address[1:].encode())
        assert gather(link, 1)[0].peer == ""


def test_close_removes_its_path_and_may_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    link = UnixLink(str(path))
    assert path.is_socket()
    link.close()
    link.close()
    assert not path.exists()
    assert link.fileno() == -1


def test_close_leaves_what_another_has_put_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with UnixLink(str(path)):
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"


def test_an_abandoned_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left_behind:
        left_behind.bind(path)
    with UnixLink(path) as link, UnixLink() as other:
        other.send([b"x"], 0, peer=path)
        assert gather(link, 1)[0].data == b"x"


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_socket_that_is_held_is_not(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, kind) as holder:
        holder.bind(path)
        if kind == socket.SOCK_STREAM:
            holder.listen()
        inode = os.lstat(path).st_ino
        with pytest.raises(LinkError, match="socket is in use: choose another name, or see who") as caught:
            UnixLink(path)
        assert caught.value.errno == errno.EADDRINUSE
        assert os.lstat(path).st_ino == inode


def test_an_abstract_name_that_is_held_is_refused() -> None:
    with UnixLink(abstract()) as link:
        with pytest.raises(LinkError, match=f"{link.address} is in use: choose another name") as caught:
            UnixLink(link.address)
        assert caught.value.errno == errno.EADDRINUSE


def test_a_file_that_is_no_socket_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("keep")
    with pytest.raises(LinkError, match=r"notes\.txt is there and is no socket") as caught:
        UnixLink(str(path))
    assert caught.value.errno == errno.EEXIST
    assert path.read_text() == "keep"


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("@" + "n" * 108, errno.ENAMETOOLONG, "has 108 bytes, 107 are allowed"),
        ("/tmp/" + "n" * 103, errno.ENAMETOOLONG, "has 108 bytes, 107 are allowed"),
        ("@", errno.EINVAL, "is no name of a socket"),
        ("/tmp/a\0b", errno.EINVAL, "is no name of a socket"),
        ("/nowhere/at/all", errno.ENOENT, "its directory does not exist"),
    ],
)
def test_a_name_that_can_not_be_is_one_clear_line(name: str, number: int, text: str) -> None:
    with pytest.raises(LinkError, match=text) as caught:
        UnixLink(name)
    assert caught.value.errno == number


def test_the_longest_name_is_taken() -> None:
    with UnixLink("@" + "n" * 107) as link, UnixLink() as other:
        other.send([b"x"], 0, peer=link.address)
        assert gather(link, 1)[0].data == b"x"


def test_sending_needs_a_peer() -> None:
    with UnixLink() as link, pytest.raises(LinkError, match='a path, or "@name"') as caught:
        link.send([b"x"], 0)
    assert caught.value.errno == errno.EDESTADDRREQ


def test_a_peer_of_another_kind_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = str(tmp_path / "stream")
    with UnixLink() as link, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(LinkError, match=f"to {path}: ") as caught:
            link.send([b"x"], 0, peer=path)
    assert caught.value.errno == errno.EPROTOTYPE


def test_a_peer_that_has_gone_is_counted_and_breaks_neither_send_nor_receive(tmp_path: Path) -> None:
    gone = UnixLink(str(tmp_path / "gone"))
    gone.close()
    left_behind = str(tmp_path / "left-behind")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(left_behind)
    with UnixLink() as left, UnixLink() as right:
        left.send([b"a", b"b"], 0, peer=gone.address)
        left.send([b"c"], 0, peer=left_behind)
        left.send([b"d"], 0, peer=abstract())
        left.send([b"e"], 0, peer=right.address)
        assert [frame.data for frame in gather(right, 1)] == [b"e"]
        assert left.refused == 4
        assert left.receive(0) == []


def test_a_datagram_over_the_mtu_is_refused_and_those_before_it_are_sent() -> None:
    with UnixLink(mtu=1000) as left, UnixLink() as right:
        with pytest.raises(LinkError, match=r"1001 bytes is over the MTU of @\w+, 1000 bytes") as caught:
            left.send([bytes(1000), bytes(1001), b"x"], 0, peer=right.address)
        assert caught.value.errno == errno.EMSGSIZE
        assert [len(frame.data) for frame in right.receive(0)] == [1000]


def test_the_largest_datagram_that_the_buffer_takes_passes_and_no_larger_mtu_is_allowed() -> None:
    with UnixLink(buffer_size=100_000) as probe:
        assert probe.mtu == 65_535
        largest = probe._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32
    with UnixLink(mtu=largest, buffer_size=100_000) as left, UnixLink() as right:
        left.send([os.urandom(largest)], 0, peer=right.address)
        assert [len(frame.data) for frame in gather(right, 1)] == [largest]
    for mtu in (0, 1 << 40):
        with pytest.raises(LinkError, match=f"the MTU can't be {mtu}: 1 to "):
            UnixLink(mtu=mtu)


def test_a_small_buffer_makes_a_small_mtu() -> None:
    with UnixLink(buffer_size=1) as link, UnixLink() as other:
        assert 0 < link.mtu < 65_535
        link.send([bytes(link.mtu)], 0, peer=other.address)
        assert len(gather(other, 1)[0].data) == link.mtu


def test_a_datagram_over_the_receiver_s_room_says_how_long_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.link.unix._RECEIVE_SIZE", 100)
    with UnixLink() as left, UnixLink(mtu=50) as right:
        left.send([bytes(100), bytes(101), bytes(7)], 0, peer=right.address)
        assert [(len(frame.data), frame.original_length) for frame in right.receive(0)] == [
            (100, None),
            (100, 101),
            (7, None),
        ]


def test_a_datagram_as_large_as_the_mtu_is_received_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.link.unix._RECEIVE_SIZE", 100)
    with UnixLink() as left, UnixLink(mtu=5000) as right:
        left.send([bytes(5000)], 0, peer=right.address)
        assert [(len(frame.data), frame.original_length) for frame in right.receive(0)] == [(5000, None)]


def test_a_receive_ends_with_a_batch() -> None:
    with UnixLink() as left, UnixLink(batch=3) as right:
        left.send([bytes(size) for size in range(7)], 0, peer=right.address)
        assert [len(right.receive(0)) for _ in range(4)] == [3, 3, 1, 0]


def test_a_full_queue_makes_send_wait_and_loses_nothing() -> None:
    sent = [number.to_bytes(4) for number in range(2000)]
    with UnixLink() as left, UnixLink() as right:
        sender = in_thread(lambda: left.send(sent, 0, peer=right.address))
        assert [frame.data for frame in gather(right, len(sent))] == sent
        sender.join(PATIENCE_MS / 1000)


def test_two_that_fill_each_other_s_queues_both_come_through() -> None:
    sent = [number.to_bytes(4) for number in range(1000)]
    with UnixLink() as left, UnixLink() as right:
        start = threading.Barrier(2)
        received: dict[UnixLink, list[bytes]] = {}

        def exchange(one: UnixLink, other: UnixLink) -> None:
            start.wait()
            one.send(sent, 0, peer=other.address)  # neither receives before it has sent all
            received[one] = [frame.data for frame in gather(one, len(sent))]

        threads = [in_thread(lambda: exchange(left, right)), in_thread(lambda: exchange(right, left))]
        for thread in threads:
            thread.join(PATIENCE_MS / 1000)
            assert not thread.is_alive()
        assert received == {left: sent, right: sent}
        assert left.receive(0) == right.receive(0) == []


def test_what_came_while_sending_waited_is_told_to_a_poller_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.link.unix._PATIENCE_MS", 5)
    with UnixLink(batch=3) as left, UnixLink() as right:
        right.send([bytes(size) for size in range(5)], 0, peer=left.address)
        with pytest.raises(LinkError, match="takes no datagram"):
            left.send([b"x"] * 10_000, 0, peer=right.address)
        assert len(left._held) == 5
        assert [len(left.receive(0)) for _ in range(2) if poll_now(left)] == [3, 2]
        assert not poll_now(left)


def test_a_peer_that_takes_nothing_is_told_and_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.link.unix._PATIENCE_MS", 5)
    with UnixLink() as left, UnixLink() as stopped, UnixLink() as right:
        frames = [bytes(10)] * 10_000
        with pytest.raises(LinkError, match=f"{stopped.address} takes no datagram: its process has stopped") as caught:
            left.send(frames, 0, peer=stopped.address)
        assert caught.value.errno == errno.EHOSTUNREACH  # which a host takes for lost, see ForgivingLink
        monkeypatch.setattr("rawproto.link.unix._PATIENCE_MS", 1 << 62)
        with pytest.raises(LinkError):
            left.send(frames, 0, peer=stopped.address)
        left.send([b"x"], 0, peer=right.address)
        assert gather(right, 1)[0].data == b"x"
        count = len(stopped.receive(0))
        sender = in_thread(lambda: left.send(frames[: 3 * count], 0, peer=stopped.address))
        gather(stopped, 3 * count)  # it takes something, so it is waited for again
        sender.join(PATIENCE_MS / 1000)
        assert not sender.is_alive()


def test_a_peer_that_goes_while_it_is_waited_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = UnixLink._send_patiently
    with UnixLink() as left, UnixLink() as right:

        def send_after_it_has_gone(link: UnixLink, *arguments: Any) -> OSError | None:
            right.close()
            return patient(link, *arguments)

        monkeypatch.setattr(UnixLink, "_send_patiently", send_after_it_has_gone)
        left.send([b"x"] * 1000, 0, peer=right.address)
        assert 0 < left.refused < 1000


def test_a_send_buffer_full_of_what_others_do_not_take_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.link.unix._PATIENCE_MS", 5)
    with UnixLink(buffer_size=1) as left, UnixLink() as stopped, UnixLink() as right:
        for peer in (stopped, right):
            # The buffer holds fewer datagrams than a queue; nothing of it is the second one's doing.
            with pytest.raises(LinkError, match=f"to {peer.address}: the send buffer of {left.address} is full") as got:
                left.send([b"x"] * 1000, 0, peer=peer.address)
            assert got.value.errno == errno.EHOSTUNREACH
        held = gather(stopped, 1)
        left.send([b"y"] * len(held), 0, peer=right.address)
        assert [frame.data for frame in gather(right, 1)] == [b"y"] * len(held)


def test_on_a_capture_a_datagram_is_what_it_is() -> None:
    with UnixLink() as link:
        assert link.on_wire(b"data", peer="@x", outbound=True) == (b"data", LinkType.USER0)


def test_no_descriptor_is_left_when_opening_fails(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for name in ("@", "/nowhere/at/all", str(tmp_path)):
        with pytest.raises(LinkError):
            UnixLink(name)
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def read_all(connection: Socket) -> bytes:
    blocks = []
    while block := connection.recv(1 << 16):
        blocks.append(block)
    return b"".join(blocks)


@pytest.mark.parametrize("mtu", [1400, None])
def test_a_transfer_both_ways_comes_whole(tmp_path: Path, mtu: int | None) -> None:
    data = random.Random(1).randbytes(2_000_000)
    client_link, server_link = UnixLink(str(tmp_path / "client"), mtu=mtu), UnixLink(abstract(), mtu=mtu)
    with Host(client_link) as client, Host(server_link) as server:
        listener = server.socket()
        listener.bind(("", 7))
        listener.listen()

        def echo() -> None:
            connection, (peer, _) = listener.accept()
            assert peer == client.address
            with connection:
                connection.sendall(read_all(connection))

        server_thread = in_thread(echo)
        with client.socket() as caller:
            caller.settimeout(30)
            caller.connect((server.address, 7))
            caller.sendall(data)
            caller.shutdown(socket.SHUT_WR)
            assert hashlib.sha256(read_all(caller)).digest() == hashlib.sha256(data).digest()
        server_thread.join(PATIENCE_MS / 1000)
    assert not (tmp_path / "client").exists()

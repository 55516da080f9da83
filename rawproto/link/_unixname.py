"""Names of AF_UNIX sockets as text and as the socket module has them, and who holds a path."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rawproto.errors import LinkError

__all__ = ["Address", "PathHolder", "address_of", "name_of"]

_LONGEST = 107
"""Bytes of `sun_path` (linux/un.h) but for the null byte that ends a path or begins an abstract name."""

Address = str | bytes
"""A path as str, an abstract name as bytes that begin with a null byte; b"" has the kernel choose one."""


def address_of(name: str) -> Address:
    """Give the socket address for "@name" or a path, which is made absolute.

    Raises LinkError: EDESTADDRREQ for "", ENAMETOOLONG, EINVAL for "@" alone or a null character in a path.
    """
    if not name:
        raise LinkError(errno.EDESTADDRREQ, 'an AF_UNIX link needs a peer to send to: a path, or "@name"')
    if name.startswith("@"):
        address: Address = b"\0" + os.fsencode(name[1:])
        length = len(address) - 1
    else:
        address = os.path.abspath(name)  # noqa: PTH100 - Path has none that leaves symbolic links alone
        length = len(os.fsencode(address))
    if length > _LONGEST:
        text = f"the socket name {name!r} has {length} bytes, {_LONGEST} are allowed: take a shorter path or an @name"
        raise LinkError(errno.ENAMETOOLONG, text)
    if not length or (isinstance(address, str) and "\0" in address):
        raise LinkError(errno.EINVAL, f"{name!r} is no name of a socket")
    return address


def name_of(address: Address | None) -> str:
    """Give the text for a socket address, "" for a socket without a name."""
    if not address:
        return ""
    return address if isinstance(address, str) else "@" + os.fsdecode(address[1:])


@dataclass(frozen=True, slots=True)
class PathHolder:
    """The path that a socket made, and the file that it is, so that no other is ever removed."""

    path: str
    device: int
    inode: int

    @classmethod
    def bind(cls, sock: socket.socket, address: Address) -> Self | None:
        """Bind `sock`; None if `address` is no path. A socket that nobody holds any more is replaced.

        Raises LinkError, see UnixLink.
        """
        name = name_of(address)
        try:
            sock.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _bind_error(name, error) from error
            if not isinstance(address, str):
                raise _in_use(name) from error
            _replace(sock, address)
        if not isinstance(address, str):
            return None
        made = os.lstat(address)
        return cls(address, made.st_dev, made.st_ino)

    def remove(self) -> None:
        """Remove the path, unless somebody has put another file in its place."""
        with contextlib.suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                Path(self.path).unlink()


def _replace(sock: socket.socket, path: str) -> None:
    """Bind `sock` to a path at which there is a socket already, if nobody holds that one."""
    # Two that find the same one abandoned must not remove each other's.
    with _locked(path):
        if not _abandoned(path):
            raise _in_use(path)
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
        try:
            sock.bind(path)
        except OSError as error:
            raise (_in_use(path) if error.errno == errno.EADDRINUSE else _bind_error(path, error)) from error


def _abandoned(path: str) -> bool:
    """Whether the socket at `path` belongs to no process. Raises LinkError (EEXIST) if it is something else."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise LinkError(errno.EEXIST, f"{path} is there and is no socket: choose another name")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(path)  # sends nothing
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except LinkError:
        raise
    except OSError:  # one of another type, or of another user
        return False
    return False


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the directory of `path` against others that do the same."""
    with contextlib.ExitStack() as undo:
        try:
            directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # noqa: PTH120
            undo.callback(os.close, directory)
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"another process is making a socket beside {path}: try again"
            raise LinkError(errno.EADDRINUSE, text) from error
        except OSError as error:
            raise _bind_error(path, error) from error
        yield


def _in_use(name: str) -> LinkError:
    return LinkError(
        errno.EADDRINUSE, f"{name} is in use: choose another name, or see who holds it with ss -xlp | grep {name}"
    )


def _bind_error(name: str, error: OSError) -> LinkError:
    number = error.errno or errno.EIO
    advice = {
        errno.ENOENT: "its directory does not exist",
        errno.EACCES: "its directory is not ours to write to",
    }
    return LinkError(number, f"no socket can be made at {name}: {advice.get(number, error.strerror)}")

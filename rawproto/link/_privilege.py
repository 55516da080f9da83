"""The one text for the kernel's refusal of raw access: what is missing and three ways to get it."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

from rawproto.errors import PrivilegeError

__all__ = ["privilege_error"]


def privilege_error(what: str, capability: str = "CAP_NET_RAW") -> PrivilegeError:
    """Give the PrivilegeError (EPERM) to raise when `what` was refused for want of `capability`."""
    interpreter = Path(sys.executable).resolve()  # setcap refuses a symbolic link, such as a venv's
    return PrivilegeError(
        errno.EPERM,
        f"{what} needs {capability}: run as root (sudo), or give it to the interpreter "
        f"(sudo setcap {capability.lower()}+ep {interpreter}), or use a user namespace (unshare -Urn)",
    )

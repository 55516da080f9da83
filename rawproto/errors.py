"""The exception tree. It stands at the bottom: every layer may import it, it imports nothing.

    RawprotoError
    ├── WireError (ValueError)          what was asked for can't be put into bytes
    ├── CaptureError (ValueError)       a capture file is not what it says it is
    │   └── ReplayMismatchError              a replay answered otherwise than the recording
    ├── ConfigError (ValueError)        an option has a value that can't work
    ├── LinkError (OSError)             a link can't be opened or used
    │   └── PrivilegeError (PermissionError)
    │                                   the kernel refused for want of a capability; the text says what to do
    └── ProtocolError                   the application asked for what the connection's state does not allow

Nothing here is raised for bytes that arrive: those are parsed into problems (wire) or counted by reason
(transport). The sockets layer raises what the standard library raises.
"""

__all__ = [
    "CaptureError",
    "ConfigError",
    "LinkError",
    "PrivilegeError",
    "ProtocolError",
    "RawprotoError",
    "ReplayMismatchError",
    "WireError",
]


class RawprotoError(Exception):
    """The root of all that rawproto raises of its own."""


class WireError(RawprotoError, ValueError):
    """A header field can't hold the value it was given. The text names layer, field and range."""


class CaptureError(RawprotoError, ValueError):
    """A capture can't be read on. The text names the file offset and what was expected there."""


class ReplayMismatchError(CaptureError):
    """A replayed endpoint answered otherwise than the recording; the text shows the first difference."""


class ConfigError(RawprotoError, ValueError):
    """An option has a value that can't work. The text names the option and its range."""


class LinkError(RawprotoError, OSError):
    """A link can't be opened or used. `errno` is the kernel's, the text says what to do."""


class PrivilegeError(LinkError, PermissionError):
    """The kernel refused for want of a capability. The text names it and the ways to get it."""


class ProtocolError(RawprotoError):
    """The application asked for what the connection's state does not allow."""

"""Packets written out as in Python, read without running anything: what the command line takes.

    parse_expression('Ethernet() / IPv4(dst="10.0.0.2") / TCP(dport=80, flags=SYN | ACK) / b"hello" * 100')

The text is parsed into Python's syntax tree, and of that only what is listed here is understood: the headers, options
and flags of `wire`, calls of them, literals, `/ | + - *`, and `bytes(n)` and `bytes.fromhex(text)`. Everything else is
an error that names what is wrong and in which column. How much a text can ask for is bounded.

In a field's own place its flags need no prefix (`flags=SYN`), and text stands for flags ("SYN|ACK", or the letters
"SA") and for numbers that have a name (`dport="http"`). `*` binds closer than `/`, so that a payload can be repeated.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from enum import IntFlag
from functools import cache
from typing import Any

from rawproto.errors import WireError
from rawproto.wire.field import Field
from rawproto.wire.header import Header
from rawproto.wire.options import Option
from rawproto.wire.packet import Packet

__all__ = ["parse_expression"]

LONGEST_TEXT = 300_000
"""Characters: the largest IP packet as a bytes literal in hexadecimal, and room for its headers."""
MOST_BYTES = 262_144
"""Of a payload, and of anything on the way to it: as much as a frame in a capture may have."""
MOST_BITS = 256
"""Of a number: twice the widest field."""
FUNCTIONS = frozenset({"multicast_mac", "solicited_node", "source_link_address", "target_link_address"})
"""Functions of `wire` that may be called: each gives an address or an option."""
UNDERSTOOD = "a packet is made of headers, options, flags, numbers, text, bytes and / | + - *"
ELSEWHERE = {"Dot1Q": "VLAN", "Dot3": "Ethernet", "Ether": "Ethernet", "IP": "IPv4", "Raw": "bytes, b'...'"}
"""What scapy calls them."""
WRONG_VALUE = (WireError, TypeError, ValueError, OverflowError, AttributeError)
"""What headers and options raise for values that they can't take."""


def parse_expression(text: str) -> Packet:
    """The packet that `text` writes out; a single header, and bytes alone, are packets too.

    Raises WireError: "column 23: TCP has no field dprot; did you mean dport?".
    """
    if len(text) > LONGEST_TEXT:
        raise WireError(f"a packet of {len(text)} characters is too long to read: at most {LONGEST_TEXT}")
    reader = _Reader(" ".join(text.splitlines()))
    try:
        value = reader.read()
    except (RecursionError, MemoryError):
        raise WireError("the packet is nested too deeply to read") from None
    if isinstance(value, Header):
        value = Packet((value,))
    elif isinstance(value, bytes):
        value = Packet((), value)
    if not isinstance(value, Packet):
        raise WireError(f"column 1: {_kind(value)} is no packet: {UNDERSTOOD}")
    bytes(value)  # what can't be built is said here
    return value


@cache
def _scope() -> dict[str, Any]:
    """What may be named: all that the modules of headers and options make public and that is one of these."""
    kinds = [*_subclasses(Header), *_subclasses(Option)]
    modules = sorted({kind.__module__ for kind in kinds if kind.__module__.startswith("rawproto.wire.")})
    found = {name: getattr(sys.modules[module], name) for module in modules for name in sys.modules[module].__all__}
    return {name: value for name, value in found.items() if _may_be_named(name, value)}


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    below: type[Any]
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)


def _may_be_named(name: str, value: Any) -> bool:
    if not isinstance(value, type):
        return name in FUNCTIONS
    return issubclass(value, (Header, IntFlag)) or (is_dataclass(value) and hasattr(value, "__bytes__"))


class _Reader:
    """Works out the value of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.indent = len(text) - len(text.lstrip())

    def read(self) -> Any:
        """The value of the whole."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in strings, which mean what they mean
                tree = ast.parse(self.text.strip(), mode="eval")
        except SyntaxError as error:
            column = (error.offset or 1) + self.indent
            raise WireError(f"column {column}: {error.msg}") from None
        except ValueError as error:  # a null character, a number of thousands of digits
            raise WireError(f"the packet can't be read: {error}") from None
        return self.value(tree.body)

    def wrong(self, node: ast.AST, text: str) -> WireError:
        """The error to raise about what stands at `node`."""
        before = self.text.lstrip().encode()[: getattr(node, "col_offset", 0)]
        return WireError(f"column {len(before.decode()) + self.indent + 1}: {text}")

    def value(self, node: ast.expr, row: Field | None = None) -> Any:
        """What `node` stands for; `row` is the field that it is given to."""
        found: Any
        match node:
            case ast.Constant(value=str() | bytes() | int() | None as constant):
                found = self.constant(node, constant, row)
            case ast.Name(id=name):
                found = self.name(node, name, row)
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                found = self.member(node, owner, name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                found = tuple(self.value(part) for part in parts)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                found = self.join(node, ast.Sub(), 0, self.value(operand))
            case ast.BinOp(left=ast.BinOp(left=left, op=ast.Div(), right=middle), op=ast.Mult(), right=right):
                # Python takes the two from left to right, and has no meaning for a packet times a number.
                repeated = ast.copy_location(ast.BinOp(middle, ast.Mult(), right), middle)
                found = self.join(node, ast.Div(), self.value(left), self.value(repeated))
            case ast.BinOp(left=left, op=op, right=right):
                found = self.join(node, op, self.value(left, row), self.value(right, row))
            case ast.Call():
                found = self.call(node)
            case _:
                raise self.wrong(node, f"this can't stand here: {UNDERSTOOD}")
        return found

    def constant(self, node: ast.expr, value: Any, row: Field | None) -> Any:
        """A literal; text in the place of a number is looked up in the field's names."""
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise self.wrong(node, f"the number is too large: no field has more than {MOST_BITS // 2} bits")
        if not isinstance(value, str) or row is None or row.pack is not None or row.names is None:
            return value
        number = _from_letters(value, row.names) if isinstance(row.names, type) else _from_name(value, row.names)
        if number is None:
            known = row.names.__members__ if isinstance(row.names, type) else row.names.values()
            raise self.wrong(node, f"{row.name} has no value called {value!r}{_nearest(value, known)}")
        return number

    def name(self, node: ast.expr, name: str, row: Field | None) -> Any:
        """A bare name: a flag of the field that it is given to."""
        flags = row.names.__members__ if row is not None and isinstance(row.names, type) else {}
        if name in flags:
            return int(flags[name])
        if name in _scope():
            raise self.wrong(node, f"{name} alone is no value: write {name}{'.NAME' if _is_flags(name) else '()'}")
        raise self.wrong(node, f"{name} is not known here{_nearest(name, [*flags, *_scope()])}")

    def member(self, node: ast.expr, owner: str, name: str) -> Any:
        """One flag by its full name."""
        if not _is_flags(owner):
            raise self.wrong(node, f"{owner}.{name} is not known here: {UNDERSTOOD}")
        flags = _scope()[owner].__members__
        if name not in flags:
            raise self.wrong(node, f"{owner} has no flag {name}{_nearest(name, flags)}")
        return int(flags[name])

    def join(self, node: ast.expr, op: ast.operator, left: Any, right: Any) -> Any:
        """Two values and what stands between them."""
        try:
            match op, left, right:
                case ast.Div(), Header() | Packet(), Header() | Packet() | bytes():
                    return left / right
                case ast.BitOr(), int(), int():
                    return left | right
                case ast.Add(), bytes(), bytes():
                    return self.bounded(node, len(left) + len(right)) and left + right
                case (ast.Mult(), bytes() as data, int() as times) | (ast.Mult(), int() as times, bytes() as data):
                    return self.bounded(node, len(data) * times) and data * times
                case ast.Mult() | ast.Add() | ast.Sub(), int(), int():
                    number = {ast.Mult: int.__mul__, ast.Add: int.__add__, ast.Sub: int.__sub__}[type(op)](left, right)
                    return self.constant(node, number, None)
        except WireError as error:
            raise error if str(error).startswith("column ") else self.wrong(node, str(error)) from None
        hint = ": text on the wire is bytes, b'...'" if isinstance(right, str) and isinstance(op, ast.Div) else ""
        raise self.wrong(node, f"{_kind(left)} and {_kind(right)} can't be joined like this{hint}")

    def bounded(self, node: ast.AST, length: int) -> bool:
        """True, if so many bytes may be asked for."""
        if length > MOST_BYTES:
            raise self.wrong(node, f"{length} bytes are too many: at most {MOST_BYTES}")
        return True

    def call(self, node: ast.Call) -> Any:
        """A header, an option, a packet, or bytes."""
        match node:
            case ast.Call(func=ast.Name(id="bytes"), args=[_], keywords=[]):
                count = self.value(node.args[0])
                if not isinstance(count, int) or count < 0:
                    raise self.wrong(node.args[0], "bytes(n) takes the number of zeros")
                return self.bounded(node, count) and bytes(count)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="bytes"), attr="fromhex"), args=[_], keywords=[]):
                return self.build(node, bytes.fromhex, [self.value(node.args[0])], {})
            case ast.Call(func=ast.Name(id="Packet")):
                return self.build(node, _packet, *self.arguments(node, None))
            case ast.Call(func=ast.Name(id=name)) if name in _scope() and not _is_flags(name):
                kind = _scope()[name]
                if isinstance(kind, type) and issubclass(kind, Header):
                    return self.header(node, kind)
                return self.option(node, name, kind)
            case ast.Call(func=ast.Name(id=name)):
                raise self.wrong(node, f"there is no {name}(){_nearest(name, [*_scope(), 'Packet', 'bytes'])}")
        raise self.wrong(node, f"this can't be called: {UNDERSTOOD}")

    def arguments(self, node: ast.Call, rows: Mapping[str, Field] | None) -> tuple[list[Any], dict[str, Any]]:
        """The values that a call is given, by position and by name."""
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in named:
                raise self.wrong(keyword, f"{keyword.arg} is given twice" if keyword.arg else "** can't stand here")
            named[keyword.arg] = self.value(keyword.value, None if rows is None else rows.get(keyword.arg))
        return [self.value(argument) for argument in node.args], named

    def header(self, node: ast.Call, kind: type[Header]) -> Header:
        """A header from its fields."""
        rows = {row.name: row for row in kind.fields}
        if node.args:
            example = f"{kind.__name__}({next(iter(rows), '')}=...)"
            raise self.wrong(node.args[0], f"{kind.__name__} takes its fields by name, as in {example}")
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in rows:
                raise self.wrong(keyword, f"{kind.__name__} has no field {keyword.arg}{_nearest(keyword.arg, rows)}")
        _, named = self.arguments(node, rows)
        for keyword in node.keywords:
            self.build(keyword, kind, [], {keyword.arg or "": named[keyword.arg or ""]})  # which one is wrong?
        header: Header = self.build(node, kind, [], named)
        return header

    def option(self, node: ast.Call, name: str, kind: Callable[..., Any]) -> Any:
        """An option, or what one of the functions gives."""
        positional, named = self.arguments(node, None)
        known = [row.name for row in fields(kind)] if isinstance(kind, type) and is_dataclass(kind) else []
        for keyword in node.keywords:
            if known and keyword.arg not in known:
                raise self.wrong(keyword, f"{name} has no {keyword.arg}{_nearest(keyword.arg or '', known)}")
        value = self.build(node, kind, positional, named)
        try:
            bytes(value)  # an option looks at its values only now
        except WRONG_VALUE as error:
            told = str(error) if isinstance(error, WireError) else f"{name}: a value does not fit"
            raise self.wrong(node, told) from None
        return value

    def build(self, node: ast.AST, make: Callable[..., Any], positional: list[Any], named: dict[str, Any]) -> Any:
        """Call `make`; its error with the column."""
        try:
            return make(*positional, **named)
        except WRONG_VALUE as error:
            text = re.sub(r"^[\w.]+\(\) ", "", " ".join(str(error).split()))  # what Python begins with: __init__()
            told = text if isinstance(error, WireError) else f"{make.__name__.strip('_')}: {text}"
            raise self.wrong(node, told) from None


def _packet(layers: Any = (), payload: Any = b"", trailer: Any = b"") -> Packet:
    """A packet as `repr` writes one that is a single header or has a trailer."""
    if not isinstance(layers, tuple) or not all(isinstance(layer, Header) for layer in layers):
        raise WireError("Packet: the first value is not a list of headers")
    if not isinstance(payload, bytes) or not isinstance(trailer, bytes):
        raise WireError("Packet: payload and trailer are bytes, b'...'")
    return Packet(layers, payload, trailer=trailer)


def _is_flags(name: str) -> bool:
    value = _scope().get(name)
    return isinstance(value, type) and issubclass(value, IntFlag)


def _from_letters(text: str, flags: type[IntFlag]) -> int | None:
    """Flags from "SYN|ACK", or from their first letters; None if that is not clear."""
    parts = [part.strip().upper() for part in text.replace("+", "|").split("|")]
    if all(part in flags.__members__ for part in parts):
        return sum({int(flags[part]) for part in parts})
    chosen = set()
    for letter in text.upper():
        meant = [flag for flag in flags if str(flag.name).startswith(letter)]
        if len(meant) != 1:
            return None
        chosen.add(int(meant[0]))
    return sum(chosen)


def _from_name(text: str, names: Mapping[int, str]) -> int | None:
    return next((number for number, name in names.items() if name.lower() == text.strip().lower()), None)


def _nearest(name: str, known: Any) -> str:
    """A question whether the nearest of `known` was meant, or nothing."""
    if name in ELSEWHERE:
        return f"; here that is {ELSEWHERE[name]}"
    by_lower = {str(other).lower(): str(other) for other in known}
    found = get_close_matches(name.lower(), by_lower, 1, 0.65)
    return f"; did you mean {by_lower[found[0]]}?" if found else ""


def _kind(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, (Header, Packet)):
        return type(value).__name__
    names = {int: "a number", str: "text", bytes: "bytes", tuple: "a list", type(None): "None"}
    return names.get(type(value), type(value).__name__)

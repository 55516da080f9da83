"""Bytes to headers and back. Pure: no clock, no socket, no file, no randomness.

May import only `errors`. Building raises `WireError` for what can't be represented; parsing never raises.
Nothing is imported here: the engine takes `wire.rdt_format` without the machinery of the headers.
"""

"""The reliable transport: a sans-I/O engine. Pure: no clock, no socket, no thread, no randomness of its own.

May import `wire` and `errors`. Time is an int of nanoseconds passed in, randomness is a `random.Random` passed
in, and it never logs: it appends to a Trace when one is attached.
"""

"""Recorded frames: pcap and pcapng with integer nanoseconds, streamed, and the replay of a recording.

May import `wire` and `errors`; never `transport` or `link`, which are its siblings.
"""

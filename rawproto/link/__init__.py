"""Things that move frames: real, in memory, and wrappers that impair or record another link.

May import `wire` and `errors`; never `transport` or `capture`, which are its siblings. Only the real links
touch the operating system, and none of them asks what time it is.
"""

"""Berkeley sockets over the engine: the only place with a real clock, a poller and threads.

May import `transport`, `link`, `capture` and what stands below them; never `sim`, its sibling.
"""

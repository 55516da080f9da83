"""Virtual time: hosts on simulated networks, with the very engine and links that run on a real wire.

May import `transport`, `link`, `capture` and what stands below them; never `sockets`, its sibling. A run is a
function of its scenario and its seed.
"""

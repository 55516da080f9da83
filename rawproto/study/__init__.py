"""Looking at what a run did: guarantees checked from outside, ladders, reports. Everything here is derived from
Trace and Frame.

May import all layers to its right; nothing here asks what time it is.
"""

"""The scenarios of the simulator once more, over a real veth and in real time: the same guarantees, other figures?

Both hosts run in this process, in threads, each in a network namespace of its own. Needs the privilege to make those,
as `rawproto.link.netns.Lab` does.
"""

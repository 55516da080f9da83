"""For people's tests: replaying captures, endpoints in virtual time, the pytest plugin.

May import everything but `cli`.
"""

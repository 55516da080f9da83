"""Congestion control: how much may be in flight. One class a file, behind one small interface and a registry."""

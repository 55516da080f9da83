"""Handmade frames on a real wire, and a readable reliable transport on top of them."""

__version__ = "0.1.0"

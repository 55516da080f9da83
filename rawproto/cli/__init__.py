"""The command line: one file a verb. May import everything; nothing imports it."""

"""Whether a test turns red when a line is broken: the modules behind scripts/mutants."""

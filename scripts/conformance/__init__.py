"""Which test holds which requirement: the modules behind scripts/clauses."""

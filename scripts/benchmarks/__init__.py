"""The suites of scripts/bench: one module a suite, each with a function `rows` that measures us and our peers."""

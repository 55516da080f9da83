"""With everything on, nothing breaks: many mixed faults, every drop pattern, every order, numbers that wrap."""

"""One module a verb, found by its name: `run(options) -> exit code`. What they share is in _given.py."""

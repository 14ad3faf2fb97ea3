"""One module per verb, found by its name: `run(options) -> exit code`."""

"""Reports: one Report for each run, and pure functions from it to text."""

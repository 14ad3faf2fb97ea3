"""From the log of a failure to its cause and fix: reader, signals, causes, rank, fixes."""

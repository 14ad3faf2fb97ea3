"""The output of a run: for a terminal, a log and a program."""

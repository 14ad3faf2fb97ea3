"""What a person at a terminal, a log and a program see of a run."""

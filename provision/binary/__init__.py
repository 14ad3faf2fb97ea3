"""The contents of compiled files and installed distributions, read from their bytes."""

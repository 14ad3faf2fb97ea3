"""Checks, one per file: each tries one claim about an environment or a host, isolated."""

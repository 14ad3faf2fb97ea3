"""One claim about an environment or a host per file, each tried on its own in the interpreter under test."""

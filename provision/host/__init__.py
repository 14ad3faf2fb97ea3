"""What is here: one fact per file, each a declared source and a pure parser."""

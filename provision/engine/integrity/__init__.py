"""Compare an environment with its RECORD files and manifest, and repair what differs."""

"""The planner: one pure chooser per file; `make.py` joins them into a plan."""

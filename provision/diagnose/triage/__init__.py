"""Thirty seconds on a broken host: read-only, without a network, with any Python from 3.6.

Nothing here imports the rest of the project, or any package: `setup.sh triage` starts it before it
looks at .venv. `causes.json` is generated from the files of causes.
"""

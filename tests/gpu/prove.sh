#!/usr/bin/env bash
# Proves the checks on a host with a GPU, offline, with nothing but a Python that has torch.
# Usage: tests/gpu/prove.sh OUT [--part 1|2|both] [--python EXE] [--packed FOLDER]; see README.md.
set -euo pipefail
here=$(CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "${PYTHON:-python3}" -B "$here/prove.py" "$@"

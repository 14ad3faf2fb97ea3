"""Read 20,000 mutated pastes, and print each fact that a mutation added.

`PYTHON benchmarks/pastes.py` needs the Python of the tests; nothing here uses the network.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.host import mutated


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    options = parser.parse_args()
    began, found = time.monotonic(), 0
    for text, changed in mutated.mutated(options.texts, seed=-1):
        for fault in mutated.faults(text, changed):
            found += 1
            print(fault)
    seconds = time.monotonic() - began
    print(f"{options.texts} texts in {seconds:.0f} s: {found} faults")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

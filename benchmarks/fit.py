"""Compare `fit` with what vLLM printed in the recorded runs: errors per group, and every miss.

Each group of runs counts once, however many runs it has. Nothing here uses a GPU or the network.
The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fit import compare

if __name__ == "__main__":
    met, lines = compare.everything()
    print("\n".join(lines))
    sys.exit(0 if met else 1)

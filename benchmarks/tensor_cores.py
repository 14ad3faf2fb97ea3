"""Judge simulated tensor cores by every numeric bound, with 20 seeds and full sizes.

`PYTHON benchmarks/tensor_cores.py` needs a Python with torch; of vLLM it needs nothing. It prints
the largest part of each bound that a sound kernel took, and the planted faults that passed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from checks import matmul  # noqa: E402 - finds its own tree first
from tests.checks import tensor_core_cases as cases  # noqa: E402
from tests.gpu import page  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--full-products", type=int, default=1, help="seeds with full products")
    options = parser.parse_args()
    torch: Any = importlib.import_module("torch")

    full, seed_with, began = matmul._SHAPES, torch.manual_seed, time.monotonic()  # noqa: SLF001 - its sizes are changed here
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    wrong: list[str] = []
    for seed in range(options.seeds):
        torch.manual_seed = lambda _, seed=seed: seed_with(seed)  # checks take seed 0 themselves
        matmul._SHAPES = full if seed < options.full_products else cases.SMALL_PRODUCTS  # noqa: SLF001
        for bits, core in cases.cores(torch).items():
            for name, judge in cases.sound(torch, core, tuple(options.widths)):
                problem, evidence = judge()
                shares[bits, name].append(page.worst(evidence))
                wrong += [f"seed {seed}, {bits}: {name}: {problem}"] if problem else []
            wrong += [
                f"seed {seed}, {bits}: {name} passed"
                for name, judge in cases.faulty(torch, core)
                if not judge()[0]
            ]
        print(f"seed {seed} after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    report(shares, wrong, options.seeds)


def report(shares: dict[tuple[str, str], list[float]], wrong: list[str], seeds: int) -> None:
    print(f"\n{seeds} seeds; the largest part of a bound that a sound kernel took\n")
    print("| kernel | bits kept | largest | smallest |\n|---|---|---|---|")
    for (bits, name), values in sorted(shares.items(), key=lambda row: row[0][::-1]):
        print(f"| {name} | {bits} | {max(values):.2f} | {min(values):.2f} |")
    print("\nfalse verdicts: " + ("none" if not wrong else ""))
    for line in wrong:
        print(f"* {line}")


if __name__ == "__main__":
    main()

"""Fit the coefficients of activation and CUDA graphs over the recorded runs, and print the errors.

For every row of `memory_use.jsonl` the errors of its own coefficients are printed, and, where there
are enough runs, those of a least-squares fit: in the sample, and with each run predicted by the
fit over all others. It changes nothing: whoever edits a row copies the figures from here.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provision.fit import defaults
from provision.fit._model import GIB
from provision.fit.weights import BYTES
from tests.fit import compare, runs

ENOUGH = 8

Row = tuple[list[float], float]


def solve(rows: Sequence[Row]) -> list[float]:
    """Return the least-squares coefficients (Gaussian elimination on the normal equations)."""
    size = len(rows[0][0])
    matrix = [
        [sum(x[i] * x[j] for x, _ in rows) for j in range(size)] + [sum(x[i] * y for x, y in rows)]
        for i in range(size)
    ]
    for i in range(size):
        matrix[i][i] += 1e-9  # a column that never varies takes no part
        pivot = matrix[i][i]
        matrix[i] = [value / pivot for value in matrix[i]]
        for j in range(size):
            if j != i:
                factor = matrix[j][i]
                matrix[j] = [a - factor * b for a, b in zip(matrix[j], matrix[i], strict=True)]
    return [row[-1] for row in matrix]


def errors(rows: Sequence[Row], coefficients: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(x, coefficients, strict=True)) - y for x, y in rows]


def left_out(rows: Sequence[Row]) -> list[float]:
    """Return the error of each run under the fit over all others."""
    return [errors([row], solve([*rows[:i], *rows[i + 1 :]]))[0] for i, row in enumerate(rows)]


def said(what: str, values: Sequence[float]) -> str:
    sizes = [abs(value) for value in values]
    return (
        f"    {what}: mean {statistics.mean(sizes):.3f} GiB, largest {max(sizes):.3f} GiB"
        f" over {len(sizes)} runs"
    )


def study(title: str, rows: list[Row], own: Sequence[float]) -> list[str]:
    """Return the errors of the row's coefficients, and of a fit over these runs."""
    if not rows:
        return []
    lines = [
        f"  {title}: {', '.join(f'{value:g}' for value in own)}",
        said("as in the catalogue", errors(rows, own)),
    ]
    if len(rows) >= ENOUGH:
        fitted = solve(rows)
        lines += [
            f"    fitted: {', '.join(f'{value:.3f}' for value in fitted)}",
            said("fitted, in the sample", errors(rows, fitted)),
            said("fitted, each left out", left_out(rows)),
        ]
    return lines


def samples(cases: Sequence[compare.Case]) -> tuple[list[Row], list[Row]]:
    """Return what explains activation and graphs in these runs, each with the printed figure."""
    activation, graphs = [], []
    for run, sized in cases:
        model, settings, printed = runs.model(run["model"]), sized.settings, run["printed"]
        alone = sized.layout.pipeline == 1 and not run.get("gib_of_other_rank")
        alone = alone and not (model.experts or model.vision)
        if "activation_gib" in printed and alone:
            width = BYTES[settings.dtype] / GIB
            logits = settings.max_num_seqs * model.vocabulary * 4 / GIB
            hidden = settings.max_num_batched_tokens * model.hidden * width
            activation.append(([logits, hidden, 1.0], printed["activation_gib"]))
        if printed.get("cuda_graph_gib", 0) > 0:
            layers = len(model.layers) / sized.layout.pipeline
            graphs.append(([1.0, layers, float(bool(model.experts))], printed["cuda_graph_gib"]))
    return activation, graphs


def lines() -> list[str]:
    """Return the study of every row."""
    table = runs.CATALOGUE.memory_use
    known = [case for case in compare.cases() if not case[0].get("config_unknown")]
    result = []
    for use in table:
        own = [case for case in known if defaults.row(table, case[0]["vllm"]) is use]
        activation, graphs = samples(own)
        result += [
            f"from vLLM {use.version}: {len(own)} runs",
            *study(
                "activation by logits, tokens, constant",
                activation,
                (use.logits, use.tokens, use.constant),
            ),
            *study(
                "graphs by constant, layers, experts",
                graphs,
                (use.graph, use.graph_layer, use.graph_experts),
            ),
        ]
    return result


if __name__ == "__main__":
    print("\n".join(lines()))

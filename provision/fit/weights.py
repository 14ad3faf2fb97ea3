"""The memory that the weights of a model take on one rank of a pipeline stage."""

from __future__ import annotations

import math

import msgspec

from provision.fit import quantisation
from provision.fit._model import GIB, Interval, Layer, Matrix, Model, Quantisation

BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4, "float64": 4}
# Buffers, the work spaces of kernels and rounding that no matrix names: a share of the weights.
_SPREAD = 0.008


def stages(layers: int, count: int) -> list[int]:
    """Return the number of layers on each pipeline stage, as vLLM divides them.

    Remaining layers go to the last stages before the very last, which also holds the head.
    """
    result = [layers // count] * count
    for i in range(2, layers % count + 2):
        result[-i] += 1
    return result


def of_rank(
    model: Model,
    scheme: Quantisation | None,
    dtype: str,
    tensor: int = 1,
    pipeline: int = 1,
    stage: int = 0,
    *,
    experts_apart: int = 1,
    replicas: int = 1,
    with_vision: bool = True,
) -> Interval:
    """Return the GiB of the weights on one rank of this stage.

    `experts_apart` is the number of ranks that share the experts whole (expert parallelism),
    `replicas` the number of data-parallel ranks.
    """
    width = BYTES.get(dtype, 2)
    matrices = [m for layer in layers_of(model, pipeline, stage) for m in layer.matrices]
    if stage == 0:
        matrices += [*model.first, *(model.vision if with_vision else ())]
    elif model.tied and stage == pipeline - 1:
        matrices += model.first[:1]  # the last stage has its own copy of a tied embedding
    if stage == pipeline - 1:
        matrices += [m for m in model.last if not (model.tied and m.name == "lm_head")]
    total = model.rotary * width + model.stored * sum(
        _bytes(matrix, scheme, width, tensor, experts_apart, replicas) for matrix in matrices
    )
    share = _SPREAD + (scheme.spread if scheme else 0.0)
    return Interval.around(total, total * share).times(1 / GIB)


def of_adapters(
    model: Model, dtype: str, loras: int, rank: int, tensor: int, pipeline: int, stage: int
) -> Interval:
    """Return the GiB that vLLM reserves for LoRA adapters beside every linear layer of a rank.

    Of the two factors of an adapter, tensor parallelism divides the one that lies along the cut.
    """
    total = 0.0
    for layer in layers_of(model, pipeline, stage):
        for matrix in layer.matrices:
            if matrix.quantised and not matrix.expert:
                rows = matrix.rows / (tensor if matrix.split == "rows" else 1)
                columns = matrix.columns / (tensor if matrix.split == "columns" else 1)
                total += loras * rank * (rows + columns) * BYTES.get(dtype, 2)
    return Interval.around(total, 0.2 * total).times(1 / GIB)


def on_disk(model: Model, dtype: str) -> float:
    """Return the bytes that the tensors of a checkpoint should have, in the served dtype."""
    scheme = model.quantisation
    if scheme is not None:
        scheme = msgspec.structs.replace(scheme, pad=(1, 1))  # kernels pad after loading
    last = [m for m in model.last if not (model.tied and m.name == "lm_head")]
    inside = [matrix for layer in model.layers for matrix in layer.matrices]
    return sum(
        _bytes(matrix, scheme, BYTES.get(dtype, 2))
        for matrix in (*inside, *model.first, *last, *model.vision)
        if not matrix.name.endswith(".absorbed")
    )


def layers_of(model: Model, pipeline: int, stage: int) -> tuple[Layer, ...]:
    counts = stages(len(model.layers), pipeline)
    first = sum(counts[:stage])
    return model.layers[first : first + counts[stage]]


def _bytes(
    matrix: Matrix,
    scheme: Quantisation | None,
    width: int,
    tensor: int = 1,
    experts_apart: int = 1,
    replicas: int = 1,
) -> float:
    rows, columns, copies = matrix.rows, matrix.columns, matrix.copies
    # Without expert parallelism the replicas of a mixture divide each expert among them, too.
    ranks = tensor * replicas if matrix.expert else tensor
    if matrix.expert and experts_apart > 1:
        copies = math.ceil(copies / experts_apart)
    elif matrix.split == "rows":
        rows = max(matrix.least, math.ceil(rows / ranks))
    elif matrix.split == "columns":
        columns = math.ceil(columns / ranks)
    if scheme is not None and quantisation.applies(scheme, matrix):
        if scheme.pad != (1, 1):
            rows, columns, copies = _for_padding(matrix, rows, columns, copies)
        return quantisation.bytes_of(scheme, rows, columns, copies)
    return rows * columns * copies * (matrix.dtype_bytes or width)


def _for_padding(matrix: Matrix, rows: int, columns: int, copies: int) -> tuple[int, int, int]:
    """Return inner size, hidden size and copies of an expert's matrix: the two pad differently."""
    if matrix.split == "columns":
        return columns, rows, copies
    parts = 2 if matrix.name.endswith("gate_up_proj") else 1
    return rows // parts, columns, copies * parts

"""The rules by which vLLM refuses a run before or while it loads a model, per release."""

from __future__ import annotations

from typing import Literal

import msgspec
from packaging.version import Version

from provision.catalog.rows import Catalogue
from provision.catalog.serving import ArchitectureChange
from provision.fit import quantisation
from provision.fit._model import Device, Matrix, Model, Quantisation, Request
from provision.fit.defaults import NOT_IN_FLOAT16, Settings
from provision.fit.weights import stages

Native = Literal["native", "weight-only", "refused"]

_BF16 = (8, 0)
_FIRST_FALLBACK = Version("0.9.1")  # from here on dtype auto falls back, and float16 is checked
# Capability that a scheme needs at all, and from which its own kernels run (else weights alone are
# kept in it); read in `get_min_capability` of 0.32 and of the kernels that it falls back to.
_CAPABILITY: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "fp8": ((7, 5), (8, 9)),
    "ct-fp8": ((7, 5), (8, 9)),
    "fp8-weight-only": ((7, 5), (7, 5)),
    "modelopt-fp8": ((8, 0), (8, 9)),
    "int8-a8": ((7, 5), (7, 5)),
    "w4a8-fp8": ((9, 0), (9, 0)),
    "nvfp4": ((7, 5), (10, 0)),
    "mxfp4": ((8, 0), (10, 0)),
    "bnb-nf4": ((7, 0), (7, 0)),
    "bnb-int8": ((7, 0), (7, 0)),
    "w8a16": ((7, 5), (7, 5)),
    "fp_quant": ((10, 0), (10, 0)),
}
_BY_METHOD: dict[str, tuple[int, int]] = {
    "gptq": (6, 0),
    "awq": (7, 5),
    "compressed-tensors": (7, 5),
}
# Before these releases a scheme needed more.
_OLDER: tuple[tuple[str, Version, tuple[int, int]], ...] = (
    ("fp8", Version("0.28.0"), (8, 0)),
    ("ct-fp8", Version("0.28.0"), (8, 0)),
    ("nvfp4", Version("0.9.0"), (10, 0)),
)
_FIRST_FORMAT = {"mxfp4": Version("0.10.1"), "nvfp4": Version("0.8.0")}


class Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of the rules on a layout: reasons to refuse, and how the format runs."""

    reasons: tuple[str, ...]
    native: Native = "native"


def judge(
    model: Model,
    scheme: Quantisation | None,
    settings: Settings,
    device: Device,
    request: Request,
    catalogue: Catalogue,
    tensor: int,
    pipeline: int,
) -> Ruled:
    """Return every reason against this layout."""
    version = Version(settings.vllm)
    native, unfit = _format(scheme, device, version)
    reasons = (
        architecture(model, settings.vllm, catalogue.architectures)[0],
        *_divisions(model, scheme, request, tensor, pipeline, device),
        *unfit,
        _dtype(model, settings, device, request, version),
        _length(model, settings),
        _caching(settings, device, model),
    )
    return Ruled(reasons=tuple(filter(None, reasons)), native=native)


def architecture(
    model: Model, version: str, changes: tuple[ArchitectureChange, ...]
) -> tuple[str, str]:
    """Return why a release cannot serve this architecture, and what else is worth saying of it."""
    name = model.architecture
    added = next((row.version for row in changes if name in row.added), None)
    if added is None and name == model.model_type:
        return "", "the config names no architecture, so nothing says which release serves it"
    if added is None:
        return f"no release of vLLM that is known here has {name} in its registry", ""
    if added != changes[0].version and Version(version) < Version(added):
        return f"{name} needs vLLM {added} or newer, and this is {version}", ""
    removed = next((row.version for row in changes if name in row.removed), None)
    if removed and Version(version) >= Version(removed):
        return (
            "",
            f"vLLM {removed} took {name} out of its registry; it may run through Transformers",
        )
    return "", ""


def _divisions(
    model: Model,
    scheme: Quantisation | None,
    request: Request,
    tensor: int,
    pipeline: int,
    device: Device,
) -> list[str]:
    reasons = []
    if "MIG" in device.name and tensor * pipeline > 1:
        reasons.append("MIG slices cannot work together: serve one replica on each slice")
    if model.heads % tensor:
        reasons.append(f"{model.heads} attention heads are not divisible by TP {tensor}")
    kv_heads = model.kv_heads
    if kv_heads and not model.is_mla and kv_heads % tensor and tensor % kv_heads:
        reasons.append(f"{kv_heads} heads of keys and values and TP {tensor} do not divide")
    padded = -(-model.vocabulary // 64) * 64
    if padded % tensor:
        reasons.append(f"the padded vocabulary of {padded} is not divisible by TP {tensor}")
    if pipeline > len(model.layers) or not min(stages(len(model.layers), pipeline)):
        reasons.append(f"{len(model.layers)} layers cannot fill PP {pipeline}")
    if scheme is not None:
        reasons += _blocks(model, scheme, request, tensor)
    return reasons


def _blocks(model: Model, scheme: Quantisation, request: Request, tensor: int) -> list[str]:
    """Return where a rank's part of a matrix is no multiple of the block that shares a scale."""
    tall, wide = scheme.block
    if tensor == 1 or not (tall or wide) or scheme.pad != (1, 1):
        return []
    for layer in model.layers:
        for matrix in layer.matrices:
            if not quantisation.applies(scheme, matrix) or (
                matrix.expert and request.expert_parallel
            ):
                continue
            whole = matrix.rows // 2 if "gate_up" in matrix.name else matrix.rows
            rows = max(matrix.least, whole // tensor)
            columns = matrix.columns // tensor
            if matrix.split == "rows" and tall and rows % tall and matrix.least == 1:
                return [_no_multiple(matrix, "output_size", rows, "block_n", tall)]
            if matrix.split == "columns" and wide and columns % wide:
                return [_no_multiple(matrix, "input_size", columns, "block_k", wide)]
    return []


def _no_multiple(matrix: Matrix, side: str, size: int, block: str, multiple: int) -> str:
    cure = "expert parallelism or a smaller TP" if matrix.expert else "a smaller TP"
    return (
        f"{matrix.name}: {side} {size} on each rank is not divisible by {block} = {multiple};"
        f" {cure} cures it"
    )


def _format(
    scheme: Quantisation | None, device: Device, version: Version
) -> tuple[Native, list[str]]:
    """Return how a format runs on this capability, and why it does not."""
    if scheme is None or device.capability is None:
        return "native", []
    least, own = _CAPABILITY.get(scheme.scheme, ((0, 0), (0, 0)))
    if least == (0, 0):
        least = own = next(
            (need for name, need in _BY_METHOD.items() if scheme.method.startswith(name)), (7, 0)
        )
    for name, until, needed in _OLDER:
        if scheme.scheme == name and version < until:
            least = max(least, needed)
    first = _FIRST_FORMAT.get(scheme.scheme)
    if first and version < first:
        return "refused", [f"{scheme.scheme} weights need vLLM {first} or newer"]
    if device.capability < least:
        wanted = f"{least[0]}.{least[1]}, and {device.name} has {device.cc}"
        return "refused", [f"{scheme.scheme} weights need compute capability {wanted}"]
    if device.capability < own:
        return "weight-only", []
    return "native", []


def _dtype(
    model: Model, settings: Settings, device: Device, request: Request, version: Version
) -> str:
    weak = device.capability is not None and device.capability < _BF16
    asked = request.dtype
    silent = asked == "auto" and model.dtype == "bfloat16" and version < _FIRST_FALLBACK
    if weak and (asked == "bfloat16" or (silent and request.judged)):
        return (
            f"bfloat16 needs compute capability 8.0, and {device.name} has {device.cc};"
            " --dtype half runs"
        )
    if (
        settings.dtype == "float16"
        and model.model_type in NOT_IN_FLOAT16
        and version >= _FIRST_FALLBACK
    ):
        return f"{model.model_type} is not served in float16; --dtype bfloat16 or float32 runs"
    return ""


def _length(model: Model, settings: Settings) -> str:
    if settings.max_model_len > model.positions:
        return (
            f"max_model_len {settings.max_model_len} is above the {model.positions} positions"
            " of the model"
        )
    if settings.max_num_batched_tokens < settings.max_num_seqs:
        return (
            f"max_num_batched_tokens {settings.max_num_batched_tokens} is below max_num_seqs"
            f" {settings.max_num_seqs}"
        )
    return ""


def _caching(settings: Settings, device: Device, model: Model) -> str:
    """Return why no backend takes an 8-bit cache here."""
    if not settings.kv_cache_dtype.startswith("fp8") or device.capability is None or model.is_mla:
        return ""
    if device.capability < (8, 0):
        return f"an fp8 KV cache has no backend below compute capability 8.0 ({device.cc})"
    if settings.kv_cache_dtype in ("fp8", "fp8_e4m3") and device.capability < (8, 9):
        return (
            f"an fp8 KV cache needs compute capability 8.9: Triton cannot compile e4m3 for"
            f" {device.cc}"
        )
    return ""

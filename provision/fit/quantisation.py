"""Weight formats: what a quantization_config says, and what a weight of that format takes."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

import msgspec

from provision.errors import UnreadableInput
from provision.fit._model import Matrix, Quantisation

_BF16 = {"none", "bf16", "bfloat16", "float16", "fp16"}
# What stays in the served dtype under a format that is applied while loading.
_RUNTIME = ("lm_head", "re:.*vision.*", "re:.*visual.*")
_LONGEST = 4096  # letters of a pattern; a longer one is no pattern of module names
# A repeated group that repeats something itself can take for ever; no publisher writes one.
_NESTED = re.compile(r"[*+}][^()]*\)+[*+{]")
_HINT = "compare it with the config.json of its publisher"


def read(config: dict[str, Any], where: str, model_type: str = "") -> Quantisation | None:
    """Return the format that a model's config declares; None for plain weights."""
    document = config.get("quantization_config")
    document = config.get("compression_config") if document is None else document
    if document is None:
        return None
    if not isinstance(document, dict):
        raise UnreadableInput("`quantization_config` is no object", where=where, hint=_HINT)
    method = str(document.get("quant_method") or document.get("quant_algo") or "").lower()
    if not method and "bits" in document:
        method = "gptq"
    left_out = _left_out(document)
    if method in ("fp8", "fbgemm_fp8"):
        return _fp8(document, left_out, method)
    if method in ("compressed-tensors", "compressed_tensors"):
        return _compressed(document, left_out, where)
    if method in ("awq", "awq_marlin", "gptq", "gptq_marlin", "auto-round", "auto_round"):
        return _grouped(document, left_out, method)
    if method.startswith("bitsandbytes"):
        return _bitsandbytes(document, left_out)
    if method == "mxfp4":
        return Quantisation(
            method="mxfp4",
            scheme="mxfp4",
            bits=4,
            scale_bytes=1 / 32,
            block=(0, 32),
            left_out=left_out,
            experts_only=model_type.startswith("gpt_oss") or not left_out,
            pad=(128, 256),
        )
    if method.startswith(("modelopt", "nvfp4")) or "nvfp4" in method:
        return _modelopt(document, left_out, method)
    if method == "gguf":
        return Quantisation(method="gguf", scheme="gguf", bits=4.8, spread=0.4)
    if method in _BF16:
        return None
    bits = document.get("bits") or document.get("num_bits")
    return Quantisation(
        method=method or "unknown",
        scheme=method or "unknown",
        bits=float(bits) if isinstance(bits, (int, float)) else 8.0,
        left_out=left_out,
        spread=0.3,
    )


def named(name: str) -> Quantisation | None:
    """Return the format that `--quantization NAME` means for a config that declares none.

    It is applied to plain weights while they load, or it is the usual form of a checkpoint.
    """
    if (scheme := at_load(name)) is not None:
        return scheme
    if name.startswith("compressed"):
        return None  # its form is known from its config only
    return read({"quantization_config": {"quant_method": name}}, "")


def at_load(name: str) -> Quantisation | None:
    """Return the format that a flag applies to plain weights while they load."""
    if name in ("fp8", "fp8_per_tensor", "ptpc_fp8"):
        return _fp8({}, _RUNTIME, "fp8")
    if name == "fp8_per_block":
        return _fp8({"weight_block_size": [128, 128]}, _RUNTIME, "fp8")
    if name == "bitsandbytes":
        return _bitsandbytes({"load_in_4bit": True}, _RUNTIME)
    if name == "experts_int8":
        return Quantisation(
            method="experts_int8", scheme="w8a16", bits=8, experts_only=True, left_out=_RUNTIME
        )
    return None


def for_release(
    scheme: Quantisation | None, *, older: bool, capability: tuple[int, int] | None
) -> Quantisation | None:
    """Return the format with the padding of the kernels that run it here.

    Marlin pads an expert's inner size to 128 and the hidden size to 256. Triton's layout on 9.0 and
    newer had in releases before 0.19 (`older`) the effect of 64 and 256, by two runs of about 0.11.
    """
    if scheme is None or scheme.scheme != "mxfp4":
        return scheme
    triton = older and capability is not None and capability >= (9, 0)
    return msgspec.structs.replace(scheme, pad=(64, 256)) if triton else scheme


def applies(scheme: Quantisation | None, matrix: Matrix) -> bool:
    """Return whether a format stores this matrix; what it leaves out stays in the served dtype."""
    if scheme is None or not matrix.quantised or (scheme.experts_only and not matrix.expert):
        return False
    return not any(_matches(pattern, matrix.name) for pattern in scheme.left_out)


def bytes_of(scheme: Quantisation, rows: int, columns: int, copies: int) -> float:
    """Return what a matrix takes in this format, with its scales and the padding of its kernel."""
    tall, wide = scheme.pad
    if tall > 1 or wide > 1:
        # The kernels of this format pad the inner size of an expert and the hidden size.
        rows, columns = _up(rows, tall), _up(columns, wide)
    per_row = 4 if scheme.block == (0, 0) and scheme.activation_bits == 8 else 0
    return copies * (rows * columns * (scheme.bits / 8 + scheme.scale_bytes) + rows * per_row)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _matches(pattern: str, name: str) -> bool:
    if len(pattern) > _LONGEST:
        return False
    if pattern.startswith("re:"):
        if _NESTED.search(pattern):
            return False
        try:
            return re.search(pattern[3:].lstrip("^"), name) is not None
        except re.error:
            return False
    bare = re.sub(r"^(model|language_model|text_model|transformer)\.", "", pattern)
    bare = re.sub(r"^(model|language_model)\.", "", bare)
    if "*" in bare:
        return fnmatch.fnmatchcase(name, bare) or fnmatch.fnmatchcase(name, f"{bare}.*")
    return f".{bare}." in f".{name}."


def _left_out(document: dict[str, Any]) -> tuple[str, ...]:
    """Return the modules that a format leaves out, under every name that publishers use."""
    names: list[str] = []
    for key in ("ignore", "modules_to_not_convert", "exclude_modules", "ignored_layers"):
        value = document.get(key)
        names += (
            [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
        )
    inner = document.get("quantization")
    if isinstance(inner, dict):
        names += _left_out(inner)
    return tuple(dict.fromkeys(names))


def _pair(value: object) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(i, int) for i in value):
        return value[0], value[1]
    return 0, 0


def _fp8(document: dict[str, Any], left_out: tuple[str, ...], method: str) -> Quantisation:
    block = _pair(document.get("weight_block_size"))
    return Quantisation(
        method=method,
        scheme="fp8",
        bits=8,
        block=block,
        scale_bytes=4 / (block[0] * block[1]) if all(block) else 0.0,
        activation_bits=8,
        left_out=left_out,
    )


def _grouped(document: dict[str, Any], left_out: tuple[str, ...], method: str) -> Quantisation:
    """Return AWQ or GPTQ: whole numbers of few bits with one scale for each group of inputs."""
    bits = document.get("bits") or document.get("w_bit") or 4
    group = document.get("group_size") or document.get("q_group_size") or 128
    bits = bits if isinstance(bits, int) and 1 <= bits <= 8 else 4
    size = group if isinstance(group, int) and group > 0 else 0
    # Both keep the packed zero points of the checkpoint, AWQ beside those of its kernel. That is
    # inferred from sizes of Qwen2.5 checkpoints in logs that were recalled, not read again.
    zeros = bits / 8 * (2 if method.startswith("awq") else 1)
    return Quantisation(
        method=method,
        scheme=f"w{bits}a16",
        bits=bits,
        block=(0, size),
        scale_bytes=(2 + zeros) / size if size else 0.0,
        left_out=(*left_out, "re:.*visual.*", "re:.*vision.*"),
    )


def _bitsandbytes(document: dict[str, Any], left_out: tuple[str, ...]) -> Quantisation:
    if document.get("load_in_8bit") or document.get("_load_in_8bit"):
        return Quantisation(
            method="bitsandbytes", scheme="bnb-int8", bits=8, left_out=left_out, spread=0.01
        )
    # One absolute maximum for 64 weights: 1 byte where it is quantised again, else 4.
    return Quantisation(
        method="bitsandbytes",
        scheme="bnb-nf4",
        bits=4,
        scale_bytes=2 / 64,
        left_out=left_out,
        spread=0.02,
    )


def _modelopt(document: dict[str, Any], left_out: tuple[str, ...], method: str) -> Quantisation:
    inner = document.get("quantization")
    words = f"{method} {document.get('quant_algo')} {inner if isinstance(inner, dict) else ''}"
    if "fp4" in words.lower():
        return Quantisation(
            method="modelopt_fp4",
            scheme="nvfp4",
            bits=4,
            scale_bytes=1 / 16,
            block=(0, 16),
            activation_bits=4,
            left_out=left_out,
        )
    return Quantisation(
        method="modelopt", scheme="modelopt-fp8", bits=8, activation_bits=8, left_out=left_out
    )


def _compressed(document: dict[str, Any], left_out: tuple[str, ...], where: str) -> Quantisation:
    """Return the format of compressed-tensors: of several groups that with most bits."""
    groups = document.get("config_groups")
    found = [
        scheme
        for group in (groups.values() if isinstance(groups, dict) else ())
        if isinstance(group, dict) and (scheme := _group(group, left_out))
    ]
    if not found:
        raise UnreadableInput(
            "`quantization_config` is of compressed-tensors and has no group with weights",
            where=where,
            hint=_HINT,
        )
    most = max(found, key=lambda group: group.bits)
    if len({group.scheme for group in found}) > 1:
        return msgspec.structs.replace(most, spread=0.3)
    return most


def _group(group: dict[str, Any], left_out: tuple[str, ...]) -> Quantisation | None:
    weights = group.get("weights")
    if not isinstance(weights, dict):
        return None
    inputs = group.get("input_activations")
    bits, kind = weights.get("num_bits"), weights.get("type")
    bits = bits if isinstance(bits, int) and 1 <= bits <= 16 else 8
    own = inputs.get("num_bits") if isinstance(inputs, dict) else None
    activation = own if isinstance(own, int) else 16
    size = weights.get("group_size")
    size = size if isinstance(size, int) and size > 0 else 0
    block = _pair(weights.get("block_structure"))
    if kind == "float":
        scheme = {4: "nvfp4", 8: "fp8"}.get(bits, "float")
        if bits == 4 and size == 32:
            scheme = "mxfp4"
        scheme = f"{scheme}-weight-only" if bits == 8 and activation == 16 else scheme
        scale = 1 / size if bits == 4 and size else 4 / (block[0] * block[1]) if all(block) else 0
    else:
        scheme = f"w{bits}a{activation}" if activation == 16 else f"int{bits}-a{activation}"
        scheme = "w4a8-fp8" if bits == 4 and activation == 8 else scheme
        scale = 2 / size if size else 0.0
    return Quantisation(
        method="compressed-tensors",
        scheme="ct-fp8" if scheme == "fp8" else scheme,
        bits=bits,
        scale_bytes=scale,
        block=block if all(block) else (0, size),
        activation_bits=activation,
        left_out=left_out,
    )

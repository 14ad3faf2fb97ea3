"""Probes that no check is: real fused gradients, planted faults, and one GPU as several.

`probes.py NAME DEVICE` prints JSON: a list of {name, expected, outcome, worst, text}. `expected` and
`outcome` are "pass" or "fail"; the outcome is what the judge of the check says.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from checks import (  # noqa: E402 - finds its own tree first
    _forward_and_backward,
    _numbers,
    _ranks,
    matmul,
    peer_copies,
    sdpa,
)
from tests.checks.tensor_core_cases import torn  # noqa: E402
from tests.gpu.page import worst  # noqa: E402

_NEAR_FULL = 0.995


def main(name: str, device: str) -> None:
    torch: Any = importlib.import_module("torch")
    print(json.dumps(list(PROBES[name](torch, device))))


def row(name: str, expected: str, problem: str, evidence: Any = None) -> dict[str, Any]:
    return {
        "name": name,
        "expected": expected,
        "outcome": "fail" if problem else "pass",
        "worst": worst(evidence),
        "text": problem,
    }


def fused(torch: Any, device: str) -> Iterator[dict[str, Any]]:
    """Judge torch's own fused attention, with gradients, by the judge of flash-attn."""
    backends = {"flash": "FLASH_ATTENTION", "cuDNN": "CUDNN_ATTENTION"}
    for name, backend in list(backends.items())[: 1 if device == "cpu" else 2]:
        attend = torch_attention(torch, backend)
        for width in (64, 128) if device == "cpu" else (64, 128, 256):
            if name == "cuDNN" and width > 128:
                continue  # it has no gradients of that width on every GPU
            variants = _forward_and_backward.Variants(widths=(width,))
            groups = _forward_and_backward.cases(torch, attend, device, variants)
            problem, evidence = _forward_and_backward.judge(torch, groups)
            yield row(f"fused {name}, {width} wide", "pass", problem, evidence)


def torch_attention(torch: Any, backend: str) -> Any:
    """Return torch's attention by one backend, called like flash-attn; it masks squares only."""
    choice: Any = importlib.import_module("torch.nn.attention")

    def attend(query: Any, key: Any, value: Any, causal: bool) -> Any:
        if causal and query.shape[1] != key.shape[1]:
            return _numbers.fused_attention(torch, query, key, value, causal=True)
        query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
        shared = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(shared, 1) for tensor in (key, value))
        with choice.sdpa_kernel([getattr(choice.SDPBackend, backend)]):
            answer = torch.nn.functional.scaled_dot_product_attention(
                query, key, value, is_causal=causal
            )
        return answer.transpose(1, 2)

    return attend


def controls(torch: Any, device: str) -> Iterator[dict[str, Any]]:
    """Plant faults; each must fail."""
    right = torch.nn.functional.scaled_dot_product_attention
    product = matmul.judge(torch, lambda *given: torn(given[0] @ given[1], 1.01), device)
    yield row("a tile of a product times 1.01", "fail", *product)
    attention = sdpa.judge(torch, lambda *given, **how: torn(right(*given, **how), 1.01), device)
    yield row("a tile of attention times 1.01", "fail", *attention)
    zero = matmul.judge(torch, lambda *given: (given[0] @ given[1]) * 0, device)
    yield row("a product of zeros", "fail", *zero)
    flash, missed = torch_attention(torch, "FLASH_ATTENTION"), 0
    variants = _forward_and_backward.Variants(("bfloat16",), (128,))
    group, tolerance = _forward_and_backward.cases(torch, flash, device, variants)["backward"]
    for _, call, reference, exact in group:
        missed += not _numbers.compare(torch, torn(call(), 1.02), reference, exact, tolerance)[0]
    yield row("a tile of each gradient times 1.02", "fail", "" if missed else "all were found")


def several(torch: Any, device: str) -> Iterator[dict[str, Any]]:
    """Try one device as several: copies from it to itself, and a group of one rank."""
    verdict = peer_copies.judge(torch, [device, device], peer_copies._copy, 60.0, [])
    yield row("copies from a GPU to itself", "pass", "" if verdict.passed else verdict.summary)
    with tempfile.TemporaryDirectory() as folder:
        backend = "gloo" if device == "cpu" else "nccl"
        run = _ranks.run_group({"backend": backend, "count": 1}, Path(folder) / "1", {})
    problem = "" if run.outcome == "healthy" else run.problem or run.outcome
    yield row(f"collectives of one rank ({backend})", "pass", problem)


def full(torch: Any, device: str) -> Iterator[dict[str, Any]]:
    """Hold nearly all memory; a check must then end as an error that names the holder."""
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.empty(int(free * _NEAR_FULL), dtype=torch.uint8, device=device)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        argv = [sys.executable, "-m", "checks", "run", "matmul", "--json", file.name]
        subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, timeout=120)
        (result,) = json.loads(Path(file.name).read_bytes())["checks"]
    del held
    named = result["outcome"] == "error" and "holds" in result["summary"]
    text = "" if named else f"{result['outcome']}: {result['summary']}"
    yield row("a GPU without free memory is an error that names the holder", "pass", text)


PROBES = {f.__name__: f for f in (fused, controls, several, full)}

if __name__ == "__main__":
    main(*sys.argv[1:])

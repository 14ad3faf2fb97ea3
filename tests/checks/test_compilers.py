"""torch_compiles, triton_compiles, cuda_graphs, flashinfer_compiles: missing or wrong kernels."""

from __future__ import annotations

from pathlib import Path

from tests.checks import real
from tests.checks.twins import twin_of

COMPILES = """
from functools import partial
from checks import cuda_graphs, flashinfer_compiles, torch_compiles, triton_compiles

def row(found):
    found = found.clone()
    found[-1] = float("nan")
    return found

def tile(found):
    found = found.clone()
    found[16:32, 16:32] *= 1.01
    return found

def broken(*given, **settings):
    raise RuntimeError("no C compiler")

def body(check):
    verdict = check.body(Context(profile="cpu", scratch=SCRATCH))
    return "" if verdict.passed else verdict.summary

def compiles(compiler):
    return torch_compiles.judge(torch, compiler, "cpu")[0]

verdict = torch_compiles.body(Context(profile="cpu", scratch=SCRATCH))
results["torch.compile"] = "" if verdict.passed else verdict.summary
results["torch.compile: switched off"] = compiles(lambda function: function)
results["torch.compile: tile"] = compiles(lambda function: lambda *given: tile(function(*given)))
results["torch.compile: no compiler"] = compiles(broken)
compile, torch.compile = torch.compile, broken
results["torch.compile: body"] = body(torch_compiles)
torch.compile = compile

def triton(softmax):
    return triton_compiles.judge(torch, "cpu", softmax)[0]

right = triton_compiles.softmax
halves = _devices.half_precisions
_devices.half_precisions = lambda *_: [torch.float16]  # Triton's interpreter cuts bfloat16 off where a GPU rounds
results["triton"] = triton(right)
results["triton: tile"] = triton(lambda given: tile(right(given)))
results["triton: row"] = triton(lambda given: row(right(given)))
results["triton: no compiler"] = triton(broken)
triton_compiles.softmax = lambda given: tile(right(given))
results["triton: body"] = body(triton_compiles)
_devices.half_precisions = halves

def graphs(capture):
    return cuda_graphs.judge(torch, "cpu", capture)[0]

def stale(function, given):
    found = function(given)
    return lambda: found

def first_only(function, given):
    found = []
    def replay():
        found[:] = found or [function(given)]
        return found[0]
    return replay

results["graph"] = graphs(lambda function, given: lambda: function(given))
results["graph: stale"] = graphs(stale)
results["graph: first only"] = graphs(first_only)
results["graph: refused"] = graphs(broken)
cuda_graphs.capture = stale
results["graph: body"] = body(cuda_graphs)

def flashinfer(gated):
    return flashinfer_compiles.judge(torch, "cpu", gated)[0]

def silu(given, device):
    gate, up = given.float().chunk(2, 1)
    return (torch.nn.functional.silu(gate) * up).half()

results["flashinfer"] = flashinfer(silu)
results["flashinfer: body"] = body(flashinfer_compiles)
results["flashinfer: tile"] = flashinfer(lambda *given: tile(silu(*given)))
results["flashinfer: one says no"] = flashinfer(partial(flashinfer_compiles.answer, {"cpu": "RuntimeError: no nvcc"}))
results["flashinfer: not here"] = flashinfer(partial(flashinfer_compiles.answer, flashinfer_compiles.compute(SCRATCH, ["cpu"])))
"""


@twin_of("cuda_graphs", "flashinfer_compiles", "torch_compiles", "triton_compiles")
def test_compilers_pass_and_wrong_kernels_fail(real_vllm: real.Vllm, tmp_path: Path) -> None:
    expected = {
        "torch.compile": "",
        "torch.compile: switched off": "nothing was compiled; TORCH_COMPILE_DISABLE",
        "torch.compile: tile": "bfloat16 83 x 770: ",
        "torch.compile: no compiler": "bfloat16 83 x 770: RuntimeError: no C compiler",
        "torch.compile: body": "CPU: bfloat16 83 x 770: RuntimeError: no C compiler",
        "triton": "",
        "triton: tile": "softmax, float16: ",
        "triton: row": "softmax, float16: off by nan",
        "triton: no compiler": "softmax, float16: RuntimeError: no C compiler",
        "triton: body": "CPU: softmax, float16: ",
        "graph": "",
        "graph: stale": "replay 1: off by ",
        "graph: first only": "replay 2: off by ",
        "graph: refused": "replay 1: RuntimeError: no C compiler",
        "graph: body": "CPU: replay 1: off by ",
        "flashinfer": "",
        "flashinfer: body": "CPU: silu_and_mul, float16: ChildProcessError: this GPU was not there",
        "flashinfer: tile": "silu_and_mul, float16: ",
        "flashinfer: one says no": "silu_and_mul, float16: ChildProcessError: RuntimeError: no nvcc",
        "flashinfer: not here": "silu_and_mul, float16: ChildProcessError: ModuleNotFoundError: No module named 'flashinfer'",
    }
    # Triton's own interpreter runs the kernel where no GPU is.
    real.assert_says(
        real_vllm.answers(f"SCRATCH = {str(tmp_path)!r}{COMPILES}", TRITON_INTERPRET="1"), expected
    )


FOR_GPUS = """
from checks import _triton_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

for capability in (75, 80, 90, 100, 120):
    signature = {"source": "*fp16", "target": "*fp16", "width": "i32", "block": "constexpr"}
    source = ASTSource(_triton_kernel._KERNEL, signature, constexprs={(3,): 1024})
    results[str(capability)] = "" if compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"] else "nothing"
"""


def test_the_kernel_compiles_for_gpus_that_are_not_here(
    real_vllm: real.Vllm, tmp_path: Path
) -> None:
    """The interpreter accepts code that the compiler refuses."""
    assert not any(real_vllm.answers(FOR_GPUS, TRITON_CACHE_DIR=str(tmp_path)).values())

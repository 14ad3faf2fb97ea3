"""flash_attn_fits: who promises it, what it says of a copy that does not load, and wrong numbers with a real torch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from checks import flash_attn_fits as check
from provision.engine import launch_checks, proof
from provision.engine.launch_checks import Context
from provision.plan._model import UsedGpus
from provision.steps import Lock, Pin, Wheel
from tests.checks.environments import Environment
from tests.engine.small_index import plan

REAL = os.environ.get("VLLM_READY_TEST_ENV", "")
CUDA = Context(profile="cuda")


def lock(*names: str) -> Lock:
    wheel = Wheel(url="x.whl", sha256="0")
    return Lock(pins=tuple(Pin(name=name, version="1", wheel=wheel) for name in names))


def test_only_an_environment_that_has_it_promises_it() -> None:
    with_gpus = plan(profile="cuda", gpus=UsedGpus(used=("0",)))
    assert "flash_attn_fits" in proof.promised(with_gpus, lock("torch", "flash-attn"))
    assert "flash_attn_fits" not in proof.promised(with_gpus, lock("torch"))
    assert "flash_attn_fits" not in proof.promised(plan(profile="cpu"), lock("torch", "flash-attn"))
    assert "attn_implementation" in proof.promised(plan(profile="cpu"), lock("torch"))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = Environment(tmp_path / "env")
    made.install(
        "torch", "2.13.0", {"torch.py": "__version__ = '2.13.0+cu130'\nclass cuda: is_available = lambda: False\n"}
    )
    return made


def install(environment: Environment, module: str = "") -> None:
    package = "import flash_attn_2_cuda\n__version__ = '2.8.3'\nflash_attn_func = print\n"
    environment.install("flash_attn", "2.8.3", {"flash_attn.py": package, "flash_attn_2_cuda.py": module})


def test_without_the_package_there_is_nothing_to_decide(environment: Environment) -> None:
    result = environment.check("flash_attn_fits", CUDA)
    assert (result.outcome, result.summary) == ("skip", "needs flash_attn in this environment")


def test_without_a_gpu_it_is_linked_and_that_is_said(environment: Environment) -> None:
    install(environment)
    result = environment.check("flash_attn_fits", CUDA)
    said = "flash-attn 2.8.3 loads beside torch 2.13.0+cu130; no GPU is used here, so only linked"
    assert (result.outcome, result.summary) == ("pass", said)


def test_one_that_does_not_load_fails(environment: Environment) -> None:
    install(environment, "raise ImportError('undefined symbol: _ZN2at')")
    result = environment.check("flash_attn_fits", CUDA)
    assert (result.outcome, result.summary) == ("fail", "does not load: ImportError: undefined symbol: _ZN2at")
    assert "flash_attn.mode: none" in result.hint


def test_a_gpu_that_torch_does_not_see_fails(environment: Environment) -> None:
    install(environment)
    result = environment.check("flash_attn_fits", Context(profile="cuda", gpus=("0", "1")))
    assert (result.outcome, result.summary) == ("fail", "torch sees 0 GPUs of 2")


def test_a_time_says_how_it_was_taken() -> None:
    calls = []
    ticks = iter(range(1000))

    def event(*, enable_timing: bool) -> Any:
        assert enable_timing
        began = next(ticks)
        return SimpleNamespace(
            record=lambda: None,
            synchronize=lambda: None,
            elapsed_time=lambda end: (end.began - began) * 0.01,
            began=began,
        )

    torch = SimpleNamespace(randn=lambda *shape, **_: shape, float16="half", cuda=SimpleNamespace(Event=event))
    found = check._timed(torch, lambda *inputs: calls.append(inputs), "cuda:0")
    assert (len(calls), calls[0][0]) == (70, (2, 512, 12, 64))
    assert found["median_us"] == 10.0
    assert found["tenth_to_ninetieth_percentile_us"] == [10.0, 10.0]
    assert "median of 50" in found["method"]


@pytest.mark.real_vllm
@pytest.mark.skipif(not REAL, reason="VLLM_READY_TEST_ENV names no Python with vLLM")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return exact(q, k, v, causal)", ""),
        ("return exact(q, k, v, causal) * 1.02", "float16, head dimension 64, full, 113 x 203: the output is off by"),
        ("return exact(q, k, v, False)", "float16, head dimension 64, causal, 113 x 203: the output is off by"),
        ("return exact(q, k[:, :, :1].expand(k.shape), v, causal)", "the output is off by"),
        ("return exact(q, k.detach() + 0 * k, v, causal)", "the gradient of k is off by"),
        ("return exact(q, k, v, causal) * float('nan')", "off by nan"),
        ("raise RuntimeError('no kernel image')", "113 x 203: RuntimeError: no kernel image"),
    ],
)
def test_numbers_are_judged_with_a_real_torch(body: str, says: str) -> None:
    """On a CPU, where the package itself does not run."""
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(launch_checks.CHECKS.parent)!r})
        import torch
        from checks import _numbers, flash_attn_fits
        def exact(q, k, v, causal):
            return _numbers.attention(torch, q.float(), k.float(), v.float(), causal=causal).to(q.dtype)
        def function(q, k, v, causal):
            {body}
        wrong, worst = flash_attn_fits.compare(torch, function, "cpu")
        assert bool(wrong) == bool({says!r}) and {says!r} in wrong, wrong
        assert wrong or 0 < worst < 1, worst
    """
    done = subprocess.run([REAL, "-I", "-B", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""The command at the end of a run."""

from __future__ import annotations

import msgspec
import pytest

from provision.plan.serve import command
from tests.plan.described import plan


@pytest.mark.parametrize(
    ("gpus", "driver", "line"),
    [
        ("", None, "envs/current/bin/vllm serve MODEL --gpu-memory-utilization 0.2"),
        ("{name: NVIDIA H100 80GB HBM3}", "580.65.06", "envs/current/bin/vllm serve MODEL"),
        (
            "{name: NVIDIA H100 80GB HBM3, count: 8}",
            "580.65.06",
            "envs/current/bin/vllm serve MODEL --tensor-parallel-size 8",
        ),
        (
            "{name: NVIDIA L40S, count: 3}",
            "580.65.06",
            "envs/current/bin/vllm serve MODEL --tensor-parallel-size 2",
        ),
        (
            "{name: NVIDIA GeForce RTX 5090}",
            "570.124.06",
            "envs/current/bin/vllm serve MODEL --attention-backend TRITON_ATTN",
        ),
        (
            "{name: Tesla V100-SXM2-32GB}, {name: NVIDIA A100-SXM4-80GB}",
            "580.65.06",
            "CUDA_VISIBLE_DEVICES=1 envs/current/bin/vllm serve MODEL",
        ),
    ],
)
def test_serve_line(gpus: str, driver: str | None, line: str) -> None:
    assert command(plan(gpus, driver=driver), "envs") == line


def test_a_prefix_with_spaces_can_be_pasted() -> None:
    assert command(plan("", driver=None), "/my envs").startswith(
        "'/my envs/current/bin/vllm' serve"
    )


def test_without_a_cpp_compiler_vllm_does_not_compile() -> None:
    made = plan("", driver=None)
    with_compiler, without = (
        command(msgspec.structs.replace(made, checks=checks), "envs")
        for checks in (("torch_compiles", "vllm_serves"), ("vllm_serves",))
    )
    assert without == f"{with_compiler} --enforce-eager"

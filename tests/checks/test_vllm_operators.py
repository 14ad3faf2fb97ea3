"""Checks of vLLM's operators: right as they are, and failing with each planted fault."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from checks import _vllm_operators, vllm_paged_attention, vllm_quantised_matmul
from checks._contract import Check, Context, unmet_need
from tests.checks import real
from tests.checks.twins import twin_of


def with_gpu(*capability: int) -> Any:
    return SimpleNamespace(cuda=SimpleNamespace(get_device_capability=lambda _: capability))


@pytest.mark.parametrize(
    ("capability", "version"), [((8, 0), 2), ((8, 9), 2), ((9, 0), 3), ((10, 0), 2), ((12, 0), 2)]
)
def test_flash_attention_has_code_for_the_gpu(capability: tuple[int, int], version: int) -> None:
    everything = SimpleNamespace(is_fa_version_supported=lambda _: True)
    assert _vllm_operators.flash_version(with_gpu(*capability), "cuda:0", everything) == version


@pytest.mark.parametrize(
    ("capability", "sorts"), [((8, 0), 4), ((9, 0), 4), ((10, 3), 1), ((12, 0), 1)]
)
def test_one_variant_is_tried_if_the_driver_must_compile(
    capability: tuple[int, int], sorts: int
) -> None:
    torch = with_gpu(*capability)
    torch.float16, torch.bfloat16 = "float16", "bfloat16"
    result = vllm_paged_attention._variants(torch, "cuda:0")
    assert (len(result), result[-1]) == (sorts, ("bfloat16", 128))


@pytest.mark.parametrize(
    "check", [vllm_quantised_matmul.CHECK, vllm_paged_attention.CHECK], ids=lambda one: one.name
)
def test_without_a_capable_gpu_nothing_passes(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    v100 = with_gpu(7, 0)
    v100.cuda.device_count = lambda: 1
    v100.cuda.get_device_name = lambda _: "Tesla V100-SXM2-32GB"
    v100.cuda.is_initialized, v100.__version__ = lambda: True, "2.10.0"
    v100.cuda.set_device, v100.cuda.get_device_properties = (
        (lambda _: None),
        (lambda _: SimpleNamespace(uuid="")),
    )
    monkeypatch.setitem(sys.modules, "torch", v100)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    context = Context(profile="cuda", scratch="", gpus=("0",))
    assert unmet_need(check.needs, context).endswith("the best here is 7.0")
    with pytest.raises(RuntimeError, match="nothing was tried on"):
        check.body(context)


START = """
import dataclasses, math
from functools import partial
from checks import vllm_activation, vllm_paged_attention, vllm_quantised_matmul, vllm_rms_norm, vllm_rotary
from checks import _vllm_operators as operators

def tile(found, times=1.01):
    found = found.clone()
    found.view(found.shape[0], -1)[:16, 64:80] *= times
    return found

def brain(right, twin):
    # In bfloat16 alone, which may be cut off on a CPU and must be right all the same.
    return lambda *given: twin(*given) if torch.bfloat16 in (given[-1], getattr(given[-1], "dtype", None)) else right(*given)

def twice(in_32):
    return _numbers.truncate(torch, _numbers.truncate(torch, in_32 * 3).float() / 3)

def row(found):
    found = found.clone()
    found[-1] = float("nan")
    return found

def gone(*given, **settings):
    return operators.call("renamed_in_the_next_release", *given)

def body(check):
    verdict = check.body(Context(profile="cpu", scratch=""))
    return "" if verdict.passed else verdict.summary
"""

NORM = """
def norm(plain=vllm_rms_norm.plain, added=vllm_rms_norm.added):
    return vllm_rms_norm.judge(torch, "cpu", plain, added)[0]

right = vllm_rms_norm.added
results["norm"] = body(vllm_rms_norm)
results["norm: tile"] = norm(lambda given, weight: tile(vllm_rms_norm.plain(given, weight)))
results["norm: row"] = norm(lambda given, weight: row(vllm_rms_norm.plain(given, weight)))
results["norm: no weight"] = norm(lambda given, weight: vllm_rms_norm.plain(given, weight * 0 + 1))
results["norm: residual forgotten"] = norm(added=lambda given, residual, weight: (right(given, residual, weight)[0], residual))
results["norm: residual not added"] = norm(added=lambda given, residual, weight: right(given, residual * 0, weight))
plain = vllm_rms_norm.plain
results["norm: bfloat16, tile"] = norm(brain(plain, lambda *given: tile(plain(*given))))
results["norm: bfloat16, twice"] = norm(brain(plain, lambda given, weight: twice(vllm_rms_norm.norm(torch, given, torch.float32) * weight)))
results["norm: gone"] = norm(gone)
vllm_rms_norm.plain = lambda given, weight: tile(plain(given, weight))
results["norm: body"] = body(vllm_rms_norm)
"""

ROTARY = """
def rotary(twin):
    return vllm_rotary.judge(torch, "cpu", twin)[0]

right = vllm_rotary.rotate
results["rotary"] = body(vllm_rotary)
results["rotary: tile"] = rotary(lambda *given, **layout: (tile(right(*given, **layout)[0]), right(*given, **layout)[1]))
results["rotary: next position"] = rotary(lambda at, *given, **layout: right(at - 1 + 2 * (at == 0), *given, **layout))
results["rotary: layout"] = rotary(lambda *given, halves: right(*given, halves=True))
results["rotary: key forgotten"] = rotary(lambda *given, **layout: (right(*given, **layout)[0], given[2]))
results["rotary: bfloat16, tile"] = rotary(lambda *given, **layout: tuple(map(brain(lambda found: found, tile), right(*given, **layout))))
results["rotary: gone"] = rotary(gone)
vllm_rotary.rotate = lambda *given, halves: right(*given, halves=not halves)
results["rotary: body"] = body(vllm_rotary)
"""

ACTIVATION = """
def activation(twin):
    return vllm_activation.judge(torch, "cpu", twin)[0]

right = vllm_activation.gated
results["activation"] = body(vllm_activation)
results["activation: tile"] = activation(lambda name, given: tile(right(name, given)))
results["activation: row"] = activation(lambda name, given: row(right(name, given)))
results["activation: swapped"] = activation(lambda name, given: right(name, given.roll(given.shape[1] // 2, 1)))
results["activation: another"] = activation(lambda name, given: right(name.replace("gelu", "silu"), given))
results["activation: bfloat16, tile"] = activation(brain(right, lambda name, given: tile(right(name, given), 0.99)))  # more may make up for what is cut off
silu = lambda gate, up: torch.nn.functional.silu(gate.float()) * up.float()
results["activation: bfloat16, twice"] = activation(brain(right, lambda name, given: twice(silu(*given.chunk(2, 1)))))
results["activation: gone"] = activation(lambda name, given: gone(given))
vllm_activation.gated = lambda name, given: tile(right(name, given))
results["activation: body"] = body(vllm_activation)
"""

PAGED = """
def paged(twin):
    return vllm_paged_attention.judge(torch, "cpu", {"twin": twin}, 32)[0]

right = vllm_paged_attention.cpu_attention
change = dataclasses.replace

def pages_of_another(batch):
    return right(change(batch, table=batch.table.roll(1, 0)))  # the slots, that is the writer, stay

def one_slot_further(batch):
    return right(change(batch, slots=batch.slots.roll(1)))

def one_key_less(batch):
    return right(change(batch, lengths=batch.lengths - (batch.lengths > 128).int()))

results["paged"] = body(vllm_paged_attention)
results["paged: tile"] = paged(lambda batch: tile(right(batch)))
results["paged: bfloat16, tile"] = paged(lambda batch: brain(lambda found: found, tile)(right(batch)))
results["paged: row"] = paged(lambda batch: row(right(batch)))
for twin in (pages_of_another, one_slot_further, one_key_less):
    results[f"paged: {twin.__name__}"] = paged(twin)
results["paged: gone"] = paged(gone)
vllm_paged_attention.cpu_attention = pages_of_another
results["paged: body"] = body(vllm_paged_attention)
vllm_paged_attention.cpu_attention = right
results["paged: no way"] = vllm_paged_attention.judge(torch, "cpu", {}, 32)[0]
"""

QUANTISED = """
def quantised(quantise=vllm_quantised_matmul.quantise_by_onednn, multiply=None):
    return vllm_quantised_matmul.judge(torch, "cpu", torch.int8, quantise, multiply or right)[0]

def floor(rows):
    scales = rows.float().abs().amax(1, keepdim=True) / 127
    return (rows.float() / scales).trunc().to(torch.int8), scales

def right(left, by_row, right, by_column, dtype):
    # Sums of int8 are exact in 32 bits, as oneDNN's are where the CPU has VNNI.
    return ((left.float() @ right.float()) * by_row * by_column).to(dtype)

verdict = vllm_quantised_matmul.body(Context(profile="cpu", scratch=""))
results["quantised"] = "" if verdict.passed else f"{verdict.summary}; {verdict.hint}"
results["quantised: right"] = quantised()
results["quantised: cut off"] = quantised(floor)
results["quantised: tile"] = quantised(multiply=lambda *given: tile(right(*given)))
results["quantised: row"] = quantised(multiply=lambda *given: row(right(*given)))
results["quantised: one scale"] = quantised(multiply=lambda left, by_row, *given: right(left, by_row.mean().expand_as(by_row).clone(), *given))
results["quantised: gone"] = quantised(multiply=gone)
onednn, vllm_quantised_matmul.quantise_by_onednn = vllm_quantised_matmul.quantise_by_onednn, floor
results["quantised: body"] = body(vllm_quantised_matmul)
vllm_quantised_matmul.quantise_by_onednn = onednn

def by_the_book(rows):
    return vllm_quantised_matmul.quantise_by_hand(torch, rows, torch.float8_e4m3fn)

def few_bits(left, by_row, right, by_column, dtype):
    # As tensor cores add up fp8: 13 bits are kept, every 32 products.
    total = torch.zeros(left.shape[0], right.shape[1], dtype=torch.float64)
    for at in range(0, left.shape[1], 32):
        total += left[:, at : at + 32].double() @ right[at : at + 32].double()
        kept = 2.0 ** (total.abs().clamp_min(1e-30).log2().floor() - 13)
        total = (total / kept).trunc() * kept
    return (total.float() * by_row * by_column).to(dtype)

narrow = torch.float8_e4m3fn
results["fp8: few bits"] = vllm_quantised_matmul.judge(torch, "cpu", narrow, by_the_book, few_bits)[0]
results["fp8: few bits, tile"] = vllm_quantised_matmul.judge(torch, "cpu", narrow, by_the_book, lambda *given: tile(few_bits(*given)))[0]
results["fp8: bfloat16, tile"] = vllm_quantised_matmul.judge(torch, "cpu", narrow, by_the_book, brain(few_bits, lambda *given: tile(few_bits(*given))))[0]
results["fp8"] = vllm_quantised_matmul.judge(torch, "cpu", narrow, by_the_book, right)[0]
results["fp8: tile"] = vllm_quantised_matmul.judge(torch, "cpu", narrow, by_the_book, lambda *given: tile(right(*given)))[0]
"""
VNNI = "vnni" in Path("/proc/cpuinfo").read_text()
GONE = "AttributeError: '_OpNamespace' '_C' object has no attribute 'renamed_in_the_next_release'"


@twin_of(
    "vllm_activation",
    "vllm_paged_attention",
    "vllm_quantised_matmul",
    "vllm_rms_norm",
    "vllm_rotary",
)
def test_vllms_operators_pass_and_wrong_ones_fail(real_vllm: real.Vllm) -> None:
    expected = {
        "norm": "",
        "norm: tile": "float16 83 x 4096: ",
        "norm: row": "float16 83 x 4096: off by nan",
        "norm: no weight": "float16 83 x 4096: off by ",
        "norm: residual forgotten": "float16 83 x 4096 with the residual: off by ",
        "norm: residual not added": "float16 83 x 4096 with the residual: off by ",
        "norm: bfloat16, tile": "bfloat16 83 x 4096: tile ",
        "norm: bfloat16, twice": "bfloat16 83 x 4096: tile ",
        "norm: gone": f"float16 83 x 4096: {GONE}",
        "norm: body": "CPU: float16 83 x 4096: ",
        "rotary": "",
        "rotary: tile": "float16, 128 of 128, a half with the other: ",
        "rotary: next position": "float16, 128 of 128, a half with the other: off by ",
        "rotary: layout": "float16, 128 of 128, neighbours: off by ",
        "rotary: key forgotten": "float16, 128 of 128, a half with the other: off by ",
        "rotary: bfloat16, tile": "bfloat16, 128 of 128, a half with the other: tile ",
        "rotary: gone": "float16, 128 of 128, a half with the other: ",
        "rotary: body": "CPU: float16, 128 of 128, a half with the other: ",
        "activation": "",
        "activation: tile": "silu_and_mul, float16 83 x 4096: ",
        "activation: row": "silu_and_mul, float16 83 x 4096: off by nan",
        "activation: swapped": "silu_and_mul, float16 83 x 4096: off by ",
        "activation: another": "gelu_and_mul, float16 83 x 4096: off by ",
        "activation: bfloat16, tile": "silu_and_mul, bfloat16 83 x 4096: tile ",
        "activation: bfloat16, twice": "silu_and_mul, bfloat16 83 x 4096: tile ",
        "activation: gone": f"silu_and_mul, float16 83 x 4096: {GONE}",
        "activation: body": "CPU: silu_and_mul, float16 83 x 4096: ",
        "paged": "",
        "paged: tile": "twin, float16, head dimension 64: ",
        "paged: bfloat16, tile": "twin, bfloat16, head dimension 64: ",
        "paged: row": "twin, float16, head dimension 64: off by nan",
        "paged: pages_of_another": "twin, float16, head dimension 64: off by ",
        "paged: one_slot_further": "twin, float16, head dimension 64: off by ",
        "paged: one_key_less": "twin, float16, head dimension 64: off by ",
        "paged: gone": f"twin, float16, head dimension 64: {GONE}",
        "paged: body": "CPU: CPU attention, float16, head dimension 64: off by ",
        "paged: no way": "nothing could be tried",
        "quantised": "" if VNNI else "CPU: int8 to float16 83 x 1024 x 512: off by ",
        "quantised: right": "",
        "quantised: cut off": "float16 83 x 1024 to int8: off by ",
        "quantised: tile": "int8 to float16 83 x 1024 x 512: ",
        "quantised: row": "int8 to float16 83 x 1024 x 512: off by nan",
        "quantised: one scale": "int8 to float16 83 x 1024 x 512: off by ",
        "quantised: gone": f"int8 to float16 83 x 1024 x 512: {GONE}",
        "quantised: body": "CPU: float16 83 x 1024 to int8: off by ",
        "fp8": "",
        "fp8: tile": "float8_e4m3fn to float16 83 x 256 x 512: ",
        "fp8: few bits": "",
        "fp8: few bits, tile": "float8_e4m3fn to float16 83 x 256 x 512: ",
        "fp8: bfloat16, tile": "float8_e4m3fn to bfloat16 83 x 1024 x 512: ",
    }
    results = real_vllm.answers(START + NORM + ROTARY + ACTIVATION + PAGED + QUANTISED)
    real.assert_says(results, expected)
    assert VNNI or results["quantised"].endswith(vllm_quantised_matmul.SATURATES)

"""sdpa: wrong attention is named by backend and case, and refusing a case is no way to pass."""

from __future__ import annotations

from tests.checks import real
from tests.checks.twins import twin_of

TWINS = """
from checks import sdpa, sdpa_cudnn
right = torch.nn.functional.scaled_dot_product_attention

def tile(*given, **settings):
    found = right(*given, **settings).clone()
    found[0, 1, 32:48, 16:32] *= 1.01
    return found

def row(*given, **settings):
    found = right(*given, **settings).clone()
    found[0, 1, 5] = float("nan")
    return found

def masked(given, diagonal, is_causal, enable_gqa):
    query, key, value = given
    mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril(diagonal) if is_causal else None
    return right(query, key, value, attn_mask=mask, enable_gqa=enable_gqa)

def off_by_one(*given, **settings):
    return masked(given, 1, **settings)

def bottom_right(*given, **settings):
    return masked(given, given[1].shape[2] - given[0].shape[2], **settings)

def other_heads(query, key, value, is_causal, enable_gqa):
    if enable_gqa:
        key, value = (each.repeat(1, 3, 1, 1) for each in (key, value))
    return right(query, key, value, is_causal=is_causal)

def lazy(*given, **settings):
    if given[0].shape[-1] == 256:
        raise RuntimeError("No available kernel. Aborting execution.")
    return right(*given, **settings)

def broken(*given, **settings):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")

sdpa._BACKENDS.pop(sdpa.OWN)
torch.nn.functional.scaled_dot_product_attention = tile
for name, check in (("body", sdpa), ("body of cuDNN", sdpa_cudnn)):
    verdict = check.body(Context(profile="cpu", scratch=""))
    results[f"{name}: tile"] = "" if verdict.passed else verdict.summary
torch.nn.functional.scaled_dot_product_attention = right
for twin in (right, tile, row, off_by_one, bottom_right, other_heads, lazy, broken):
    results[twin.__name__], found = sdpa.judge(torch, twin, "cpu")
    if twin is right:
        assert {found[name]["cases"] for name in ("math", "flash")} == {24}, found
refused = {}
(name, call, *_), *_ = sdpa._cases(torch, "cpu")
forced = lambda: sdpa._force("EFFICIENT_ATTENTION", lambda: call(right))
results["refuses"] = str(sdpa._is_refused(forced, name, refused, sdpa._REFUSALS))
results["refused"] = str(refused)

def without_engine(*given, **settings):
    raise RuntimeError("cuDNN Frontend error: No valid engine configs for Matmul_MUL_Reduction_SUB_EXP")

def without_plans(*given, **settings):
    raise RuntimeError("cuDNN Frontend error: [cudnn_frontend] Error: No execution plans built successfully.")

for backends in ({"cuDNN": "MATH"}, {"memory-efficient": "MATH"}):
    for name, twin in {**{one.__name__: one for one in (without_engine, without_plans)}, "nothing but broken": broken}.items():
        results[f"{next(iter(backends))}: {name}"] = sdpa.judge(torch, twin, "cpu", backends)[0]
"""
FIRST = "math: float16, head dimension 64, "


@twin_of("sdpa", "sdpa_cudnn")
def test_slightly_wrong_answers_fail(real_vllm: real.Vllm) -> None:
    expected = {
        "body: tile": "CPU: " + FIRST + "full 113 x 203: off by ",
        "body of cuDNN: tile": "CPU: its own choice: float16, head dimension 64, full 113 x 203: off by ",
        "scaled_dot_product_attention": "",
        "tile": FIRST + "full 113 x 203: off by ",
        "row": FIRST + "full 113 x 203: off by nan",
        "off_by_one": FIRST + "causal 129 x 129: off by ",
        "bottom_right": FIRST + "causal 113 x 203: off by ",
        "other_heads": FIRST + "6 heads on 2, causal 129 x 129: off by ",
        "lazy": "math refuses float16, head dimension 256, full 113 x 203: No available kernel",
        "broken": FIRST + "full 113 x 203: RuntimeError: CUDA error: an illegal memory access",
        "refuses": "True",
        "refused": "{'No viable backend",
        "cuDNN: without_engine": "",
        "cuDNN: without_plans": "",
        "cuDNN: nothing but broken": "cuDNN: float16, head dimension 64, full 113 x 203: RuntimeError: CUDA error",
        "memory-efficient: without_engine": "memory-efficient: float16, head dimension 64, full 113 x 203: RuntimeError: cuDNN",
        "memory-efficient: without_plans": "memory-efficient: float16, head dimension 64, full 113 x 203: RuntimeError: cuDNN",
        "memory-efficient: nothing but broken": "memory-efficient: float16, head dimension 64, full 113 x 203: RuntimeError: CUDA",
    }
    real.assert_says(real_vllm.answers(TWINS), expected)

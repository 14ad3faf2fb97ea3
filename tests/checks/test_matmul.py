"""matmul: right products pass, and slightly wrong ones fail."""

from __future__ import annotations

from tests.checks import real
from tests.checks.twins import twin_of

TWINS = """
from checks import matmul

def tile(left, right):
    found = left @ right
    found[..., -16:, -16:] *= 1.01
    return found

def row(left, right):
    found = left @ right
    found[-1] = float("nan")
    return found

def twice(left, right):
    half = left.shape[1] // 2
    return left[:, :half] @ right[:half] + left[:, half:] @ right[half:]

def twice_in_bfloat16(left, right):
    return twice(left, right) if left.dtype == torch.bfloat16 else left @ right

def through_bfloat16(left, right):
    found = left @ right
    return found.bfloat16().half() if found.dtype == torch.float16 else found

def in_tf32(left, right):
    cut = lambda each: (each.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)
    return cut(left) @ cut(right) if left.dtype == torch.float32 else left @ right

def gone(left, right):
    raise RuntimeError("no kernel image is available")

for twin in (torch.matmul, tile, row, twice, twice_in_bfloat16, through_bfloat16, in_tf32, gone):
    results[twin.__name__], found = matmul.judge(torch, twin, "cpu")
    if twin is torch.matmul:
        assert found["halves"]["cases"] == 8 and found["float32"]["cases"] == 1
verdict = matmul.body(Context(profile="cpu", scratch=""))
results["body"] = "" if verdict.passed else verdict.summary
right, torch.matmul = torch.matmul, tile
verdict = matmul.body(Context(profile="cpu", scratch=""))
results["body: tile"] = "" if verdict.passed else verdict.summary
"""


@twin_of("matmul")
def test_slightly_wrong_answers_fail(real_vllm: real.Vllm) -> None:
    expected = {
        "matmul": "",
        "tile": "float16 512 x 1024 x 1024: ",
        "row": "float16 512 x 1024 x 1024: off by nan",
        "twice": "float16 512 x 1024 x 1024: tile ",
        "twice_in_bfloat16": "bfloat16 512 x 1024 x 1024: tile ",
        "through_bfloat16": "float16 512 x 1024 x 1024: ",
        "in_tf32": "float32 257 x 1031 x 515: off by ",
        "gone": "float16 512 x 1024 x 1024: RuntimeError: no kernel image is available",
        "body": "",
        "body: tile": "CPU: float16 512 x 1024 x 1024: ",
    }
    real.assert_says(real_vllm.answers(TWINS), expected)

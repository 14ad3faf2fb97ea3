"""_numbers: small errors are found, also in truncated bfloat16; a lucky reference sets no bound."""

from __future__ import annotations

from types import SimpleNamespace

from checks import _numbers
from tests.checks import real

CODE = """
def wrong(found, same, exact, times=2.0):
    return _numbers.compare(torch, found, same, exact, times)[0]

torch.manual_seed(0)
exact = torch.randn(129, 64, dtype=torch.float64)
once = exact.float()
error = 1e-6 * torch.randn(exact.shape)

lucky = once + error
lucky[128] = once[128]
results["a lucky last row"] = wrong(once + error, lucky, exact)
lucky = once + error
lucky[:16, :16] = once[:16, :16]
results["a lucky tile"] = wrong(once + error, lucky, exact)
results["few rows, lucky in some"] = wrong((once + error)[:1], torch.cat(((once + error)[:1, :48], once[:1, 48:]), 1), exact[:1])
results["another type"] = wrong(once.half(), once, exact)
results["another shape"] = wrong(once[:1], once, exact)
results["exact where nothing is allowed"] = wrong(exact * 0, exact * 0, exact * 0)

halved = torch.randn(83, 256, dtype=torch.float64)
in_32 = halved.float()
cut = _numbers.truncate(torch, in_32)
books = _numbers.accepted_roundings(torch, in_32.bfloat16(), in_32)
results["cut off"] = wrong(cut, books, halved)
results["cut off where others round"] = wrong(cut, books.rounded, halved)
results["cut off twice"] = wrong(_numbers.truncate(torch, _numbers.truncate(torch, in_32 * 3).float() / 3), books, halved)
for share in (1.01, 0.99):
    tile = cut.clone()
    tile[16:32, 16:32] *= share
    results[f"cut off, and a tile times {share}"] = wrong(tile, books, halved)
results["float16 is rounded"] = str(type(_numbers.accepted_roundings(torch, in_32.half(), in_32)))

def case(name, call):
    return name, call, once, exact

results["nothing"] = _numbers.judge_cases(torch, [])[0]
results["second"] = _numbers.judge_cases(torch, [case("one", lambda: once), case("two", lambda: once * 1.01)])[0]
results["refused"] = _numbers.judge_cases(torch, [case("one", lambda: 1 / 0)])[0]
"""


def test_on_a_gpu_nothing_may_be_cut_off() -> None:
    rounded = SimpleNamespace(device=SimpleNamespace(type="cuda"), dtype="bfloat16")
    assert (
        _numbers.accepted_roundings(SimpleNamespace(bfloat16="bfloat16"), rounded, None) is rounded
    )


def test_the_judge(real_vllm: real.Vllm) -> None:
    expected = {
        "a lucky last row": "",
        "a lucky tile": "tile 0 of 36 is off by ",
        "few rows, lucky in some": "",
        "another type": "it is torch.float16 (129, 64), and torch.float32 (129, 64) was expected",
        "another shape": "it is torch.float32 (1, 64), and torch.float32 (129, 64) was expected",
        "exact where nothing is allowed": "",
        "cut off": "",
        "cut off where others round": "tile ",
        "cut off twice": "tile ",
        "cut off, and a tile times 1.01": "tile 17 of 96 is off by ",
        "cut off, and a tile times 0.99": "tile 17 of 96 is off by ",
        "float16 is rounded": "<class 'torch.Tensor'>",
        "nothing": "nothing could be tried",
        "second": "two: off by ",
        "refused": "one: ZeroDivisionError: division by zero",
    }
    real.assert_says(real_vllm.answers(CODE), expected)

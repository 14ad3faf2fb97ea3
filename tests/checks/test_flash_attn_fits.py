"""flash_attn_fits: the promise, a package that does not load, and wrong numbers in a real torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.engine import promised_checks
from provision.engine.launch_checks import CheckContext
from provision.plan._model import UsedGpus
from provision.steps.model import Lock, Pin, Wheel
from tests.checks import real
from tests.checks.environments import SmallEnvironment
from tests.checks.twins import twin_of
from tests.engine.small_index import plan

CUDA = CheckContext(profile="cuda")


def lock(*names: str) -> Lock:
    wheel = Wheel(url="x.whl", sha256="0")
    return Lock(pins=tuple(Pin(name=name, version="1", wheel=wheel) for name in names))


def test_only_an_environment_that_has_it_promises_it() -> None:
    with_gpus = plan(profile="cuda", gpus=UsedGpus(used=("0",)))
    assert "flash_attn_fits" in promised_checks.choose_promised(
        with_gpus, lock("torch", "flash-attn")
    )
    assert "flash_attn_fits" not in promised_checks.choose_promised(with_gpus, lock("torch"))
    assert "flash_attn_fits" not in promised_checks.choose_promised(
        plan(profile="cpu"), lock("torch", "flash-attn")
    )
    assert "flashinfer_compiles" in promised_checks.choose_promised(
        with_gpus, lock("torch", "flashinfer-python")
    )
    assert "flashinfer_compiles" not in promised_checks.choose_promised(with_gpus, lock("torch")), (
        "older vLLMs do without it"
    )
    assert "attn_implementation" in promised_checks.choose_promised(
        plan(profile="cpu"), lock("torch")
    )


@pytest.fixture
def environment(tmp_path: Path) -> SmallEnvironment:
    made = SmallEnvironment(tmp_path / "env")
    made.install(
        "torch",
        "2.13.0",
        {
            "torch.py": "__version__ = '2.13.0+cu130'\nclass cuda: device_count, is_initialized = lambda: 0, lambda: False\n"
        },
    )
    return made


def install(environment: SmallEnvironment, module: str = "") -> None:
    package = "import flash_attn_2_cuda\n__version__ = '2.8.3'\nflash_attn_func = print\n"
    environment.install(
        "flash_attn", "2.8.3", {"flash_attn.py": package, "flash_attn_2_cuda.py": module}
    )


def test_without_the_package_there_is_nothing_to_decide(environment: SmallEnvironment) -> None:
    verdict = ("skip", "needs flash_attn_2_cuda in this environment")
    result = environment.check("flash_attn_fits", CUDA)
    assert (result.outcome, result.summary) == verdict
    environment.install("flash_attn_4", "4.0.0", {"flash_attn/cute/__init__.py": ""})
    result = environment.check("flash_attn_fits", CUDA)
    assert (result.outcome, result.summary) == verdict, "the folder is also FlashAttention 4's"


def test_on_a_gpu_that_it_has_no_code_for_it_is_not_tried(environment: SmallEnvironment) -> None:
    install(environment)
    torch = environment.site / "torch.py"
    old = "class cuda: device_count, get_device_capability = lambda: 1, lambda _: (7, 5)\n"
    torch.write_text("__version__ = '2.13.0+cu130'\n" + old)
    result = environment.check("flash_attn_fits", CheckContext(profile="cuda", gpus=("0",)))
    assert (result.outcome, result.summary) == (
        "skip",
        "needs compute capability 8.0; the best here is 7.5",
    )
    assert environment.check("flash_attn_fits", CUDA).outcome == "pass", (
        "one that is not used is not asked"
    )


def test_without_a_gpu_only_linking_is_claimed(environment: SmallEnvironment) -> None:
    install(environment)
    result = environment.check("flash_attn_fits", CUDA)
    verdict = "flash-attn 2.8.3 loads beside torch 2.13.0+cu130; nothing was computed, since no GPU is used here"
    assert (result.outcome, result.summary) == ("pass", verdict)


@twin_of("flash_attn_fits")
def test_a_package_that_does_not_load_fails(environment: SmallEnvironment) -> None:
    install(environment, "raise ImportError('undefined symbol: _ZN2at')")
    result = environment.check("flash_attn_fits", CUDA)
    assert (result.outcome, result.summary) == (
        "fail",
        "does not load: ImportError: undefined symbol: _ZN2at",
    )
    assert "flash_attn.mode: none" in result.hint


def test_a_gpu_that_torch_does_not_see_fails(environment: SmallEnvironment) -> None:
    install(environment)
    result = environment.check("flash_attn_fits", CheckContext(profile="cuda", gpus=("0", "1")))
    assert (result.outcome, result.summary) == ("fail", "torch sees 0 GPUs of 2")


TWINS = """
from checks import _flash_attn, flash_attn_fits as check

def plain(q, k, v, causal):
    return _numbers.fused_attention(torch, q, k, v, causal=causal)

def varied(q, k, v, starts, ends, most_queries, most_keys, causal):
    ranges = [[slice(*pair) for pair in zip(each.tolist(), each.tolist()[1:])] for each in (starts, ends)]
    return torch.cat([plain(q[None, a], k[None, b], v[None, b], causal)[0] for a, b in zip(*ranges)])

def cached(q, keys, values, k, v, cache_seqlens, causal, block_table=None):
    found = []
    for number, length in enumerate(cache_seqlens.tolist()):
        whole = []
        for cache, new in ((keys, k), (values, v)):
            pages = [cache[number]] if block_table is None else [cache[page] for page in block_table[number]]
            for place, row in enumerate(new[number], length):
                pages[place // len(pages[0])][place % len(pages[0])] = row
            whole.append(torch.cat(list(pages))[: length + len(new[number])])
        found.append(plain(q[None, number], *(each[None] for each in whole), causal)[0])
    return torch.stack(found)

def judged(twin=plain):
    return check.judge(torch, twin, varied, cached, "cpu")[0]

def in_varied(twin):
    return _numbers.judge_cases(torch, _flash_attn.varied_length_cases(torch, twin, "cpu"))[0]

def in_cache(twin):
    return _numbers.judge_cases(torch, _flash_attn.cached_cases(torch, twin, "cpu"))[0]

def tile(found):
    found = found.clone()
    found[0, 16:32, 1, 16:32] *= 1.01
    return found

def gone(*given, **settings):
    raise RuntimeError("no kernel image")

results["right"] = judged()
results["tile"] = judged(lambda *given, causal: tile(plain(*given, causal)))
results["tile of bfloat16"] = judged(lambda q, k, v, causal: (tile if q.dtype == torch.bfloat16 else torch.clone)(plain(q, k, v, causal)))
results["never causal"] = judged(lambda *given, causal: plain(*given, False))
results["one head for all"] = judged(lambda q, k, v, causal: plain(q, k[:, :, :1].expand(k.shape), v, causal))
results["no gradient"] = judged(lambda q, k, v, causal: plain(q, k.detach() + 0 * k, v, causal))
results["no number"] = judged(lambda *given, causal: plain(*given, causal) * float("nan"))
results["no kernel"] = judged(gone)
results["varied: neighbours seen"] = in_varied(lambda q, k, v, *lengths, causal: plain(q[None], k[None], v[None], causal)[0])
results["varied: no kernel"] = in_varied(gone)
results["cache: not written"] = in_cache(lambda q, keys, values, *new, **settings: cached(q, keys.clone(), values.clone(), *new, **settings))
results["cache: one less"] = in_cache(lambda *given, cache_seqlens, **settings: cached(*given, cache_seqlens=cache_seqlens - 1, **settings))
results["cache: pages in order"] = in_cache(lambda *given, block_table=None, **settings: cached(*given, block_table=None if block_table is None else block_table.flip(0), **settings))
results["cache: seen whole"] = in_cache(lambda *given, causal, **settings: cached(*given, causal=False, **settings))
"""
FIRST = "float16, head dimension 64, "


def test_numbers_are_judged_with_a_real_torch(real_vllm: real.Vllm) -> None:
    """On a CPU, where the package itself does not run."""
    expected = {
        "right": "",
        "tile": FIRST + "full, 113 x 203, output: ",
        "tile of bfloat16": "bfloat16, head dimension 64, full, 113 x 203, output: tile ",
        "never causal": FIRST + "causal, 113 x 203, output: off by ",
        "one head for all": FIRST + "full, 113 x 203, output: off by ",
        "no gradient": FIRST + "full, 113 x 203, gradient of k: off by ",
        "no number": FIRST + "full, 113 x 203, output: off by nan",
        "no kernel": FIRST + "full, 113 x 203, output: RuntimeError: no kernel image",
        "varied: neighbours seen": "varied lengths, float16, full: off by ",
        "varied: no kernel": "varied lengths, float16, full: RuntimeError: no kernel image",
        "cache: not written": "KV cache, float16, 1 new: ArithmeticError: the new keys and values are not in the cache",
        "cache: one less": "KV cache, float16, 1 new: ",
        "cache: pages in order": "KV cache in pages, float16, 1 new: ",
        "cache: seen whole": "KV cache, float16, 5 new: off by ",
    }
    real.assert_says(real_vllm.answers(TWINS), expected)


NEWER = """
import sys
from types import SimpleNamespace
from checks import _flash_attn_packages as packages

def plain(q, k, v, causal):
    return _numbers.fused_attention(torch, q, k, v, causal=causal)

def with_sums(*given, causal):
    return plain(*given, causal), "the logarithms of the sums"

def tile(*given, causal):
    found = plain(*given, causal).clone()
    found[0, 16:32, 1, 16:32] *= 1.01
    return found

def no_gradient(q, k, v, causal):
    return plain(q, k.detach() + 0 * k, v, causal)

for package in (packages.THREE, packages.FOUR):
    for twin in (plain, with_sums, tile, no_gradient):
        sys.modules[package.module] = SimpleNamespace(flash_attn_func=twin)
        results[f"{package.name}: {twin.__name__}"] = packages.judge(package, torch, "cpu")[0]
"""


def test_the_newer_packages_are_judged_too(real_vllm: real.Vllm) -> None:
    first = {
        "flash-attn 3": "float16, head dimension 64, ",
        "flash-attn 4": "bfloat16, head dimension 128, ",
    }
    expected = dict[str, str]()
    for package, name in first.items():
        expected |= {f"{package}: plain": "", f"{package}: with_sums": ""}
        expected |= {
            f"{package}: tile": name,
            f"{package}: no_gradient": f"{name}full, 113 x 203, gradient of k: off by",
        }
    real.assert_says(real_vllm.answers(NEWER), expected)


@twin_of("flash_attn_3_fits", "flash_attn_4_fits")
@pytest.mark.parametrize(
    ("flavour", "module"), [("3", "flash_attn_interface.py"), ("4", "flash_attn/cute/__init__.py")]
)
def test_each_of_the_newer_packages_has_a_check(
    environment: SmallEnvironment, flavour: str, module: str
) -> None:
    name = f"flash_attn_{flavour}_fits"
    with_gpus = plan(profile="cuda", gpus=UsedGpus(used=("0",)))
    assert name in promised_checks.choose_promised(
        with_gpus, lock("torch", f"flash-attn-{flavour}")
    )
    assert name not in promised_checks.choose_promised(with_gpus, lock("torch", "flash-attn"))
    assert environment.check(name, CUDA).outcome == "skip"
    environment.install("flash_attn_x", "1", {module: ""})
    assert environment.check(name, CUDA).outcome == "pass"
    (environment.site / module).write_text("raise ImportError('undefined symbol')")
    result = environment.check(name, CUDA)
    assert (result.outcome, result.summary) == (
        "warn",
        "does not load: ImportError: undefined symbol",
    )

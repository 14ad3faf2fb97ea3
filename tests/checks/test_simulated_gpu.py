"""Every check for GPUs on simulated ones, healthy and not, so that each of its lines runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provision.engine.launch_checks import CheckContext
from tests.checks import real
from tests.checks.environments import SmallEnvironment
from tests.checks.pretended_vllm import pretend

# Replaces torch.cuda, and makes the sizes of the checks small: they are for GPUs.
START = """
import dataclasses, importlib, os, subprocess, sys, tempfile, types
from pathlib import Path
os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported
from checks import (
    _flash_attn, _forward_and_backward, _rank, _ranks, _timing, _triton_kernel,
    collective_speed, cuda_graphs, flash_attn_fits, flashinfer_compiles, matmul, odd_pair_out,
    peer_copies, sdpa, speed_attention, speed_decode, speed_host_link, speed_matmul,
    triton_compiles,
)
from checks._contract import unmet_need
from tests.checks import simulated_gpu

gpus = simulated_gpu.install()
_timing._WARM_S, _timing._COLD_BYTES = 0, 1024
matmul._ODD = (33, 67, 35)
matmul._SHAPES = ((64, 128, 128), matmul._ODD, (16, 1024, 16), (1, 512, 40))
cuda_graphs._WIDTH = 128
sdpa._WIDTHS = (64,)
_forward_and_backward._SHAPES = ((17, 33, 4, 4), (32, 32, 6, 2))
_forward_and_backward.cases.__defaults__ = (_forward_and_backward.Variants(widths=(64,)),)
_flash_attn._WIDTH, _flash_attn._QUERIES, _flash_attn._KEYS = 64, (17, 1, 16), (33, 19, 16)
_flash_attn._BEFORE, _flash_attn._ROOM, _flash_attn._PAGE = (3, 31, 37), 64, 32
flash_attn_fits._LENGTH, flash_attn_fits._HEADS = 64, 2
peer_copies._CASES = ((1, 0, 0), (4_097, 1, 3), (2**16 + 3, 0, 1))
odd_pair_out._BYTES = speed_host_link._BYTES = 2**20
speed_matmul._GPU_SIZES = (64, 128)
speed_attention._TOKENS, speed_attention._TOTAL_WIDTH = 512, 128
speed_attention._GPU_LENGTHS, speed_attention._JUDGED_FROM = (512,), 512
speed_attention._PRODUCT, speed_attention._BUDGET_S = 128, 0
speed_decode._LENGTHS = (256, 512)
sizes = {"batch": 4, "page": 16, "heads": 8, "shared": 2, "width": 64}
speed_decode.Shape = dataclasses.make_dataclass(
    "Shape", [(name, int, size) for name, size in sizes.items()], frozen=True
)
FREE = 2**22  # speed_copy takes a part of it

def facts(capabilities):
    link = {"generation_max": 5, "width_max": 16, "width": 16}
    rows = [
        {"id": str(number), "name": simulated_gpu.PRODUCTS[capability].name, "link": link}
        for number, capability in enumerate(capabilities)
    ]
    pairs = [
        {"a": str(one), "b": str(other), "kind": "NV18"}
        for one in range(len(rows)) for other in range(one)
    ]
    return {"gpus": rows, "gpu_links": {"pairs": pairs}}

def conclude(check, capabilities):
    with tempfile.TemporaryDirectory() as scratch:
        used = tuple(map(str, range(len(capabilities))))
        context = Context(profile="cuda", scratch=scratch, gpus=used, facts=facts(capabilities))
        if reason := unmet_need(check.needs, context):
            return {"outcome": "skip", "summary": reason}
        try:
            verdict = check.body(context)
        except Exception as error:
            return {"outcome": "error", "summary": f"{type(error).__name__}: {error}"}
    return {
        "outcome": "pass" if verdict.passed else "fail",
        "summary": verdict.summary,
        "gpus": verdict.gpus,
        "beyond": verdict.evidence.get("beyond", {}),
        "figures": sorted({figure.name for figure in verdict.figures}),
        "evidence": verdict.evidence,
    }

def tried(name, *capabilities, slow=()):
    gpus.become(*capabilities, free=FREE)
    gpus.slow = dict(slow)
    importlib.import_module("checks." + name)
    sdpa._cases.cache_clear()  # another process has none
    return conclude(sys.modules["checks." + name].CHECK, capabilities)
"""

# Packages and programs that an environment for CUDA has, and this one has not.
PACKAGES = """
simulated_gpu.install_flash_attn(gpus)
simulated_gpu.install_vllm(gpus)
simulated_gpu.install_flashinfer(gpus)
simulated_gpu.install_nccl(gpus)

def softmax(tensor):
    # Triton's interpreter drops the lower bits of bfloat16 where a GPU rounds.
    with torch._C.DisableTorchFunction():
        answer = _triton_kernel.softmax(tensor.float()).to(tensor.dtype)
    answer.simulated_gpu = simulated_gpu.gpu_of(tensor)
    return answer

def run_in_fork(argv, **settings):
    def child():
        sys.argv = ["-c", *argv[5:]]
        exec(argv[4], {})
    (_, status), = _devices.run_in_forks(Path(argv[5]).parent, [child])
    return subprocess.CompletedProcess(argv, status, "", "")

def start_rank(request, environment):
    if process := os.fork():
        return process
    try:
        os.environ |= environment
        _rank.main(request)
    finally:
        os._exit(1)

triton_compiles.softmax = softmax
flashinfer_compiles.subprocess = types.SimpleNamespace(
    run=run_in_fork, TimeoutExpired=subprocess.TimeoutExpired
)
_ranks.run_group.__kwdefaults__["start"] = start_rank
_rank._STEPS = tuple((kind, precision, min(size, 2**14)) for kind, precision, size in _rank._STEPS)
collective_speed._SIZES, collective_speed._LARGE = (2**14, 2**16), 2**16
"""

CAPABILITIES = ((7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0), (12, 1))
NAMES = {
    (7, 0): "Tesla V100-SXM2-32GB",
    (7, 5): "Tesla T4",
    (8, 0): "NVIDIA A100-SXM4-80GB",
    (8, 6): "NVIDIA A10",
    (8, 9): "NVIDIA L40S",
    (9, 0): "NVIDIA H100 80GB HBM3",
    (10, 0): "NVIDIA B200",
    (12, 0): "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    (12, 1): "NVIDIA GB10",
}
# By check: the sentence that holds, and the lowest and highest capability that it is about.
RIGHT: dict[str, tuple[str, tuple[int, int], tuple[int, int]]] = {
    "matmul": ("products are right in every precision", (0, 0), (99, 0)),
    "sdpa": ("torch's attention is right", (0, 0), (99, 0)),
    "sdpa_cudnn": ("torch's attention with cuDNN is right", (0, 0), (99, 0)),
    "cuda_graphs": ("a CUDA graph replays right", (0, 0), (99, 0)),
    "torch_compiles": ("torch.compile is right", (0, 0), (99, 0)),
    "triton_compiles": ("Triton compiles, and its kernel is right", (0, 0), (99, 0)),
    "flashinfer_compiles": ("FlashInfer's kernel is right", (0, 0), (99, 0)),
    "flash_attn_fits": (
        "flash-attn 2.8.3 is right forward and backward, in varied lengths and with a KV cache",
        (8, 0),
        (99, 0),
    ),
    "flash_attn_3_fits": ("flash-attn 3 is right forward and backward", (9, 0), (9, 9)),
    "flash_attn_4_fits": ("flash-attn 4 is right forward and backward", (9, 0), (11, 9)),
    "vllm_activation": ("vLLM's activations are right", (0, 0), (99, 0)),
    "vllm_rms_norm": ("vLLM's RMS norm is right", (0, 0), (99, 0)),
    "vllm_rotary": ("vLLM's rotary embedding is right", (0, 0), (99, 0)),
    "vllm_paged_attention": ("vLLM's paged attention is right", (8, 0), (99, 0)),
    "vllm_quantised_matmul": ("vLLM's quantised products are right", (7, 5), (99, 0)),
    "speed_attention": ("attention is as fast as usual", (0, 0), (99, 0)),
}
FIGURES = {
    "flash_attn_fits": ["attention time"],
    "speed_attention": ["attention", "attention memory", "attention time", "product"],
}
# Checks whose summary is a speed: those of simulated GPUs reach 85 % of the peak.
SPEEDS = {
    "speed_copy": ("a copy in its memory reads and writes", "copy in GPU memory"),
    "speed_decode": ("decoding reads the KV cache at", "decode"),
    "speed_host_link": ("between host and GPU, in the slower direction: 55 GB/s", "host link"),
}
ALL = [*RIGHT, *SPEEDS, "speed_matmul", "gpus_seen"]


def text(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


@pytest.fixture(scope="module")
def of_one(real_vllm: real.Vllm) -> Any:
    """Return the result of every check on one GPU of each capability."""
    code = f"""
        for capability in {CAPABILITIES!r}:
            name = ".".join(map(str, capability))
            results[name] = {{check: tried(check, capability) for check in {ALL!r}}}
    """
    return answers(real_vllm, code)


def answers(vllm: real.Vllm, code: str, start: str = START + PACKAGES) -> Any:
    lines = "\n".join(line[8:] for line in code.splitlines())
    return vllm.answers(start + lines)


def assert_right(
    result: dict[str, Any], check: str, capabilities: tuple[tuple[int, int], ...], where: str
) -> None:
    """Require the verdict of healthy GPUs: passed, or skipped if the check is about none."""
    sentence, least, most = RIGHT[check]
    inside = [str(at) for at, one in enumerate(capabilities) if least <= one <= most]
    if not inside:
        best, lowest = max(capabilities), min(capabilities)
        reason = f"needs compute capability {text(least)}; the best here is {text(best)}"
        if best >= least:
            reason = f"supports at most compute capability {text(most)}; "
            reason += f"the lowest here is {text(lowest)}"
        assert (result["outcome"], result["summary"]) == ("skip", reason)
        return
    assert (result["outcome"], result["summary"]) == ("pass", f"{sentence} on {where}")
    assert result["gpus"] == inside
    assert set(result["beyond"]) == {str(at) for at in range(len(capabilities))} - set(inside)
    assert result["figures"] == FIGURES.get(check, [])


@pytest.mark.parametrize("capability", CAPABILITIES, ids=text)
def test_a_healthy_gpu_is_right(of_one: Any, capability: tuple[int, int]) -> None:
    results = of_one[text(capability)]
    name = NAMES[capability]
    for check in RIGHT:
        assert_right(results[check], check, (capability,), f"GPU 0 ({name})")
    seen = results["gpus_seen"]
    assert (seen["outcome"], seen["summary"]) == ("pass", f"torch sees 1 x {name}")
    assert seen["gpus"] == ["0"]


@pytest.mark.parametrize("capability", CAPABILITIES, ids=text)
def test_a_healthy_gpu_is_fast(of_one: Any, capability: tuple[int, int]) -> None:
    results = of_one[text(capability)]
    for check, (sentence, figure) in SPEEDS.items():
        result = results[check]
        if check == "speed_decode" and capability < (8, 0):
            assert result["outcome"] == "skip"
            continue
        assert result["outcome"] == "pass", result["summary"]
        assert result["summary"].startswith(sentence)
        assert (result["gpus"], result["figures"]) == (["0"], [figure])
        # An integrated GPU has no memory of its own, and above 9.0 the driver compiles the kernel
        # of the decoding check, which vLLM itself does not take there.
        by_driver = check == "speed_decode" and capability > (9, 9)
        without_peak = by_driver or (capability == (12, 1) and check != "speed_host_link")
        assert result["summary"].endswith("of the peak") != without_peak, result["summary"]
    product = results["speed_matmul"]
    assert (product["outcome"], product["figures"]) == ("pass", ["product"])
    assert product["summary"].startswith(f"GPU 0 ({NAMES[capability]}): ")
    assert product["summary"].endswith(" TFLOP/s")


@pytest.mark.parametrize("capability", CAPABILITIES, ids=text)
def test_each_gpu_takes_the_way_of_its_capability(of_one: Any, capability: tuple[int, int]) -> None:
    results = {
        check: next(iter(result["evidence"]["devices"].values()))
        for check, result in of_one[text(capability)].items()
        if "devices" in result.get("evidence", ())
    }
    if capability >= (7, 5):
        precision = "float8_e4m3fn" if capability >= (8, 9) else "int8"
        assert results["vllm_quantised_matmul"]["precision"] == precision
    halves = 2 if capability >= (8, 0) else 1
    assert results["matmul"]["halves"]["cases"] == 4 * halves
    flash = results["sdpa"]["flash"]
    # Torch's flash takes no causal mask that is not square, and no GPU before 8.0.
    assert (flash["cases"], "refused" in flash) == (6 if halves == 2 else 0, True)
    assert results["sdpa_cudnn"]["cuDNN"]["cases"] == (8 if halves == 2 else 0)
    ways = results["speed_attention"]["forward"]["512"]
    fused = {name for name, row in ways.items() if "tflops" in row} - {"eager"}
    packages = {"flash-attn", "vLLM's FlashAttention"} if halves == 2 else set()
    packages |= {"flash-attn 3"} if capability == (9, 0) else set()
    packages |= {"flash-attn 4"} if (9, 0) <= capability <= (11, 9) else set()
    assert packages <= fused
    assert ("SDPA flash" in fused, "SDPA cuDNN" in fused) == (halves == 2, halves == 2)
    kernels = results["speed_copy"]["ran"]
    assert kernels == ["void simulated::copy__kernel"]


TOGETHER = {
    "gpus_seen": "torch sees {count} x NVIDIA H100 80GB HBM3",
    "peer_copies": "over each of {pairs} ordered pairs of GPUs 3 copies arrived byte by byte",
    "odd_pair_out": "no pair is far slower than its peers: NV18 350 to 350 GB/s",
    "collectives": "all-reduce, all-gather and reduce-scatter up to 16 MiB are right on "
    "{count} GPUs (NCCL 2.29.7)",
    "collective_speed": "all-reduce of 6.10352e-05 GiB on {count} GPUs: 470 GB/s of bus bandwidth; "
    "{usual}",
}


@pytest.mark.parametrize("count", [2, 8])
def test_several_healthy_gpus_pass(real_vllm: real.Vllm, count: int) -> None:
    # Eight processes take long on two cores, and differ in their number only.
    right = RIGHT if count == 2 else ("matmul", "flash_attn_3_fits", "vllm_quantised_matmul")
    code = f"""
        for check in {[*right, *SPEEDS, "speed_matmul", *TOGETHER]!r}:
            results[check] = tried(check, *[(9, 0)] * {count})
    """
    results = answers(real_vllm, code)
    capabilities, every = ((9, 0),) * count, [str(number) for number in range(count)]
    for check in right:
        assert_right(results[check], check, capabilities, f"{count} GPUs")
    usual = "460 are usual" if count == 8 else "the usual speed of such a machine is not known"
    for check, sentence in TOGETHER.items():
        result = results[check]
        summary = sentence.format(count=count, pairs=count * (count - 1), usual=usual)
        assert (result["outcome"], result["summary"]) == ("pass", summary)
        assert result["gpus"] == every
    assert results["collective_speed"]["figures"] == ["all-reduce"]
    assert results["odd_pair_out"]["figures"] == ["peer copy"]
    for check, (sentence, _) in SPEEDS.items():
        assert (results[check]["outcome"], results[check]["gpus"]) == ("pass", every)
        assert results[check]["summary"].startswith(sentence)


MIXED = ((7, 0), (8, 9), (9, 0), (12, 0))


def test_of_different_gpus_those_beyond_a_claim_are_named(real_vllm: real.Vllm) -> None:
    limited = [check for check, (_, least, _) in RIGHT.items() if least > (0, 0)]
    code = f"""
        for check in {["matmul", "sdpa", *limited, "speed_decode"]!r}:
            results[check] = tried(check, *{MIXED!r})
        results["slow"] = tried("speed_copy", (9, 0), (9, 0), slow=[(1, 0.8)])
        results["very slow"] = tried("speed_copy", (9, 0), slow=[(0, 0.5)])
    """
    results = answers(real_vllm, code)
    for check in ("matmul", "sdpa", *limited):
        _, least, most = RIGHT[check]
        inside = [at for at, capability in enumerate(MIXED) if least <= capability <= most]
        alone = f"GPU {inside[0]} ({NAMES[MIXED[inside[0]]]})"
        where = alone if len(inside) == 1 else f"{len(inside)} GPUs"
        assert_right(results[check], check, MIXED, where)
    assert results["vllm_paged_attention"]["beyond"] == {
        "0": "it has compute capability 7.0, and 8.0 is needed"
    }
    assert results["flash_attn_3_fits"]["beyond"]["3"] == (
        "it has compute capability 12.0, and 9.9 is the highest supported"
    )
    assert results["speed_decode"]["gpus"] == ["1", "2", "3"]
    assert results["slow"]["summary"] == (
        "GPU 1 (NVIDIA H100 80GB HBM3): a copy in its memory reads and writes 2280 GB/s, "
        "the others of its kind 2850"
    )
    assert results["very slow"]["outcome"] == "fail"
    assert "42% of its peak of 3352; at least 65% is expected" in results["very slow"]["summary"]


# Mistakes in lines that only a GPU runs: a name, a keyword, a shape, a device, a missing call.
MISTAKES = {
    "speed_copy": ("torch.cuda.mem_get_info(", "torch.cuda.memory_info("),
    "speed_host_link": ("back.pin_memory()", "back.pinned_memory()"),
    "speed_attention": ("cu_seqlens_k=starts", "cu_seqlens_keys=starts"),
    "vllm_quantised_matmul": ("right.T, by_column.T, dtype", "right, by_column.T, dtype"),
    "vllm_paged_attention": (
        "lengths = torch.tensor(_ALL, dtype=torch.int32, device=device)",
        "lengths = torch.tensor(_ALL, dtype=torch.int32)",
    ),
    "cuda_graphs": ("graph.replay()", "pass"),
    "speed_decode": ("seqused_k=used", "seqused_k=used // 2"),
    "peer_copies": ("destination.copy_(source)", "source.copy_(destination)"),
    "odd_pair_out": ('device=f"cuda:{number}"', 'device=f"cuda:{number + 1}"'),
    "gpus_seen": ("properties.total_memory", "properties.memory_total"),
}


def test_a_mistake_in_a_line_for_gpus_is_caught(real_vllm: real.Vllm) -> None:
    code = f"""
        for name, (right, wrong) in {MISTAKES!r}.items():
            source = Path(importlib.import_module("checks." + name).__file__).read_text()
            assert source.count(right) >= 1, (name, right)
            module = types.ModuleType("checks." + name)
            module.__package__ = "checks"
            small = vars(sys.modules[module.__name__])
            exec(compile(source.replace(right, wrong), name, "exec"), vars(module))
            sizes = [key for key in small if key[0] == "_" and key.isupper()]
            vars(module).update({{key: small[key] for key in sizes}})
            sys.modules[module.__name__] = module
            results[name] = tried(name, (9, 0), (9, 0))
            if name == "speed_attention":
                rows = results[name]["evidence"]["devices"].values()
                results[name] = [row["forward"][512]["vLLM's FlashAttention"] for row in rows]
    """
    results = answers(real_vllm, code)
    caught = results.pop("speed_attention")
    assert all("cu_seqlens_keys" in row["none"] for row in caught), "no speed, and it says why"
    passed = [name for name, result in results.items() if result["outcome"] == "pass"]
    assert not passed
    assert results["speed_copy"]["summary"].startswith("AttributeError: ")
    assert (
        "Expected all tensors to be on the same device"
        in (results["vllm_paged_attention"]["summary"])
    )


def test_the_simulation_refuses_what_a_gpu_refuses(real_vllm: real.Vllm) -> None:
    code = """
        gpus.become((9, 0), (9, 0))
        here, there = (torch.ones(3, device=f"cuda:{number}") for number in (0, 1))
        def refused(call):
            try:
                return repr(call())
            except Exception as error:
                return str(error)
        results = {
            "two GPUs": refused(lambda: here + there),
            "GPU and CPU": refused(lambda: torch.cat([here, torch.ones(3)])),
            "a number of the CPU": refused(lambda: (here + torch.tensor(1.0)).device),
            "a copy": refused(lambda: here.copy_(there).device),
            "moved": refused(lambda: (here.to("cuda:1").device, here.cpu().device, here.is_cuda)),
            "third GPU": refused(lambda: torch.ones(3, device="cuda:2")),
            "no name": refused(lambda: torch.cuda.no_such_name),
        }
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results["captured"] = refused(lambda: float(here.sum()))
    """
    assert answers(real_vllm, code, START) == {
        "two GPUs": "Expected all tensors to be on the same device, but found at least two: "
        "cuda:0 and cuda:1 (when calling add)",
        "GPU and CPU": "Expected all tensors to be on the same device, but found at least two: "
        "cpu and cuda:0 (when calling cat)",
        "a number of the CPU": "device(type='cuda', index=0)",
        "a copy": "device(type='cuda', index=0)",
        "moved": "(device(type='cuda', index=1), device(type='cpu'), True)",
        "third GPU": "CUDA error: invalid device ordinal",
        "no name": "module 'torch.cuda' has no attribute 'no_such_name'",
        "captured": "CUDA error: operation not permitted when stream is capturing",
    }


TRANSFORMERS_AND_ENGINE = """
results["transformers"] = tried("attn_implementation", (9, 0), (7, 0))

from checks import _plain_llama, _tiny_model, vllm_generates
exact = vllm_generates._answer(torch, _plain_llama.PlainLlama(torch, torch.float16))[0]
backend = types.SimpleNamespace(get_name=lambda: "FLASH_ATTN")
layer = types.SimpleNamespace(get_attn_backend=lambda: backend)

class LLM:
    def __init__(self, **settings):
        results["settings"] = {name: settings[name] for name in ("dtype", "enforce_eager")}
        compilation = types.SimpleNamespace(static_forward_context={"layer": layer})
        self.llm_engine = types.SimpleNamespace(
            model_config=types.SimpleNamespace(dtype=torch.float16),
            vllm_config=types.SimpleNamespace(compilation_config=compilation),
        )

    def generate(self, prompts, greedy, use_tqdm):
        assert [tuple(row["prompt_token_ids"]) for row in prompts] == list(_tiny_model.PROMPTS)
        return [
            types.SimpleNamespace(outputs=[types.SimpleNamespace(
                token_ids=list(answer.tokens),
                logprobs=[
                    {0: types.SimpleNamespace(logprob=0.0), 1: types.SimpleNamespace(logprob=-lead)}
                    for lead in answer.leads
                ],
            )])
            for answer in exact
        ]

vllm = types.ModuleType("vllm")
vllm.LLM, vllm.SamplingParams = LLM, types.SimpleNamespace
vllm.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
sys.modules["vllm"] = vllm
results["engine"] = tried("vllm_generates", (9, 0))
"""


def test_transformers_and_an_engine_beside_a_gpu(real_vllm: real.Vllm) -> None:
    results = real_vllm.answers(START + TRANSFORMERS_AND_ENGINE)
    transformers = results["transformers"]
    assert transformers["outcome"] == "pass", transformers["summary"]
    assert transformers["summary"] == (
        "set attn_implementation='sdpa': it ran void simulated::fmha_cutlass_kernel, and sdpa and "
        "eager agree; flash_attention_2 cannot run here: "
        "the package flash-attn is not in this environment"
    )
    tried = transformers["evidence"]["tried"]["sdpa"]
    assert [row["device"] for row in tried] == [
        "GPU 0 (NVIDIA H100 80GB HBM3)",
        "GPU 1 (Tesla V100-SXM2-32GB)",
    ]
    engine = results["engine"]
    assert results["settings"] == {"dtype": "auto", "enforce_eager": True}
    assert (engine["outcome"], engine["evidence"]["backend"]) == ("pass", ["FLASH_ATTN"])
    assert engine["figures"] == ["attention backend", "generation", "precision", "tokens"]


def test_a_server_beside_a_gpu_must_leave_no_memory_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    pretend(environment)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$1" in *query-gpu*) echo "GPU-0, 3";; *) echo "GPU-0, 0";; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    plan = {"attention": [{"gpu": "0", "backend": "TRITON_ATTN"}]}
    context = CheckContext(profile="cuda", gpus=("0",), plan=plan)
    result = environment.check("vllm_serves", context)
    assert result.outcome == "pass", result.summary
    assert result.summary.endswith("; it took FLASH_ATTN, and TRITON_ATTN was planned")
    assert result.evidence["backend"] == ["FLASH_ATTN"]

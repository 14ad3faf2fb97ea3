"""_devices: every device judged by itself, MIG slices, and a full GPU as an error."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from checks import _devices, _numbers
from checks._contract import Context, Figure

UUID = "11111111-2222-3333-4444-555555555555"
# As the driver, cuBLAS, torch's allocator, Triton, vLLM and NCCL say it.
FULL = (
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.80 GiB",
    "Triton Error [CUDA]: out of memory",
    "Free memory on device cuda:0 (1.2/79.1 GiB) on startup is less than desired GPU memory utilization (0.2)",
    "Free memory on device cuda:0 (1.2/79.1 GiB) on startup is less than the engine's budget after excluding external",
)
UNSURE = "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand in for a torch with GPUs, as far as `_devices` uses it."""
    cuda = SimpleNamespace(
        device_count=lambda: 1,
        is_initialized=lambda: False,
        get_device_name=lambda _: "NVIDIA H100 80GB HBM3",
        get_device_properties=lambda _: SimpleNamespace(uuid=UUID),
        set_device=lambda _: None,
    )
    pretended = SimpleNamespace(cuda=cuda, __version__="2.11.0+cu130")
    monkeypatch.setattr("importlib.import_module", lambda _: pretended)
    return pretended


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        f"GPU-{UUID}, {os.getpid()}, python, 500",
        f"GPU-{UUID}, 4711, /opt/vllm/bin/python3, 78000",
        "GPU-99999999-2222-3333-4444-555555555555, 4712, other, 7",
    )
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{row}'\n" for row in rows))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def on_gpus(body: Any, *gpus: str, scratch: Path = Path(), at_once: bool = True) -> Any:
    context = Context(profile="cuda", scratch=str(scratch), gpus=gpus)
    return _devices.try_on_each(context, body, "all is well", at_once=at_once)


def raising(problem: Exception) -> Any:
    def case() -> Any:
        raise problem

    return case


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("message", FULL)
def test_a_full_gpu_is_an_error_that_names_the_holder(torch: Any, message: str) -> None:
    for body in (
        lambda *_: raising(RuntimeError(message))(),
        lambda *_: _numbers.judge_cases(
            torch, [("a case", raising(RuntimeError(message)), None, None)]
        ),
    ):
        with pytest.raises(MemoryError) as full:
            on_gpus(body, "0")
        assert (
            str(full.value)
            == "cuda:0 has too little free memory for a small check: python3 (PID 4711) holds 78000 MiB"
        )


@pytest.mark.usefixtures("driver")
def test_words_of_cublas_mean_a_full_gpu_only_with_little_memory(torch: Any) -> None:
    torch.cuda.is_initialized = lambda: True
    torch.cuda.mem_get_info = lambda: (3 * 2**20, 80 * 2**30)
    with pytest.raises(MemoryError, match="cuda:0 has too little free memory"):
        on_gpus(lambda *_: raising(RuntimeError(UNSURE))(), "0")
    torch.cuda.mem_get_info = lambda: (70 * 2**30, 80 * 2**30)
    assert on_gpus(lambda *_: raising(RuntimeError(UNSURE))(), "0").summary.endswith(UNSURE)
    torch.cuda.is_initialized = lambda: False  # to ask would wake the driver up
    assert not _devices.means_full(UNSURE)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("at_once", [True, False])
def test_a_gpu_beyond_the_claim_is_named_and_not_counted(
    two: Any, tmp_path: Path, at_once: bool
) -> None:
    two.cuda.get_device_capability = lambda device: (7, 5) if device == "cuda:0" else (8, 0)
    context = Context(profile="cuda", scratch=str(tmp_path), gpus=("4", "7"))
    result = _devices.try_on_each(
        context, lambda *_: ("", {}), "all is well", at_once=at_once, least=(8, 0)
    )
    assert (result.passed, result.gpus) == (True, ("7",))
    assert result.summary == "all is well on GPU 1 (NVIDIA H100 80GB HBM3)"
    assert result.evidence["beyond"] == {"4": "it has compute capability 7.5, and 8.0 is needed"}
    two.cuda.get_device_capability = lambda device: (10, 0) if device == "cuda:0" else (9, 0)
    result = _devices.try_on_each(
        context, lambda *_: ("", {}), "", at_once=at_once, least=(9, 0), most=(9, 9)
    )
    assert (result.passed, result.gpus) == (True, ("7",))
    two.cuda.get_device_capability = lambda _: (7, 0)
    with pytest.raises(
        RuntimeError, match=r"nothing was tried on GPU 0 .*: it has compute capability 7\.0"
    ):
        _devices.try_on_each(
            context, lambda *_: ("", {}), "all is well", at_once=False, least=(8, 0)
        )


def test_without_a_known_holder_the_message_stays(
    torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    torch.cuda.get_device_properties = lambda _: raising(
        RuntimeError("CUDA error: out of memory")
    )()
    with pytest.raises(
        MemoryError, match=r"small check: CUDA error: out of memory CUDA kernel errors"
    ):
        on_gpus(lambda *_: raising(RuntimeError(FULL[0]))(), "0")


@pytest.mark.usefixtures("torch")
def test_an_error_of_a_kernel_is_a_failure() -> None:
    result = on_gpus(
        lambda *_: raising(RuntimeError("CUDA error: no kernel image is available\nmore"))(), "0"
    )
    assert not result.passed
    assert (
        result.summary
        == "GPU 0 (NVIDIA H100 80GB HBM3): RuntimeError: CUDA error: no kernel image is available"
    )


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("gpus", [("0:0", "0:1", "0:2"), ("MIG-a", "MIG-b"), ("0",)])
def test_of_slices_a_process_sees_one(gpus: tuple[str, ...]) -> None:
    assert (
        on_gpus(lambda *_: ("", {}), *gpus).summary
        == "all is well on GPU 0 (NVIDIA H100 80GB HBM3)"
    )


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("at_once", [True, False])
def test_a_gpu_that_is_hidden_fails(tmp_path: Path, at_once: bool) -> None:
    result = on_gpus(lambda *_: ("", {}), "0", "1", scratch=tmp_path, at_once=at_once)
    assert (result.passed, result.summary) == (False, "torch sees 1 GPUs of 2")


@pytest.fixture
def two(torch: Any) -> Any:
    torch.cuda.device_count = lambda: 2
    return torch


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("at_once", [True, False])
def test_several_gpus_are_tried_at_once_unless_they_are_timed(
    tmp_path: Path, at_once: bool
) -> None:
    def body(_: Any, device: str) -> Any:
        return "wrong" if device == "cuda:1" else "", {"process": os.getpid()}

    result = on_gpus(body, "0", "1", scratch=tmp_path, at_once=at_once)
    assert (result.passed, result.summary) == (False, "GPU 1 (NVIDIA H100 80GB HBM3): wrong")
    processes = {item["process"] for item in result.evidence["devices"].values()}
    assert len(processes | {os.getpid()}) == (3 if at_once else 1)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("at_once", [True, False])
def test_figures_come_from_every_gpu_in_any_process(tmp_path: Path, at_once: bool) -> None:
    def body(_: Any, device: str) -> Any:
        one = Figure("copy", 2.0, "GB/s", "higher", {"way": "to GPU"}, (1.0, 2.0, 3.0), 3, "timed")
        return "wrong" if device == "cuda:1" else "", {"figures": [one], "more": 1}

    result = on_gpus(body, "4", "7", scratch=tmp_path, at_once=at_once)
    of = [{"on": f"GPU {number}", "way": "to GPU"} for number in (0, 1)]
    assert result.figures == tuple(
        Figure("copy", 2.0, "GB/s", "higher", item, (1.0, 2.0, 3.0), 3, "timed") for item in of
    )
    assert result.gpus == ("4", "7")
    assert "figures" not in str(result.evidence), "they are not kept twice"


def test_after_cuda_has_started_nothing_is_forked(two: Any, tmp_path: Path) -> None:
    two.cuda.is_initialized = lambda: True
    result = on_gpus(lambda *_: ("", {"process": os.getpid()}), "0", "1", scratch=tmp_path)
    assert result.summary == "all is well on 2 GPUs"
    assert {device["process"] for device in result.evidence["devices"].values()} == {os.getpid()}


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("ends", "error", "says"),
    [
        (
            lambda: os.kill(os.getpid(), 9),
            ChildProcessError,
            "GPU 1: its process ended with status -9 without a result",
        ),
        (lambda: 1 / 0, ChildProcessError, "GPU 1: ZeroDivisionError: division by zero"),
        (
            raising(RuntimeError(FULL[0])),
            MemoryError,
            "cuda:1 has too little free memory for a small check",
        ),
    ],
    ids=["killed", "raised", "full"],
)
def test_a_death_of_one_process_is_an_error(
    tmp_path: Path, ends: Any, error: type, says: str
) -> None:
    def body(_: Any, device: str) -> Any:
        if device == "cuda:1":
            ends()
        return "", {}

    with pytest.raises(error, match=says):
        on_gpus(body, "0", "1", scratch=tmp_path)

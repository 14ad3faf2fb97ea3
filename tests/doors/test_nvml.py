"""doors/nvml.py with a real shared library that behaves like NVML on other hosts."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from provision.doors import nvml, process
from provision.doors.reading import Reading
from provision.host import (
    gpu_clocks,
    gpu_fabric,
    gpu_links,
    gpu_memory_errors,
    gpu_processes,
    gpu_throttling,
    gpus,
)
from provision.host import nvml as nvml_fact
from provision.host._model import Fact, File, Host, Readings

if TYPE_CHECKING:
    from collections.abc import Callable

H100 = (
    """\
driver = 580.65.06
cuda = 13000
count = 8
gpu*.name = NVIDIA H100 80GB HBM3
gpu*.memory = 85520809984
gpu*.cc = 9.0
gpu*.mig = 0
gpu*.ecc = 1
gpu*.persistence = 1
gpu*.virtualization = 0
gpu*.width = 16
gpu*.width_max = 16
gpu*.generation = 5
gpu*.generation_max = 5
path* = 50
"""
    + "".join(f"gpu{n}.bus_id = 00000000:{0x17 + n:02X}:00.0\n" for n in range(8))
    + "".join(f"gpu*.nvlink{n} = switch\n" for n in range(18))
)

GB10 = """\
driver = 580.95.05
cuda = 13000
count = 1
gpu0.name = NVIDIA GB10
gpu0.cc = 12.1
gpu0.bus_id = 0000000F:01:00.0
gpu0.persistence = 1
"""

MIG = """\
driver = 565.57.01
cuda = 12070
count = 2
gpu*.name = NVIDIA A100 80GB PCIe
gpu*.memory = 85899345920
gpu*.cc = 8.0
gpu0.mig = 1
gpu1.mig = 0
gpu0.bus_id = 00000000:3B:00.0
gpu1.bus_id = 00000000:AF:00.0
gpu0.mig0.name = NVIDIA A100 80GB PCIe MIG 1g.20gb
gpu0.mig0.memory = 20937965568
gpu0.mig3.name = NVIDIA A100 80GB PCIe MIG 3g.40gb
path* = 50
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the library once and return its folder."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: the stand-in for NVML cannot be built")
    source = Path(__file__).parents[1] / "host" / "fake_nvml.c"
    folder = tmp_path_factory.mktemp("nvml")
    built = process.run(
        [compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], deadline_s=60
    )
    assert built.ok, built.problem()
    return folder


@pytest.fixture
def read(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reading]:
    """Read NVML on the described host."""

    def read_described(described: str, deadline_s: float = 30.0) -> Reading:
        (tmp_path / "nvml.txt").write_text(described)
        monkeypatch.setenv("FAKE_NVML", str(tmp_path / "nvml.txt"))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
        return nvml.read(deadline_s)

    return read_described


def host(reading: Reading, **more: Reading) -> Host:
    return Host({nvml_fact.SOURCE.key: reading, **more})


def test_eight_h100(read: Callable[..., Reading]) -> None:
    reading = read(H100)
    assert (reading.outcome, reading.detail) == ("ok", "")
    recorded = host(reading)
    result = recorded.known(gpus.FACT)
    assert result is not None
    assert [gpu.id for gpu in result] == list("01234567")
    assert result[3] == gpus.Gpu(
        id="3",
        name="NVIDIA H100 80GB HBM3",
        cc="9.0",
        memory_gb=79.6,
        bus_id="0000:1a:00.0",
        mig=False,
        ecc=True,
        persistence=True,
        link=gpus.PcieLink(width=16, width_max=16, generation=5, generation_max=5),
    )
    links = recorded.known(gpu_links.FACT)
    assert links is not None
    assert len(links.pairs) == 28
    assert {link.kind for link in links.pairs} == {"NV18"}
    assert links.nvswitch is True
    assert recorded.known(nvml_fact.FACT) == nvml_fact.Nvml(state="ok", cuda="13.0")


def test_direct_nvlinks_count_for_their_peer(read: Callable[..., Reading]) -> None:
    described = "count = 3\ngpu*.name = NVIDIA GeForce RTX 3090\npath* = 30\n"
    described += "".join(f"gpu{n}.bus_id = 00000000:{n + 1:02X}:00.0\n" for n in range(3))
    described += "".join(
        f"gpu0.nvlink{n} = 00000000:02:00.0\ngpu1.nvlink{n} = 00000000:01:00.0\n" for n in range(4)
    )
    described += "gpu0.nvlink4 = down\n"
    links = host(read(described)).known(gpu_links.FACT)
    assert links is not None
    assert [(link.a, link.b, link.kind) for link in links.pairs] == [
        ("0", "1", "NV4"),
        ("0", "2", "PHB"),
        ("1", "2", "PHB"),
    ]
    assert links.nvswitch is False


def test_an_unsupported_call_loses_one_field(read: Callable[..., Reading]) -> None:
    reading = read(GB10)
    assert (
        nvml_fact.document(Readings({nvml_fact.SOURCE.key: reading})).gpus[0].errors["memory"]
        == "Not Supported"
    )
    meminfo = Reading(outcome="ok", text="MemTotal:       125513884 kB\nMemFree:  1 kB\n")
    result = host(reading, **{File("/proc/meminfo").key: meminfo}).known(gpus.FACT)
    assert result == (
        gpus.Gpu(
            id="0",
            name="NVIDIA GB10",
            cc="12.1",
            memory_gb=119.7,
            bus_id="000f:01:00.0",
            persistence=True,
            integrated=True,
        ),
    )


def test_mig_slices(read: Callable[..., Reading]) -> None:
    result = host(read(MIG)).known(gpus.FACT)
    assert result is not None
    assert [gpu.mig for gpu in result] == [True, False]
    assert result[0].slices == (
        gpus.MigSlice(id="0:0", profile="1g.20gb", memory_gb=19.5),
        gpus.MigSlice(id="0:3", profile="3g.40gb"),
    )
    assert result[1].slices == ()


SICK = """\
count = 2
gpu*.name = NVIDIA H100 80GB HBM3
gpu0.rows = 4 1 1 0
gpu0.uncorrected = 2
gpu0.uncorrected_ever = 7
gpu0.sm = 345
gpu0.sm_max = 1980
gpu0.power = 350000
gpu0.power_default = 700000
gpu0.throttling = 72
gpu0.fabric = 2
gpu0.process0 = 4711 8589934592 /usr/bin/python3 --api-key=geheim
gpu0.process1 = 4712 1048576
"""


def test_problems_of_a_gpu(read: Callable[..., Reading]) -> None:
    recorded = host(read(SICK))
    assert recorded.known(gpu_memory_errors.FACT) == (
        gpu_memory_errors.GpuMemoryErrors(
            id="0",
            uncorrected=2,
            uncorrected_ever=7,
            rows_correctable=4,
            rows_uncorrectable=1,
            remap_pending=1,
            remap_failed=0,
        ),
    )
    assert recorded.known(gpu_clocks.FACT) == (
        gpu_clocks.GpuClocks(id="0", sm=345, sm_max=1980, power_w=350.0, power_default_w=700.0),
    )
    assert recorded.known(gpu_throttling.FACT) == (
        gpu_throttling.GpuThrottling(
            id="0", reasons=("hardware slowdown", "hardware thermal slowdown")
        ),
    )
    assert recorded.known(gpu_fabric.FACT) == (gpu_fabric.GpuFabric(id="0", state="in progress"),)


def test_processes_by_program_without_arguments(read: Callable[..., Reading]) -> None:
    reading = read(SICK)
    assert host(reading).known(gpu_processes.FACT) == (
        gpu_processes.GpuProcess(id="0", pid=4711, name="python3", memory_mib=8192),
        gpu_processes.GpuProcess(id="0", pid=4712, memory_mib=1),
    )
    assert "geheim" not in reading.text
    assert host(read("count = 1\ngpu0.name = NVIDIA L4\n")).known(gpu_processes.FACT) == ()


def test_unsupported_values_are_missing_with_a_reason(read: Callable[..., Reading]) -> None:
    recorded = host(read(GB10))
    facts: list[Fact[Any]] = [
        gpu_memory_errors.FACT,
        gpu_clocks.FACT,
        gpu_throttling.FACT,
        gpu_fabric.FACT,
    ]
    for fact in facts:
        missing = recorded.missing(fact)
        assert missing is not None
        assert (missing.why, missing.detail) == ("not read", "Not Supported")


def test_a_lost_gpu_does_not_lose_the_others(read: Callable[..., Reading]) -> None:
    recorded = host(read(H100 + "gpu5.handle = error 15\n"))
    result = recorded.known(gpus.FACT)
    assert result is not None
    assert [gpu.id for gpu in result] == list("0123467")
    assert "GPU 5 does not answer: GPU is lost" in recorded.warnings(gpus.FACT)


def test_a_version_mismatch_keeps_the_text_of_nvml(read: Callable[..., Reading]) -> None:
    reading = read("init = 18\n")
    assert reading.outcome == "failed"
    assert reading.detail.startswith("NVML error 18: ")
    assert '"libnvidia-ml.so.1"' in reading.text
    answer = host(reading).known(nvml_fact.FACT)
    assert answer is not None
    assert answer.state == "version mismatch"


@pytest.mark.parametrize(
    ("code", "outcome", "state"),
    [
        (4, "refused", "no permission"),
        (9, "failed", "driver not loaded"),
        (999, "failed", "failed"),
    ],
)
def test_an_error_at_the_start(
    read: Callable[..., Reading], code: int, outcome: str, state: str
) -> None:
    reading = read(f"init = {code}\n")
    assert reading.outcome == outcome
    answer = host(reading).known(nvml_fact.FACT)
    assert answer is not None
    assert answer.state == state


def test_a_crash_is_named(read: Callable[..., Reading]) -> None:
    reading = read("init = crash\n")
    assert reading == Reading(
        outcome="failed", detail="the child that reads NVML was ended by SIGSEGV"
    )


def test_a_hang_ends_at_the_deadline(read: Callable[..., Reading]) -> None:
    began = time.monotonic()
    reading = read("init = hang\n", 1.0)
    assert reading == Reading(outcome="timed out", detail="NVML did not answer within 1 s")
    assert time.monotonic() - began < 5
    answer = host(reading).known(nvml_fact.FACT)
    assert answer is not None
    assert answer.state == "timed out"


def test_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file that is no library stands in front of a real one, should this host have one.
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    reading = nvml.read(30)
    assert reading.outcome == "absent"
    assert host(reading).value(gpus.FACT).why == "absent"  # type: ignore[union-attr]  # a Missing, or it fails


def test_no_identity_is_read(read: Callable[..., Reading]) -> None:
    text = read(
        H100 + "gpu*.uuid = GPU-11111111-2222-3333-4444-555555555555\ngpu*.serial = 1651922013945\n"
    ).text
    assert "GPU-1111" not in text
    assert "1651922013945" not in text

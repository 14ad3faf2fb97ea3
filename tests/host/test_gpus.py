"""host/gpus.py: the source that is believed, additions of the others, and contradictions."""

from __future__ import annotations

import json

import pytest

from provision.doors.reading import Reading
from provision.host import _gpus_of_the_kernel as kernel
from provision.host import _nvidia_smi, driver, gpus, nvml, pci_gpus
from provision.host._model import Host, Missing, Readings

LONG, SHORT, WSL = (command.key for command in _nvidia_smi.SOURCES)
FULL_ROW = "{n}, NVIDIA A100-SXM4-80GB, 00000000:{bus}:00.0, 550.54.15, 81920, Enabled, Enabled, 8.0, Disabled, 4, 4, 8, 16"


def ok(text: str) -> Reading:
    return Reading(outcome="ok", text=text)


def answered(*answers: dict[str, object]) -> Reading:
    return ok(json.dumps({"driver": "550.54.15", "gpus": answers}))


def named(host: Host) -> list[tuple[str, str]]:
    result = host.known(gpus.FACT)
    assert result is not None
    return [(gpu.id, gpu.name) for gpu in result]


def test_nvidia_smi_stands_in_for_nvml() -> None:
    rows = "\n".join(FULL_ROW.format(n=n, bus=bus) for n, bus in enumerate(("07", "0F")))
    host = Host({LONG: ok(rows), nvml.SOURCE.key: Reading(outcome="timed out", detail="slow")})
    result = host.known(gpus.FACT)
    assert result is not None
    assert result[1] == gpus.Gpu(
        id="1",
        name="NVIDIA A100-SXM4-80GB",
        cc="8.0",
        memory_gb=80.0,
        bus_id="0000:0f:00.0",
        mig=False,
        ecc=True,
        persistence=True,
        link=gpus.PcieLink(width=8, width_max=16, generation=4, generation_max=4),
    )
    assert host.warnings(gpus.FACT) == [
        "NVML does not answer, the GPUs are as nvidia-smi lists them"
    ]


def test_thousands_of_gpus_are_no_host() -> None:
    rows = "\n".join(FULL_ROW.format(n=n, bus=f"{n % 256:02x}") for n in range(1025))
    missing = Host({LONG: ok(rows)}).missing(gpus.FACT)
    assert missing is not None
    assert missing.detail == "more than 1024 GPUs"


def test_an_old_nvidia_smi_knows_less() -> None:
    refusal = Reading(outcome="failed", detail='Field "compute_cap" is not a valid field to query.')
    row = "0, Tesla K80, 00000000:00:1E.0, 470.57.02, 11441, [Not Supported], [N/A]"
    host = Host({LONG: refusal, SHORT: ok(row)})
    assert host.known(gpus.FACT) == (
        gpus.Gpu(id="0", name="Tesla K80", memory_gb=11.2, bus_id="0000:00:1e.0"),
    )


def test_the_tool_of_windows_under_wsl() -> None:
    row = "0, NVIDIA GeForce RTX 4090, 00000000:01:00.0, 576.02, 24564, Enabled, [N/A]"
    assert named(Host({WSL: ok(row)})) == [("0", "NVIDIA GeForce RTX 4090")]


def test_words_that_are_no_rows_are_no_gpus() -> None:
    assert _nvidia_smi.rows(Readings({LONG: ok("No devices were found\n")})) is None
    assert _nvidia_smi.rows(Readings({LONG: ok("0, " + "x" * 200_000 + "\n")})) is None


def test_what_nvml_does_not_tell_comes_from_nvidia_smi_by_bus_id() -> None:
    host = Host(
        {
            nvml.SOURCE.key: answered(
                {
                    "index": 0,
                    "name": "NVIDIA A100-SXM4-80GB",
                    "bus_id": "00000000:0F:00.0",
                    "cc": "8.0",
                }
            ),
            LONG: ok(
                FULL_ROW.format(n=1, bus="0F")
                + "\n"
                + FULL_ROW.format(n=0, bus="07").replace("81920", "1")
            ),
        }
    )
    result = host.known(gpus.FACT)
    assert result is not None
    assert (result[0].id, result[0].memory_gb, result[0].ecc) == ("0", 80.0, True)
    assert host.warnings(gpus.FACT) == ["NVML shows 1 GPUs, nvidia-smi shows 2"]


def test_names_that_differ_are_a_warning() -> None:
    host = Host(
        {
            nvml.SOURCE.key: answered(
                {"index": 0, "name": "NVIDIA A100-SXM4-40GB", "bus_id": "00000000:07:00.0"}
            ),
            LONG: ok(FULL_ROW.format(n=0, bus="07")),
        }
    )
    assert named(host) == [("0", "NVIDIA A100-SXM4-40GB")]
    assert host.warnings(gpus.FACT) == [
        "NVML calls GPU 0 'NVIDIA A100-SXM4-40GB', nvidia-smi 'NVIDIA A100-SXM4-80GB'"
    ]


def test_the_kernel_module_names_its_gpus_when_nothing_else_answers() -> None:
    information = "Model: \t\t NVIDIA L40S\nIRQ:   \t\t 120\nGPU UUID: \t GPU-***\nBus Location: \t 0000:e1:00.0\n"
    host = Host(
        {
            nvml.SOURCE.key: Reading(outcome="failed", detail="NVML error 18: mismatch"),
            kernel.PROC.key: ok(
                json.dumps(
                    {
                        "/proc/driver/nvidia/gpus/0000:e1:00.0/information": information,
                        "/proc/driver/nvidia/gpus/0000:01:00.0/information": information.replace(
                            "L40S", "L4"
                        ),
                        "/proc/driver/nvidia/gpus/0000:c1:00.0/information": "Model: Unknown\n",
                    }
                )
            ),
        }
    )
    assert named(host) == [("0", "NVIDIA L4"), ("1", "NVIDIA L40S")]
    assert host.warnings(gpus.FACT) == [
        "NVML does not answer, the GPUs are as /proc/driver/nvidia lists them"
    ]


def link_of(
    driver: dict[str, int], gpu: dict[str, str], port: dict[str, str]
) -> gpus.PcieLink | None:
    """Return the link of one GPU as the driver, the GPU and its port tell it."""
    folder = "/sys/bus/pci/drivers/nvidia/0000:07:00.0"
    answer = {"index": 0, "name": "NVIDIA L4", "bus_id": "00000000:07:00.0", **driver}
    host = Host(
        {
            nvml.SOURCE.key: answered(answer),
            kernel.LINKS.key: ok(json.dumps({f"{folder}/{name}": gpu[name] for name in gpu})),
            kernel.PORTS.key: ok(json.dumps({f"{folder}/../{name}": port[name] for name in port})),
        }
    )
    result = host.known(gpus.FACT)
    assert result is not None
    return result[0].link


GPU_OF_4 = {
    "current_link_width": "8\n",
    "max_link_width": "16\n",
    "current_link_speed": "2.5 GT/s PCIe\n",
    "max_link_speed": "16.0 GT/s PCIe\n",
}


def test_the_maximum_of_a_link_is_that_of_gpu_and_slot_together() -> None:
    by_driver = link_of({"width_max": 16, "generation_max": 3}, GPU_OF_4, {})
    assert by_driver == gpus.PcieLink(
        width=8, width_max=16, generation=1, generation_max=3, generation_of_gpu=4
    )
    port = {"max_link_width": "8\n", "max_link_speed": "8.0 GT/s PCIe\n"}
    by_port = link_of({"width_max": 16, "generation_max": 4}, GPU_OF_4, port)
    assert by_port == gpus.PcieLink(
        width=8,
        width_max=8,
        generation=1,
        generation_max=3,
        width_of_gpu=16,
        generation_of_gpu=4,
    )
    alone = link_of({}, GPU_OF_4, {})
    assert alone == gpus.PcieLink(width=8, width_max=16, generation=1, generation_max=4)


def test_the_emulated_port_of_a_virtual_machine_sets_no_limit() -> None:
    port = {"max_link_width": "1\n", "max_link_speed": "2.5 GT/s PCIe\n"}
    link = link_of({"width_max": 16, "generation_max": 4, "generation": 4}, GPU_OF_4, port)
    assert link == gpus.PcieLink(width=8, width_max=16, generation=4, generation_max=4)


def test_a_gpu_on_the_bus_that_the_driver_does_not_show() -> None:
    uevents = {
        f"/sys/bus/pci/devices/0000:{bus}:00.0/uevent": "DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:2330\n"
        f"PCI_SLOT_NAME=0000:{bus}:00.0\n"
        for bus in ("17", "2a")
    }
    host = Host(
        {
            nvml.SOURCE.key: answered(
                {"index": 0, "name": "NVIDIA H100 PCIe", "bus_id": "00000000:17:00.0"}
            ),
            pci_gpus.SOURCE.key: ok(json.dumps(uevents)),
        }
    )
    assert host.warnings(gpus.FACT) == [
        "the GPU at 0000:2a:00.0 is bound to the nvidia driver and not shown by it"
    ]


def test_a_jetson_without_nvml() -> None:
    host = Host(
        {
            kernel.BOARD.key: ok("NVIDIA Jetson AGX Orin Developer Kit\0"),
            kernel.TEGRA.key: ok("# R35 (release), REVISION: 4.1\n"),
            kernel.MEMORY.key: ok("MemTotal:       64349144 kB\n"),
        }
    )
    assert host.known(gpus.FACT) == (
        gpus.Gpu(
            id="0",
            name="NVIDIA Jetson AGX Orin Developer Kit",
            cc="8.7",
            memory_gb=61.4,
            integrated=True,
        ),
    )


@pytest.mark.parametrize(
    ("answer", "vgpu"),
    [
        ({"name": "GRID T4-16Q"}, True),
        ({"name": "NVIDIA A40-48Q"}, True),
        ({"name": "NVIDIA H100 80GB HBM3", "virtualization": 2}, True),
        ({"name": "NVIDIA H100 80GB HBM3", "virtualization": 1}, False),
        ({"name": "NVIDIA A100-PCIE-40GB"}, False),
    ],
)
def test_vgpu(answer: dict[str, object], vgpu: bool) -> None:
    result = Host({nvml.SOURCE.key: answered({"index": 0, **answer})}).known(gpus.FACT)
    assert result is not None
    assert result[0].vgpu is vgpu


@pytest.mark.parametrize(
    ("name", "integrated"),
    [
        ("NVIDIA GB10", True),
        ("Orin (nvgpu)", True),
        ("NVIDIA Thor", True),
        ("NVIDIA GB100", False),
        ("NVIDIA GB200", False),
        ("NVIDIA H100 80GB HBM3", False),
    ],
)
def test_integrated(name: str, integrated: bool) -> None:
    assert gpus.is_integrated(name) is integrated


def test_a_driver_without_gpus_is_not_a_host_without_a_driver() -> None:
    assert Host({nvml.SOURCE.key: answered()}).value(gpus.FACT) == ()
    assert Host({driver.MODULE.key: ok("580.65.06\n")}).value(gpus.FACT) == ()
    assert Host({}).value(gpus.FACT) == Missing(why="absent", detail="no NVIDIA driver is loaded")
    failed = Reading(outcome="failed", detail="NVML error 999: Unknown Error")
    assert Host({nvml.SOURCE.key: failed, driver.MODULE.key: ok("580.65.06\n")}).value(
        gpus.FACT
    ) == Missing(why="failed", detail="NVML error 999: Unknown Error")

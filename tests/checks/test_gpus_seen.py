"""gpus_seen: missing, extra, other or reordered GPUs, and the effect of CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from checks import gpus_seen as check
from tests.checks.twins import twin_of

H100, L4 = "NVIDIA H100 80GB HBM3", "NVIDIA L4"
SORTED = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def recorded(*names: str) -> list[dict[str, Any]]:
    """As `vllm-ready host --json` has them."""
    return [
        {
            "id": str(number),
            "name": name,
            "memory_gb": 80.0 if name == H100 else 22.5,
            "bus_id": f"0000:{number}7:00.0",
        }
        for number, name in enumerate(names)
    ]


def seen(number: int, name: str = H100, **changed: Any) -> dict[str, Any]:
    answer = {
        "name": name,
        "memory_gb": 79.2 if name == H100 else 22.0,
        "bus_id": f"0000:{number}7:00.0",
    }
    return answer | changed


def compared(
    found: list[dict[str, Any]],
    *used: str,
    names: tuple[str, ...] = (H100, H100),
    **environment: str,
) -> tuple[bool, str]:
    verdict = check.compare(found, used, {"gpus": recorded(*names)}, SORTED | environment)
    return verdict.passed, verdict.summary


def test_the_recorded_gpus_pass() -> None:
    assert compared([seen(0), seen(1)], "0", "1") == (True, f"torch sees 2 x {H100}")
    assert check.compare([seen(0), seen(1)], ("0", "1"), {}, SORTED).gpus == ("0", "1")
    assert check.compare([seen(0)], ("0:0", "0:1"), {}, SORTED).gpus == ("0:0",), (
        "of slices a process sees one"
    )
    assert compared([seen(1)], "1", CUDA_VISIBLE_DEVICES="1") == (True, f"torch sees 1 x {H100}")
    assert (
        compared([seen(0), seen(1, L4)], "0", "1", names=(H100, L4))[1]
        == f"torch sees 2 x {H100} and {L4}"
    )


@twin_of("gpus_seen")
@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([seen(0), seen(0)], "torch's GPU 1 is at 0000:07:00.0, which is GPU 0 of this host; GPU 1 is at 0000:17:00.0"),
        ([seen(0), seen(9)], "torch's GPU 1 is at 0000:97:00.0, which the recording does not have; GPU 1 is at 0000:17:00.0"),
        ([seen(0), seen(1, L4)], f"torch calls GPU 1 {L4}, the driver {H100}"),
        ([seen(0), seen(1, memory_gb=39.5)], "torch sees 39.5 GB in GPU 1, the driver 80.0 GB"),
    ],
)  # fmt: skip
def test_another_gpu_fails(found: list[dict[str, Any]], says: str) -> None:
    assert compared(found, "0", "1") == (False, says)


def test_another_order_is_blamed_on_its_variable() -> None:
    passed, summary = compared([seen(1), seen(0)], "0", "1", CUDA_DEVICE_ORDER="FASTEST_FIRST")
    assert not passed
    assert "torch's GPU 0 is at 0000:17:00.0, which is GPU 1 of this host" in summary
    assert summary.endswith("CUDA_DEVICE_ORDER=PCI_BUS_ID is not set")
    swapped = compared([seen(1), seen(0)], "0", "1", CUDA_VISIBLE_DEVICES="1,0")
    assert swapped[1].endswith("; CUDA_VISIBLE_DEVICES=1,0 shows 2 of 2")
    without_recording = check.compare([seen(1), seen(0)], ("0", "1"), {}, SORTED)
    assert "0000:17:00.0, 0000:07:00.0, which is not the order" in without_recording.summary


UUID = "GPU-1f2e3d4c-0000-1111-2222-333344445555"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0", "CUDA_VISIBLE_DEVICES=0 shows 1 of 3"),
        ("", "CUDA_VISIBLE_DEVICES is empty, which hides every GPU"),
        ("0,x,2", "CUDA_VISIBLE_DEVICES=0,x,2: x is no GPU, and CUDA reads no further"),
        ("0,,2", "CUDA_VISIBLE_DEVICES=0,,2: an empty word is no GPU, and CUDA reads no further"),
        ("0,-1,2", "CUDA_VISIBLE_DEVICES=0,-1,2: -1 is no GPU, and CUDA reads no further"),
        ("0,7", "CUDA_VISIBLE_DEVICES=0,7: there is no GPU 7, and CUDA reads no further"),
        ("0,1,1", "CUDA_VISIBLE_DEVICES=0,1,1 names GPU 1 twice, and CUDA then shows none"),
        ("0, 1gpu", "CUDA_VISIBLE_DEVICES=0, 1gpu shows 2 of 3"),
        (f"{UUID},{UUID}", "CUDA_VISIBLE_DEVICES=GPU-…,GPU-… names 2 by UUID, of which CUDA reads up to the first that is not here"),
        ("MIG-1f2e", "CUDA_VISIBLE_DEVICES=MIG-… names slices of MIG, of which a process sees one"),
    ],
)  # fmt: skip
def test_variables_that_hide_gpus_are_named(value: str, says: str) -> None:
    passed, summary = compared(
        [seen(0)], "0", "1", "2", names=(H100,) * 3, CUDA_VISIBLE_DEVICES=value
    )
    assert (passed, summary) == (False, f"torch sees 1 GPU, and 3 should be there: {says}")


def test_too_many_gpus_and_none_fail() -> None:
    assert compared([seen(0), seen(1)], "0")[1] == (
        "torch sees 2 GPUs, and 1 should be there: CUDA_VISIBLE_DEVICES is not set"
    )
    assert compared([], "0")[1] == "torch sees no GPUs, and 1 should be there"


def test_of_the_slices_of_mig_one_is_seen() -> None:
    assert compared([seen(0, f"{H100} MIG 1g.10gb", memory_gb=9.8)], "0:0", "0:1")[0]
    assert not compared([], "0:0", "0:1")[0]


def test_boards_and_old_recordings_contradict_nothing() -> None:
    orin = [
        {"id": "0", "name": "Orin (nvgpu)", "memory_gb": 61.4, "bus_id": None, "integrated": True}
    ]
    result = [{"name": "Orin", "memory_gb": 30.0, "bus_id": None}]
    assert check.compare(result, ("0",), {"gpus": orin}, SORTED).passed
    unread = {
        "gpus": {"type": "Missing", "why": "refused"},
        "environment": {"type": "Missing", "why": "not read"},
    }
    assert check.compare([seen(0)], ("0",), unread, SORTED).passed


def test_a_variable_of_the_users_shell_is_remarked() -> None:
    facts = {"gpus": recorded(H100, H100), "environment": {"CUDA_VISIBLE_DEVICES": "0"}}
    result = check.compare(
        [seen(0), seen(1)], ("0", "1"), facts, SORTED | {"CUDA_VISIBLE_DEVICES": "0,1"}
    )
    assert (result.passed, result.summary) == (
        True,
        f"torch sees 2 x {H100}; for programs started from this shell: CUDA_VISIBLE_DEVICES=0 shows 1 of 2",
    )


def test_properties_of_torch_are_written_as_the_driver_does() -> None:
    answer = SimpleNamespace(
        name=H100, total_memory=85_000_000_000, pci_domain_id=0, pci_bus_id=0x9A, pci_device_id=0
    )
    assert check.describe(answer) == {"name": H100, "memory_gb": 79.2, "bus_id": "0000:9a:00.0"}
    assert check.describe(SimpleNamespace(name=H100, total_memory=0))["bus_id"] is None

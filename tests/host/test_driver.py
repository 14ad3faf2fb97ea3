"""host/driver.py: which driver is loaded, installed and answering, and where they disagree."""

from __future__ import annotations

import json

import pytest

from provision.doors.reading import Reading
from provision.host import _nvidia_smi, driver, nvml
from provision.host._model import Host, Missing, Source

OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (root@buildhost)\n"
    "GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04) \n"
)
CLOSED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
    "GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04) \n"
)


def ok(text: str) -> Reading:
    return Reading(outcome="ok", text=text)


def recorded(**texts: str) -> Host:
    """A recording of the sources named as in driver.py."""
    sources: dict[str, Source] = {
        "module": driver.MODULE,
        "proc": driver.PROC,
        "on_disk": driver.ON_DISK,
        "library": driver.LIBRARY,
        "nvml": nvml.SOURCE,
        "smi": _nvidia_smi.SOURCES[1],
    }
    return Host({sources[name].key: ok(text) for name, text in texts.items()})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("580.65.06\n", "580.65.06"),
        ("580.65.06-open", "580.65.06"),
        ("535.183.01 ", "535.183.01"),
        ("550.135", "550.135"),
        ("570.86.10-0ubuntu1~24.04", "570.86.10"),
        ("v1010.2.3", "1010.2.3"),
        ("12.4.1", None),
        ("580", None),
        ("", None),
        (None, None),
    ],
)
def test_version_in(text: str | None, version: str | None) -> None:
    assert driver.version_in(text) == version


def test_open_module_in_order() -> None:
    host = recorded(
        module="580.65.06\n",
        proc=OPEN,
        on_disk="580.65.06\n",
        library=json.dumps(
            {"/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1": "-> libnvidia-ml.so.580.65.06"}
        ),
    )
    assert host.value(driver.FACT) == driver.Driver(
        version="580.65.06", on_disk="580.65.06", library="580.65.06", flavour="open"
    )
    assert host.warnings(driver.FACT) == []


def test_proprietary_module_from_proc_alone() -> None:
    assert recorded(proc=CLOSED).value(driver.FACT) == driver.Driver(
        version="535.183.01", flavour="proprietary"
    )


def test_flavour_from_a_suffix() -> None:
    assert recorded(module="580.65.06-open\n").value(driver.FACT) == driver.Driver(
        version="580.65.06", flavour="open"
    )


def test_wsl_has_only_what_windows_tells() -> None:
    host = recorded(nvml=json.dumps({"library": "libnvidia-ml.so.1", "driver": "576.02"}))
    assert host.value(driver.FACT) == driver.Driver(version="576.02", library="576.02")


def test_nvidia_smi_is_the_last_word() -> None:
    row = "0, NVIDIA L4, 00000000:00:04.0, 550.54.15, 23034, Enabled, Enabled"
    assert recorded(smi=row).value(driver.FACT) == driver.Driver(version="550.54.15")


def test_an_upgrade_that_waits_for_a_reboot() -> None:
    mismatch = Reading(
        outcome="failed",
        text='{"library": "libnvidia-ml.so.580.95.05", "error": {"code": 18, "text": "mismatch"}}',
        detail="NVML error 18: mismatch",
    )
    host = Host(
        {
            driver.MODULE.key: ok("580.65.06\n"),
            driver.ON_DISK.key: ok("580.95.05\n"),
            nvml.SOURCE.key: mismatch,
        }
    )
    assert host.value(driver.FACT) == driver.Driver(
        version="580.65.06", on_disk="580.95.05", library="580.95.05"
    )
    assert host.warnings(driver.FACT) == [
        (
            "the driver's library is 580.95.05 but the loaded module is 580.65.06: NVML and CUDA do not start "
            "until both are the same (a reboot loads the module on disk)"
        ),
        "driver 580.65.06 is loaded; the next boot loads 580.95.05",
    ]


def test_sources_that_disagree() -> None:
    host = recorded(module="580.65.06\n", proc=CLOSED)
    assert host.warnings(driver.FACT) == [
        "/sys/module/nvidia/version says driver 580.65.06, /proc/driver/nvidia/version says 535.183.01"
    ]


@pytest.mark.parametrize(
    ("host", "missing"),
    [
        (Host({}), Missing(why="absent", detail="not in this recording")),
        (
            Host({driver.ON_DISK.key: ok("580.65.06\n")}),
            Missing(why="absent", detail="the module 580.65.06 is installed but not loaded"),
        ),
        (
            Host({driver.MODULE.key: Reading(outcome="refused", detail="no")}),
            Missing(why="refused", detail="no"),
        ),
        (
            Host({driver.MODULE.key: ok("weird\n")}),
            Missing(why="unparsable", detail="ValueError: no driver version in 'weird\\n'"),
        ),
    ],
)
def test_no_driver(host: Host, missing: Missing) -> None:
    assert host.value(driver.FACT) == missing

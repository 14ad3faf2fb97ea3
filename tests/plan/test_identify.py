"""plan/identify.py: the model that a name means, and the slices of a GPU with MIG."""

from __future__ import annotations

import pytest

from provision.catalog import rows
from provision.host.gpus import Gpu, MigSlice
from provision.host.pci_gpus import PciGpu
from provision.plan import identify

CATALOGUE = rows.load()


@pytest.mark.parametrize(
    ("name", "cc", "memory"),
    [
        ("NVIDIA H100 80GB HBM3", "9.0", 80),
        ("NVIDIA H100 PCIe", "9.0", 80),
        ("NVIDIA H200", "9.0", 141),
        ("NVIDIA GH200 480GB", "9.0", 96),
        ("Tesla V100-SXM2-32GB", "7.0", 32),
        ("Tesla V100-SXM2-16GB", "7.0", 16),
        ("tesla v100-sxm2-32gb", "7.0", 32),
        ("NVIDIA A100-PCIE-40GB", "8.0", 40),
        ("NVIDIA A100 80GB PCIe", "8.0", 80),
        ("NVIDIA L4", "8.9", None),
        ("NVIDIA L40S", "8.9", None),
        ("NVIDIA GeForce RTX 4090", "8.9", 24),
        ("NVIDIA GeForce RTX 5090", "12.0", 32),
        ("NVIDIA B200", "10.0", None),
        ("NVIDIA GB10", "12.1", None),
        ("Orin (nvgpu)", "8.7", None),
        ("NVIDIA Thor", "11.0", None),
        ("Tesla P100-PCIE-16GB", "6.0", 16),
        ("Tesla T4", "7.5", 16),
        ("NVIDIA A800-SXM4-40GB", "8.0", 40),
        ("NVIDIA A800-SXM4-80GB", "8.0", 80),
        ("NVIDIA L20", "8.9", 48),
        ("NVIDIA L20Y", "9.0", 80),
        ("NVIDIA L20Z", "9.0", 80),
        ("NVIDIA GeForce MX330", "6.1", None),
        ("NVIDIA GeForce GTX TITAN X", "5.2", 12),
        ("NVIDIA TITAN X (Pascal)", "6.1", 12),
        ("NVIDIA GeForce RTX 3050 Laptop GPU", "8.6", None),
        ("NVIDIA GeForce RTX 3050 A Laptop GPU", "8.9", None),
        ("GRID A100X-10C", "8.0", 10),
        ("NVIDIA H100XM-40C", "9.0", 40),
        ("NVIDIA H100XM-1-10CME", "9.0", 10),
        ("NVIDIA RTX6000-Ada-24Q", "8.9", 24),
        ("NVIDIA RTX A1000 6GB Laptop GPU", "8.6", 6),
    ],
)
def test_a_name_tells_capability_and_memory(name: str, cc: str, memory: float | None) -> None:
    known = identify.completed(Gpu(id="0", name=name), CATALOGUE.gpus)
    assert known.cc == cc
    assert memory is None or known.memory_gb == memory


@pytest.mark.parametrize(
    "name", ["FooBar 9000", "NVIDIA", "", "NVIDIA Graphics Device", "Radeon RX 7900", "9090"]
)
def test_an_unknown_name_stays_unknown(name: str) -> None:
    assert identify.completed(Gpu(id="0", name=name), CATALOGUE.gpus).cc is None


def test_every_model_of_the_catalogue_finds_itself() -> None:
    for model in CATALOGUE.gpus:
        for name in (model.name, f"NVIDIA {model.name}", *model.aliases):
            known = identify.find(name, CATALOGUE.gpus)
            assert known is not None, name
            assert known.cc == model.cc, name


def test_what_the_driver_tells_goes_before_the_name() -> None:
    known = identify.completed(
        Gpu(id="0", name="NVIDIA L4", cc="9.9", memory_gb=5.0), CATALOGUE.gpus
    )
    assert (known.cc, known.memory_gb) == ("9.9", 5.0)


@pytest.mark.parametrize("nonsense", ["", "nine", "9", "sm_90", "9.0.1", "٣.٣", "9" * 5000 + ".0"])
def test_a_capability_that_is_none_is_not_believed(nonsense: str) -> None:
    assert (
        identify.completed(Gpu(id="0", name="NVIDIA L4", cc=nonsense), CATALOGUE.gpus).cc == "8.9"
    )
    assert identify.completed(Gpu(id="0", name="FooBar", cc=nonsense), CATALOGUE.gpus).cc is None


def test_slices_stand_for_their_gpu() -> None:
    slices = (MigSlice(id="3:0", profile="3g.40gb", memory_gb=39.5), MigSlice(id="3:1"))
    whole = Gpu(
        id="3", name="NVIDIA A100-SXM4-80GB", cc="8.0", memory_gb=80, mig=True, slices=slices
    )
    first, second = identify.parts(whole)
    assert first == Gpu(
        id="3:0", name="NVIDIA A100-SXM4-80GB MIG 3g.40gb", cc="8.0", memory_gb=39.5, mig=True
    )
    assert (second.id, second.name, second.memory_gb) == ("3:1", "NVIDIA A100-SXM4-80GB MIG", None)


@pytest.mark.parametrize("mig", [None, False, True])
def test_a_gpu_without_slices_stays_what_it_is(mig: bool | None) -> None:
    whole = Gpu(id="0", name="NVIDIA L4", mig=mig)
    assert identify.parts(whole) == (whole,)


@pytest.mark.parametrize(
    ("device_id", "chip", "cc"),
    [
        ("2330", "GH100", "9.0"),
        ("1db6", "GV100", "7.0"),
        ("1DB6", "GV100", "7.0"),
        ("20b0", "GA100", "8.0"),
    ],
)
def test_a_device_id_tells_the_chip(device_id: str, chip: str, cc: str) -> None:
    row = identify.pci_row(PciGpu(bus_id="0000:17:00.0", device_id=device_id), CATALOGUE.pci)
    assert row is not None
    assert (row.chip, row.cc) == (chip, cc)


@pytest.mark.parametrize("device_id", ["fffe", "", "zzzz", "-1", "f" * 5000])
def test_an_unknown_or_damaged_id_matches_no_device(device_id: str) -> None:
    assert (
        identify.pci_row(PciGpu(bus_id="0000:17:00.0", device_id=device_id), CATALOGUE.pci) is None
    )


def test_of_two_ranges_the_narrower_names_it() -> None:
    origin = {"source": "s", "read": "2026-11-20"}
    wide = rows.PciDevice(first="1000", last="1fff", chip="wide", cc="1.0", **origin)
    narrow = rows.PciDevice(first="1100", last="1100", chip="narrow", cc="2.0", **origin)
    device = PciGpu(bus_id="0000:17:00.0", device_id="1100")
    assert identify.pci_row(device, (wide, narrow)) == narrow
    assert identify.pci_row(device, (narrow, wide)) == narrow

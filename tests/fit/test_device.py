"""The memory that CUDA reports: by the catalogue, by the name of the GPU, by the description."""

from __future__ import annotations

import pytest

from provision.catalog import rows
from provision.fit import device
from provision.host import from_text

CATALOGUE = rows.load()


def total(name: str, memory: str = "") -> float:
    host = from_text.parse(f"gpus: [{{name: {name}{memory}}}]", "host.yaml")
    return device.of_host(host, CATALOGUE)[0].total


@pytest.mark.parametrize(
    ("name", "memory", "least", "most"),
    [
        ("NVIDIA H100 80GB HBM3", "", 79.19, 79.19),
        ("NVIDIA H100 80GB HBM3", ", memory_gb: 80", 79.19, 79.19),
        ("Tesla V100-SXM2-16GB", "", 15.77, 15.77),
        ("Tesla V100-SXM2-32GB", "", 31.0, 32.0),  # the catalogue's V100 has 16
        ("NVIDIA A100-PCIE-40GB", "", 39.49, 39.49),
        ("NVIDIA GeForce RTX 2080 Ti", ", memory_gb: 22", 21.0, 22.0),  # a modified card
        ("NVIDIA GH200 480GB", "", 93.0, 96.0),  # of the processor, not of the GPU
        ("NVIDIA GH200 144G HBM3e", "", 138.0, 144.0),
    ],
)
def test_the_memory_of_a_gpu(name: str, memory: str, least: float, most: float) -> None:
    assert least <= round(total(name, memory), 2) <= most

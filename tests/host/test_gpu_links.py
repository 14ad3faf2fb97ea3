"""host/gpu_links.py: topology matrices of nvidia-smi, and NVML's if there is none."""

from __future__ import annotations

import json

from provision.doors.reading import Reading
from provision.host import gpu_links, nvml
from provision.host._model import Host, Missing

WITH_NICS = """\
\t\x1b[4mGPU0\tGPU1\tGPU2\tNIC0\tNIC1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV4\tSYS\tPIX\tSYS\t0-31\t0\t\tN/A
GPU1\tNV4\t X \tNODE\tNODE\tSYS\t0-31\t0\t\tN/A
GPU2\tSYS\tNODE\t X \tSYS\tPXB\t32-63\t1\t\tN/A
NIC0\tPIX\tNODE\tSYS\t X \tSYS
NIC1\tSYS\tSYS\tPXB\tSYS\t X

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes
  NIC0: mlx5_0
"""
ONE = "\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-15\tN/A\n"


def ok(text: str) -> Reading:
    return Reading(outcome="ok", text=text)


def pairs(text: str) -> list[tuple[str, str, str]]:
    return [(link.a, link.b, link.kind) for link in gpu_links.matrix(text)]


def test_a_matrix_with_network_cards_and_underlined_titles() -> None:
    assert pairs(WITH_NICS) == [("0", "1", "NV4"), ("0", "2", "SYS"), ("1", "2", "NODE")]


def test_one_gpu_has_no_pairs() -> None:
    assert pairs(ONE) == []


def test_a_matrix_cut_in_the_middle_keeps_what_is_there() -> None:
    assert pairs(WITH_NICS[: WITH_NICS.index("SYS\tPIX")]) == [("0", "1", "NV4")]


def test_nvml_where_nvidia_smi_is_not() -> None:
    document = {"links": [{"a": 0, "b": 1, "kind": "NV18"}], "nvswitch": True}
    host = Host({nvml.SOURCE.key: ok(json.dumps(document))})
    assert host.value(gpu_links.FACT) == gpu_links.GpuLinks(
        pairs=(gpu_links.GpuLink(a="0", b="1", kind="NV18"),), nvswitch=True
    )


def test_the_two_disagree() -> None:
    document = {"links": [{"a": 0, "b": 1, "kind": "SYS"}, {"a": 0, "b": 2, "kind": "SYS"}]}
    host = Host({nvml.SOURCE.key: ok(json.dumps(document)), gpu_links.TOPOLOGY.key: ok(WITH_NICS)})
    links = host.known(gpu_links.FACT)
    assert links is not None
    assert links.pairs[0].kind == "NV4"
    assert host.warnings(gpu_links.FACT) == ["between GPU 0 and 1 nvidia-smi reports NV4, NVML SYS"]


def test_missing() -> None:
    absent = Reading(outcome="absent", detail="nvidia-smi was not found")
    assert Host({gpu_links.TOPOLOGY.key: absent}).value(gpu_links.FACT) == Missing(
        why="absent", detail="nvidia-smi was not found"
    )
    nonsense = Host({gpu_links.TOPOLOGY.key: ok("hello\n")}).value(gpu_links.FACT)
    assert isinstance(nonsense, Missing)
    assert nonsense.why == "unparsable"

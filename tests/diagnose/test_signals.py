"""The structured readers: symbols, libraries, architectures, Xids, resolvers, memory."""

from __future__ import annotations

import pytest

from checks import no_xid
from provision.diagnose import memory_arithmetic, signals
from provision.diagnose.signals import symbol, xid

READERS = {reader.name: reader for reader in signals.readers()}


def read(name: str, text: str) -> list[dict[str, str]]:
    return list(READERS[name].read(text))


def test_every_reader_is_gated_by_a_word_of_its_messages() -> None:
    assert len(READERS) >= 9
    for reader in READERS.values():
        assert reader.words
        assert all(word == word.lower() for word in reader.words)
        assert list(reader.read("INFO all is well, nothing to see here")) == []


@pytest.mark.parametrize(
    ("library", "name", "owner", "kind", "abi"),
    [
        ("flash_attn_2_cuda.cpython-310.so", "_ZN3c105ErrorC2ENS_14SourceLocationESs", "flash-attn", "torch", "old"),
        ("/x/vllm/_C.abi3.so", "_ZN3c105ErrorC2ENSt7__cxx1112basic_stringIcE", "vllm", "torch", "new"),
        ("/x/torch/lib/libtorch_cuda.so", "ncclCommRegister", "torch", "nccl", ""),
        ("/x/libcusparse.so.12", "__nvJitLinkComplete_12_4", "nvidia", "nvjitlink", ""),
        ("/x/vllm/_C.abi3.so", "cuTensorMapEncodeTiled", "vllm", "driver", ""),
        ("/x/libcublas.so.12", "cublasLtGetEnvironmentMode", "nvidia", "cuda-library", ""),
    ],
)  # fmt: skip
def test_symbols(library: str, name: str, owner: str, kind: str, abi: str) -> None:
    (values,) = read("symbol", f"ImportError: {library}: undefined symbol: {name}")
    assert (values["owner"], values["kind"], values["abi"]) == (owner, kind, abi)


def test_demangling() -> None:
    assert symbol.demangled("_ZN3c104cuda9SetDeviceEi") == "c10::cuda::SetDevice"
    assert symbol.demangled("_ZNK3c106SymInt6sym_neERKS0_") == "c10::SymInt::sym_ne"
    assert symbol.demangled("ncclCommSplit") == "ncclCommSplit"


@pytest.mark.parametrize(
    ("text", "family", "major"),
    [
        ("ImportError: libcudart.so.13: cannot open shared object file", "cudart", "13"),
        ("OSError: libtorch_cuda.so: cannot open shared object file", "torch-cuda", ""),
        ("ImportError: libc10.so: cannot open shared object file", "torch", ""),
        ("libcuda.so.1: cannot open shared object file", "driver", "1"),
        ("libcublasLt.so.12: not found", "cuda-library", "12"),
    ],
)
def test_libraries(text: str, family: str, major: str) -> None:
    (values,) = read("library", text)
    assert (values["family"], values["major"]) == (family, major)


def test_a_library_that_was_found_is_none() -> None:
    assert read("library", "Found nccl from library libnccl.so.2") == []
    assert read("library", "/lib/libc.so.6: version `GLIBC_2.34' not found") == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Unsupported gpu architecture 'compute_120'", {"tool": "nvcc", "needs": "12.8", "age": "new"}),
        ("Unsupported gpu architecture 'compute_70'", {"tool": "nvcc", "age": "dropped"}),
        ("Value 'sm_121a' is not defined for option 'gpu-name'", {"tool": "ptxas", "needs": "12.9"}),
        ("SM 12.x requires CUDA >= 12.9", {"tool": "toolkit", "needs": "12.9", "age": "new"}),
        ("Unknown CUDA arch (12.0) or GPU not supported", {"tool": "torch", "arch": "120"}),
    ],
)  # fmt: skip
def test_architectures(text: str, values: dict[str, str]) -> None:
    (found,) = read("arch", text)
    assert values.items() <= found.items()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NVRM: Xid (PCI:0000:c1:00): 79, pid=12", "hardware"),
        ("Xid 119 GSP RPC timeout", "firmware"),
        ("NVRM: Xid (PCI:0000:c1:00): 13, Graphics Exception", "program"),
    ],
)
def test_xids(text: str, kind: str) -> None:
    assert [values["kind"] for values in read("xid", text)] == [kind]


def test_checks_and_diagnosis_agree_about_xids() -> None:
    """What the check of this host calls a fault of a program, or a note, is no fault of hardware."""
    harmless = no_xid._OF_PROGRAMS | no_xid._NOTES
    assert not harmless & {*xid.numbers("hardware"), *xid.numbers("firmware")}
    assert {number for number in no_xid._MEANINGS if xid.kind(number) == "program"} == set()


def test_memory_refusals_and_their_sums() -> None:
    (free,) = read(
        "memory",
        "Free memory on device (10.0/80.0 GiB) on startup is less than desired GPU memory"
        " utilization (0.9, 72.0 GiB).",
    )
    assert memory_arithmetic.advice(free) == (
        "# 72 GiB are wanted, 10 of 80 GiB are free: too little for any model until the memory is freed",
    )
    free["free"] = "60"
    assert memory_arithmetic.advice(free)[1].startswith("--gpu-memory-utilization 0.72 ")
    (tokens,) = read(
        "memory",
        "max seq len (4096) is larger than the maximum number of tokens that can be stored in KV"
        " cache (3664)",
    )
    assert memory_arithmetic.advice(tokens)[1].startswith("--max-model-len 3664 ")
    (cache,) = read(
        "memory",
        "To serve at least one request with the model's max seq len (131072), (16.00 GiB KV cache"
        " is needed, which is larger than the available KV cache memory (9.36 GiB). Based on the"
        " available memory, the estimated maximum model length is 76672.",
    )
    assert memory_arithmetic.advice(cache)[1].startswith("--max-model-len 76672 ")
    assert memory_arithmetic.advice({"kind": "free", "free": "x", "total": "y"}) == ()

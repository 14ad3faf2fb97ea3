"""Interpreters, compilers, CUDA toolkits, packages and installer settings of hosts."""

from __future__ import annotations

import json

from provision.doors.reading import Reading
from provision.host import (
    compilers,
    cuda_toolkits,
    disks,
    installer_config,
    packages,
    pythons,
    sources,
)
from tests.host.recorded import known, missing, value


def python(version: str, path: str, *, venv: bool = True, headers: bool = False) -> str:
    return json.dumps({"version": version, "path": path, "venv": venv, "headers": headers})


def test_the_newest_python_comes_first_and_numbers_are_no_text() -> None:
    installed = [
        python("3.9.19", "/usr/bin/python3.9"),
        python("3.12.3", "/a"),
        python("3.10.14", "/b"),
    ]
    result = known(pythons.FACT, {"probe pythons": installed})
    assert [item.version for item in result] == ["3.12.3", "3.10.14", "3.9.19"]


def test_of_equal_pythons_the_one_that_makes_environments_comes_first() -> None:
    installed = [
        python("3.11.2", "/usr/bin/python3.11", venv=False, headers=True),
        python("3.11.2", "/opt/python3.11"),
    ]
    result = known(pythons.FACT, {"probe pythons": installed})
    assert [item.path for item in result] == ["/opt/python3.11", "/usr/bin/python3.11"]


def test_one_interpreter_is_listed_once_and_a_broken_answer_not_at_all() -> None:
    installed = [
        python("3.13.0", "/a"),
        python("3.13.0", "/a"),
        "Fatal Python error",
        '{"version": "new"}',
        "[1]",
    ]
    assert value(pythons.FACT, {"probe pythons": installed}) == (
        pythons.Python(version="3.13.0", path="/a", venv=True, headers=False),
    )


def test_compilers_are_known_by_what_they_say_not_by_their_name() -> None:
    installed = [
        {
            "path": "/usr/bin/gcc-12",
            "says": "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022\n",
        },
        {"path": "/usr/bin/g++-9", "says": "g++-9 (Ubuntu 9.4.0-1ubuntu1~20.04.2) 9.4.0\n"},
        {
            "path": "/opt/rh/gcc-toolset-13/root/usr/bin/gcc",
            "says": "gcc (GCC) 13.3.1 20240611 (Red Hat 13.3.1-2)\n",
        },
        {
            "path": "/usr/bin/cc",
            "says": "Ubuntu clang version 14.0.0-1ubuntu1.1\nTarget: x86_64-pc-linux-gnu\n",
        },
        {"path": "/usr/bin/c++", "says": "something else\n"},
    ]
    result = known(compilers.FACT, {"probe compilers": installed})
    assert [(item.name, item.family, item.language, item.version) for item in result] == [
        ("cc", "clang", "c", "14.0.0"),
        ("g++-9", "gcc", "c++", "9.4.0"),
        ("gcc", "gcc", "c", "13.3.1"),
        ("gcc-12", "gcc", "c", "12.2.0"),
    ]


NVCC_13 = """nvcc: NVIDIA (R) Cuda compiler driver
Copyright (c) 2005-2025 NVIDIA Corporation
Cuda compilation tools, release 13.0, V13.0.88
Build cuda_13.0.r13.0/compiler.36424714_0
"""


def folder(
    path: str, *, nvcc: bool = True, headers: bool = True, version_json: str = ""
) -> dict[str, object]:
    real = f"{path}/bin/nvcc" if nvcc else ""
    return {"path": path, "nvcc": real, "headers": headers, "version_json": version_json}


def test_a_wrapper_is_named_and_the_toolkit_behind_it_counts() -> None:
    seen = {
        "homes": {"CUDA_HOME": ":/usr/local/cuda"},
        "on_path": {
            "/usr/local/bin/nvcc": "/usr/local/bin/nvcc",
            "/usr/local/cuda/bin/nvcc": "/usr/local/cuda-13.0/bin/nvcc",
        },
        "folders": [folder("/usr/local", headers=False), folder("/usr/local/cuda-13.0")],
        "says": {"/usr/local/cuda-13.0/bin/nvcc": NVCC_13, "/usr/local/bin/nvcc": NVCC_13},
    }
    assert value(cuda_toolkits.FACT, {"probe cuda_toolkits": seen}) == cuda_toolkits.CudaToolkits(
        toolkits=(cuda_toolkits.CudaToolkit(path="/usr/local/cuda-13.0", version="13.0.88"),),
        wrappers=("/usr/local/bin/nvcc",),
        homes={"CUDA_HOME": ":/usr/local/cuda"},
    )


def test_a_runtime_only_folder_is_no_toolkit_and_version_json_helps_where_nvcc_does_not_answer() -> (
    None
):
    version = json.dumps(
        {"cuda": {"name": "CUDA SDK", "version": "12.4.1"}, "cuda_nvcc": {"version": "12.4.131"}}
    )
    seen = {
        "homes": {},
        "on_path": {},
        "folders": [
            folder("/usr/local/cuda-11.8", nvcc=False),
            folder("/usr/local/cuda-12.4", version_json=version),
            folder("/opt/conda", version_json="{cut"),
        ],
        "says": {},
    }
    result = value(cuda_toolkits.FACT, {"probe cuda_toolkits": seen})
    assert isinstance(result, cuda_toolkits.CudaToolkits)
    assert [(toolkit.path, toolkit.version) for toolkit in result.toolkits] == [
        ("/usr/local/cuda-12.4", "12.4.131"),
        ("/opt/conda", None),
    ]


def test_packages_of_the_active_environment() -> None:
    seen = {
        "environment": "~/venv",
        "distributions": [
            "flash_attn-2.8.3",
            "torch-2.8.0+cu128",
            "vllm-0.11.0",
            "nvidia_nccl_cu12-2.27.3",
        ],
    }
    assert value(packages.FACT, {"probe packages": seen}) == {
        "flash-attn": "2.8.3",
        "torch": "2.8.0+cu128",
        "vllm": "0.11.0",
        "nvidia-nccl-cu12": "2.27.3",
    }


def settings(
    pip: dict[str, str], uv: dict[str, str] | None = None
) -> installer_config.InstallerConfig:
    seen = {"pip": pip, "uv": uv or {}, "wheels": ["torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"]}
    result = value(installer_config.FACT, {"probe installer_config": seen})
    assert isinstance(result, installer_config.InstallerConfig)
    return result


def test_pip_configuration_is_understood() -> None:
    result = settings(
        {
            "index-url": "https://nexus.corp.example/simple",
            "extra-index-url": "https://a.example/simple\nhttps://b.example/simple https://a.example/simple",
            "find-links": "/srv/wheels",
            "cert": "/etc/ssl/corp.pem",
            "trusted-host": "nexus.corp.example",
            "constraint": "/etc/pip/constraint.txt",
            "user": "no",
            "no-index": "0",
        }
    )
    assert result == installer_config.InstallerConfig(
        index="https://nexus.corp.example/simple",
        extra_indexes=("https://a.example/simple", "https://b.example/simple"),
        find_links=("/srv/wheels",),
        local_wheels=("torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl",),
        cert="/etc/ssl/corp.pem",
        trusted_hosts=("nexus.corp.example",),
        redirects=("constraint",),
    )


def test_uvs_own_settings_go_before_pips() -> None:
    result = settings(
        {"index-url": "https://pip.example/simple", "find-links": "/pip"},
        {"default-index": "https://uv.example/simple", "find-links": "/uv,/more", "offline": "1"},
    )
    assert result.index == "https://uv.example/simple"
    assert result.find_links == ("/uv", "/more")
    assert result.no_index


def test_disks_are_told_in_gib_with_the_options_that_matter() -> None:
    seen = {
        "prefix": {
            "path": "/mnt/nfs/envs",
            "exists": False,
            "writable": True,
            "type": "nfs4",
            "total": 1099511627776,
            "free": 53687091200,
            "options": ["noexec"],
        }
    }
    assert value(disks.FACT, {"probe disks": seen}) == {
        "prefix": disks.Disk(
            path="/mnt/nfs/envs",
            exists=False,
            writable=True,
            type="nfs4",
            total_gb=1024.0,
            free_gb=50.0,
            options=("noexec",),
        )
    }


def test_sources_that_nobody_asked_are_not_read_and_those_that_failed_are_not_silent() -> None:
    assert missing(sources.FACT, {}).why == "not read"
    assert missing(sources.FACT, {"probe sources": Reading(outcome="timed out")}).why == "timed out"
    answers = {
        "pypi": {"answers": True, "detail": "200"},
        "github": {"answers": False, "detail": "refused"},
    }
    result = known(sources.FACT, {"probe sources": answers})
    assert (result["pypi"].answers, result["github"].detail) == (True, "refused")

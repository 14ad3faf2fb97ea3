"""Probes that run programs, against programs made for the test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from provision.host import _programs, compilers, cuda_toolkits, pythons
from tests.host.recorded import known, value


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host whose PATH and home are this folder."""
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/no/such/folder:")
    monkeypatch.setattr(_programs, "TOOLKIT_PLACES", (f"{tmp_path}/cuda*",))
    monkeypatch.setattr(_programs, "ASK_S", 5.0)
    return tmp_path


def test_interpreters_are_asked_and_broken_ones_left_out(
    only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_programs, "PYTHON_PLACES", ("~/uv/*/bin/python3",))
    script(only / "bin/python3.9", "exit 1")
    script(only / "bin/python3.10", "sleep 30")
    script(only / "bin/python3.99t", "echo not asked > asked")
    fake = json.dumps(
        {"version": "3.12.9", "path": f"{only}/uv/c/bin/python3", "venv": True, "headers": True}
    )
    script(only / "uv/c/bin/python3", f"echo '{fake}'")
    (only / "bin/python3").symlink_to(sys.executable)
    monkeypatch.setattr(_programs, "ASK_S", 1.0)
    result = known(pythons.FACT, {"probe pythons": _programs.pythons("")})
    real = ".".join(str(number) for number in sys.version_info[:3])
    assert sorted(item.version for item in result) == sorted([real, "3.12.9"])
    ours = next(item for item in result if item.version == real)
    assert ours.path
    assert not Path(ours.path).is_symlink()
    assert ours.venv is True


def test_compilers_on_path_are_asked_once_each(only: Path) -> None:
    script(only / "bin/gcc-12", "echo 'gcc-12 (Debian 12.2.0-14) 12.2.0'")
    script(only / "bin/g++", "echo 'g++ (GCC) 13.3.1'")
    script(only / "bin/gcc-ar", "echo 'GNU ar (Debian) 2.40'")
    script(only / "bin/clang", "exit 1")
    result = known(compilers.FACT, {"probe compilers": _programs.compilers()})
    assert [(item.name, item.version) for item in result] == [
        ("g++", "13.3.1"),
        ("gcc-12", "12.2.0"),
    ]


def test_one_compiler_of_many_names_is_listed_once_and_a_wrapper_by_what_it_is(only: Path) -> None:
    script(only / "bin/gcc-12", 'echo "${0##*/} (Debian 12.2.0-14) 12.2.0"')
    for name in ("gcc", "cc"):
        (only / "bin" / name).symlink_to("gcc-12")
    script(only / "wrap/ccache", 'n=${0##*/}; echo "$n ${n%${n#?}} (X) 14.1.0"')
    for name in ("clang", "clang++", "gcc-13"):
        (only / "bin" / name).symlink_to(only / "wrap/ccache")
    result = known(compilers.FACT, {"probe compilers": _programs.compilers()})
    assert [item.name for item in result] == ["clang", "clang++", "gcc", "gcc-13"]


def test_toolkits_wrappers_and_conda(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = "echo 'Cuda compilation tools, release 13.0, V13.0.88'"
    for folder, headers in (("cuda-13.0", "include"), ("conda", "targets/x86_64-linux/include")):
        script(only / folder / "bin/nvcc", says)
        (only / folder / headers).mkdir(parents=True)
        (only / folder / headers / "cuda_runtime.h").touch()
    script(only / "cuda-12.0/bin/nvcc", says)  # without headers
    (only / "cuda").symlink_to("cuda-13.0")
    script(only / "bin/nvcc", f'exec {only}/cuda-13.0/bin/nvcc "$@"')
    monkeypatch.setenv("CONDA_PREFIX", str(only / "conda"))
    monkeypatch.setenv("CUDA_HOME", f":{only}/cuda")
    result = value(cuda_toolkits.FACT, {"probe cuda_toolkits": _programs.cuda_toolkits()})
    assert isinstance(result, cuda_toolkits.CudaToolkits)
    assert sorted(toolkit.path for toolkit in result.toolkits) == [
        f"{only}/conda",
        f"{only}/cuda-13.0",
    ]
    assert {toolkit.version for toolkit in result.toolkits} == {"13.0.88"}
    assert result.wrappers == (f"{only}/bin/nvcc",)
    assert result.homes == {"CUDA_HOME": f":{only}/cuda"}

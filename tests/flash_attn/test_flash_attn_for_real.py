"""Compile flash-attn for a GPU of another host: toolkit from wheels, nvcc, torch, vLLM.

One of its 72 sources with kernels is compiled. The switch for work on the build skips the others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.binary import fatbin, libraries, wheel
from provision.binary.elf import SharedObject
from provision.catalog import rows
from provision.flash_attn import partial_build, wheel_store
from provision.host import from_text
from provision.plan import against_wheel
from provision.plan._model import Plan
from provision.session.planning import make_plan
from provision.settings import load
from tests.checks import real
from tests.plan.described import rejected

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
H100 = f"""\
gpus: [{{name: NVIDIA H100 80GB HBM3}}]
driver: "580.65.06"
python: "{PYTHON}"
glibc: "2.36"
machine: x86_64
"""
# Nothing depends on who else answers.
PYPI_ALONE = ("sources.pytorch=false", "sources.vllm=false", "sources.github=false")

pytestmark = [pytest.mark.environment, pytest.mark.long]


class Made:
    """The environment that was built, and the output of the command."""

    def __init__(self, folder: Path, done: subprocess.CompletedProcess[str]) -> None:
        self.prefix, self.done = folder / "envs", done
        self.report = json.loads(done.stdout) if done.stdout else {}
        self.current = self.prefix / "current"

    @property
    def packages(self) -> Path:
        return next(self.current.glob("lib/python*/site-packages"))

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.current / "bin/python", "-I", "-c", code],
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    """Four gigabytes are downloaded, and fifteen written."""
    folder = Path(os.environ[real.SHARED]) / "flash-attn"
    folder.mkdir()
    real.needs(folder, gigabytes=20)
    if (
        not any(map(shutil.which, ("g++", "g++-12", "g++-13", "g++-14")))
        or os.uname().machine != "x86_64"
    ):
        pytest.skip("there is no C++ compiler for x86_64")
    (folder / "h100.yaml").write_text(H100)
    words = [
        "provision",
        "--host",
        str(folder / "h100.yaml"),
        "--yes",
        "--json",
        "--prefix",
        str(folder / "envs"),
    ]
    settings = [
        f"logs={folder / 'logs'}",
        f"tasks={folder / 'tasks'}",
        "flash_attn.build=now",
        *PYPI_ALONE,
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            real.START,
            *words,
            *(word for setting in settings for word in ("--set", setting)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=2400,
        env={**os.environ, "TMPDIR": str(folder), partial_build.ONLY: "flash_fwd_hdim64_bf16_sm80"},
    )
    yield Made(folder, done)
    shutil.rmtree(folder, ignore_errors=True)


def test_one_command_compiles_installs_and_tries_it_beside_vllm(made: Made) -> None:
    assert made.done.returncode == 5, made.done.stdout[-3000:] + made.done.stderr[-3000:]
    outcomes = {step["number"]: step["outcome"] for step in made.report["steps"]}
    assert outcomes[60] == outcomes[61] == outcomes[62] == "done", made.report["steps"]
    assert made.report["plan"]["flash_attn"]["origin"] == "store"
    (linked,) = [check for check in made.report["checks"] if check["name"] == "flash_attn_fits"]
    assert linked["outcome"] == "pass", linked
    tried = made.python(
        "import torch, flash_attn_2_cuda, flash_attn, vllm; print(torch.version.cuda, flash_attn_2_cuda.fwd)"
    )
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.startswith(made.report["plan"]["cuda"])


def test_it_holds_code_for_the_asked_architecture_and_no_other(made: Made) -> None:
    (path,) = made.packages.glob("flash_attn_2_cuda*.so")
    code = fatbin.fat_binaries(SharedObject.mapped(path).fatbin)
    assert code
    assert {(item.sm, item.ptx) for item in code} == {(frozenset({90}), frozenset())}
    (kept,) = wheel_store.kept_wheels(made.prefix)
    assert (kept.sm, kept.origin) == (("9.0",), "built")
    assert kept.made_from["only"] == "flash_fwd_hdim64_bf16_sm80"


def test_it_is_refused_for_another_torch(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(partial_build.ONLY, "flash_fwd_hdim64_bf16_sm80")
    (kept,) = wheel_store.kept_wheels(made.prefix)
    other = load(None, "config.yaml", ["vllm=0.25.1"])
    plan = make_plan(
        from_text.parse(H100, "h100.yaml"),
        other,
        wheel_store.catalogue(made.prefix, rows.load()),
    )
    assert isinstance(plan, Plan)
    assert plan.flash_attn.origin != "store"
    assert f"{kept.file}: for torch {kept.torch}" in rejected(plan, "flash-attn")


def test_its_symbols_are_those_of_its_own_torch(made: Made, tmp_path: Path) -> None:
    (kept,) = wheel_store.kept_wheels(made.prefix)
    truth = wheel.read(made.prefix / "wheels" / kept.file)
    own = libraries.read(made.packages / "torch" / "lib")
    assert against_wheel.reasons_against(truth, torch=own, torch_version=kept.torch) == []
    for library in (made.packages / "torch" / "lib").glob("*.so"):
        if library.name != "libc10.so":
            (tmp_path / library.name).symlink_to(library)
    (reason, *_) = against_wheel.reasons_against(
        truth, torch=libraries.read(tmp_path), torch_version="another"
    )
    assert "which torch another here does not have" in reason

"""flash-attn beside a toy vLLM: compiled afterwards, in a second environment, or given up."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision import cli
from provision.catalog import rows
from provision.engine import discover_steps, environments, promised_checks, resolution_cache
from provision.errors import Interrupted, SourceFailed, StepFailed
from provision.flash_attn import find as published_wheels
from provision.flash_attn import partial_build, step_60_flash_attn, wheel_store
from provision.host import from_text
from provision.plan import choose_jobs
from provision.plan._model import Package, Plan
from provision.results import CheckResults
from provision.session import inputs, planning
from provision.session.planning import make_plan
from provision.settings import load
from provision.steps.model import Lock, Pin, Wheel
from tests.binary.tiny_elf import fat_section, shared_object
from tests.binary.tiny_wheel import OF_C10, module
from tests.binary.tiny_wheel import wheel as compiled_wheel
from tests.doors.local_server import LocalServer, Resource, serving
from tests.engine.small_index import wheel

pytestmark = pytest.mark.environment

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = f"cp{PYTHON.replace('.', '')}"
H100 = f'gpus: [{{name: NVIDIA H100 80GB HBM3}}]\ndriver: "580.65.06"\npython: "{PYTHON}"\nglibc: "2.36"\nmachine: x86_64\n'
TOOLS = {
    "setuptools": "80.0",
    "wheel": "0.45",
    "ninja": "1.13",
    "packaging": "26.0",
    "psutil": "7.0",
}
OTHERS = {"cuda-toolkit": "13.0.3", "nvidia-cuda-nvcc": "13.0.88", "einops": "0.8", **TOOLS}
CHECKS = ("distributions_as_locked", "record_whole", "vllm_generates")
SOURCE = "flash_attn-2.8.3.post2.tar.gz"
# Stands in for flash-attn's own: no compiler is at work, and the extension is there already.
SETUP = """
import base64, hashlib, os, pathlib, sys, zipfile
kernels = ["csrc/flash_attn/flash_api.cpp",
]
print("[1/1] nvcc", flush=True)
@BODY@
version = "2.8.3.post2+" + os.environ["FLASH_ATTN_LOCAL_VERSION"]
info = f"flash_attn-{version}.dist-info"
tag = "@TAG@-@TAG@-linux_x86_64"
files = {
    "flash_attn/__init__.py": b"",
    "flash_attn_2_cuda.so": pathlib.Path("ready.so").read_bytes(),
    f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: flash_attn\\nVersion: {version}\\n".encode(),
    f"{info}/WHEEL": f"Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: {tag}\\n".encode(),
}
lines = [f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
         for name, data in files.items()]
files[f"{info}/RECORD"] = "\\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
dist = pathlib.Path(sys.argv[sys.argv.index("--dist-dir") + 1])
dist.mkdir(parents=True)
with zipfile.ZipFile(dist / f"flash_attn-{version}-{tag}.whl", "w") as archive:
    for name, data in files.items():
        archive.writestr(name, data)
"""


def release(body: str = "", ready: bytes = b"", more: dict[str, bytes] | None = None) -> bytes:
    text = SETUP.replace("@BODY@", body).replace("@TAG@", TAG)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in {
            "setup.py": text.encode(),
            "ready.so": ready or module(),
            **(more or {}),
        }.items():
            entry = tarfile.TarInfo(f"flash_attn-2.8.3.post2/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


class Toy:
    """A prefix with everything but flash-attn resolved, and the index with its source release."""

    def __init__(self, folder: Path, server: LocalServer) -> None:
        self.prefix, self.server, self._folder = folder / "envs", server, folder
        self.page(release())

    def page(self, source: bytes, *faults: str) -> None:
        self.digest = hashlib.sha256(source).hexdigest()
        html = f'<a href="/files/{SOURCE}#sha256={self.digest}">{SOURCE}</a>'
        self.server.resources["/simple/flash-attn/"] = Resource(html.encode(), "text/html")
        self.server.resources[f"/files/{SOURCE}"] = Resource(source, "application/gzip", *faults)

    def run(self, *words: str) -> int:
        return cli.run(["provision", "--yes", "--host", str(self._folder / "h100.yaml"), *words])

    def report(self) -> dict[str, object]:
        newest = max((self._folder / "logs").glob("*/report.json"))
        result: dict[str, object] = json.loads(newest.read_bytes())
        return result

    @property
    def wanted(self) -> resolution_cache.Resolution:
        result = resolution_cache.load(self.prefix)
        assert result
        return result

    def has_flash_attn(self) -> bool:
        """Return True if the current environment has flash-attn."""
        now = self.prefix / os.readlink(self.prefix / environments.CURRENT)
        return any(now.glob("lib/python*/site-packages/flash_attn-*.dist-info"))

    @property
    def reason(self) -> str:
        """Return the plan's reasons against the candidates."""
        assert self.wanted.plan.flash_attn.mode == "none"
        (decision,) = [item for item in self.wanted.plan.decisions if item.subject == "flash-attn"]
        return "\n".join(item.reason for item in decision.rejected)

    @property
    def built(self) -> int:
        return sum(
            "[1/1]" in path.read_text() for path in (self._folder / "logs").glob("*/62-compile.log")
        )

    @property
    def generations(self) -> int:
        return len(environments.list_environments(self.prefix))


def steps(report: dict[str, object]) -> dict[int, str]:
    listed = report["steps"]
    assert isinstance(listed, list)
    return {step["number"]: step["outcome"] for step in listed}


def locked(folder: Path, *, wrong_record: bool = False) -> Lock:
    """Write toys with the planned names and versions; torch has the libraries for flash-attn."""
    c10, cudart = shared_object(defined=(OF_C10,)), shared_object()
    libraries = {
        "torch/__init__.py": b"",
        "torch/lib/libc10.so": c10,
        "torch/lib/libcudart.so.13": cudart,
    }
    folder.mkdir()
    named = "torch-2.13.0-py3-none-any.whl"
    paths = [
        compiled_wheel(
            folder, libraries, named=named, name="torch", version="2.13.0", tag="py3-none-any"
        )
    ]
    paths += [wheel(folder, name, version) for name, version in OTHERS.items()]
    if wrong_record:
        other = {"einops/other.py": f"einops/other.py,sha256={'A' * 43},99"}
        named = "einops-0.8-py3-none-any.whl"
        files = {"einops/__init__.py": b"", "einops/other.py": b""}
        compiled_wheel(
            folder,
            files,
            named=named,
            name="einops",
            version="0.8",
            tag="py3-none-any",
            record=other,
        )
    modules = {
        f"vllm/{name}.py": "def main(): pass\n" for name in ("__init__", "entrypoints/__init__")
    }
    modules |= {
        f"vllm/entrypoints/cli/{name}.py": "def main(): pass\n" for name in ("__init__", "main")
    }
    modules |= {
        "vllm-0.32.0.dist-info/entry_points.txt": "[console_scripts]\nvllm = vllm.entrypoints.cli.main:main\n"
    }
    paths.append(wheel(folder, "vllm", "0.32.0", "torch===2.13.0", files=modules))
    pins = []
    for path in paths:
        name, version = path.name.split("-")[:2]
        if name.replace("_", "-") in ("torch", "vllm", "einops"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            pins.append(
                Pin(name=name, version=version, wheel=Wheel(url=path.as_uri(), sha256=digest))
            )
    return Lock(pins=tuple(pins))


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving() as server:
        yield server


@pytest.fixture
def toy(tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Toy:
    if not any(map(shutil.which, ("g++", "g++-12", "g++-13", "g++-14"))):
        pytest.skip("there is no C++ compiler, without which nothing is compiled")
    (tmp_path / "h100.yaml").write_text(H100)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple/"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path))
    monkeypatch.setattr(step_60_flash_attn, "TRY", tmp_path / "try.py")
    (tmp_path / "try.py").write_text("")
    monkeypatch.setattr(promised_checks, "choose_promised", lambda plan, lock: CHECKS)  # noqa: ARG005 - all that toys can pass
    monkeypatch.setattr(
        choose_jobs, "PROCESS_GB", 0.1
    )  # a toy compiler needs no more, also on a busy host
    made, load_rows = Toy(tmp_path, server), rows.load

    def load_with_its_hash() -> rows.Catalogue:
        """Return the catalogue that names the toy's source release instead of the real one."""
        catalogue = load_rows()
        (source,) = catalogue.flash_attn_source
        source = msgspec.structs.replace(source, sha256=made.digest)
        return msgspec.structs.replace(catalogue, flash_attn_source=(source,))

    monkeypatch.setattr(rows, "load", load_with_its_hash)
    return made


def want(
    toy: Toy, tmp_path: Path, *settings: str, wrong_record: bool = False, planned: str = "build"
) -> None:
    """Save a resolution as a first run does after planning."""
    asked = load(None, "config.yaml", settings)
    described = from_text.parse(H100, "h100.yaml")
    github = asked.sources.github if isinstance(asked.sources.github, str) else False
    sources = msgspec.structs.replace(asked.sources, github=github, pytorch=False, vllm=False)
    narrowed = msgspec.structs.replace(asked, vllm="0.32.0", sources=sources)
    plan = make_plan(described, narrowed, rows.load())
    assert isinstance(plan, Plan)
    assert plan.flash_attn.mode == planned, plan.flash_attn
    known = resolution_cache.Resolution(
        wish=resolution_cache.wish(described, asked, planning.choices()),
        tool=resolution_cache.tool(),
        plan=msgspec.structs.replace(plan, checks=CHECKS, disk_mb=0, download_mb=0),
        lock=locked(tmp_path / "wheels", wrong_record=wrong_record),
        host_python=os.path.realpath(sys.executable),
    )
    resolution_cache.save(toy.prefix, known)


def test_vllm_first_and_then_a_second_environment_with_it(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    assert toy.run() == 5  # an H100 elsewhere owes what only it can prove
    assert toy.has_flash_attn()
    assert toy.generations == 2
    document = toy.report()
    assert steps(document)[61] == steps(document)[62] == steps(document)[60] == "done"
    assert {step.number for step in discover_steps.discover()} < set(steps(document))
    (made,) = wheel_store.kept_wheels(toy.prefix)
    assert (made.torch, made.cuda, made.sm, made.cpython, made.origin) == (
        "2.13.0",
        "13.0",
        ("8.0", "9.0"),
        TAG,
        "built",
    )
    assert toy.wanted.lock.version("flash-attn") == made.version
    assert toy.wanted.plan.flash_attn.origin == "store"
    assert not (toy.prefix / "toolkits").exists()
    assert not (toy.prefix / "wheels" / SOURCE).exists(), "what only compiles goes again"
    before = toy.server.resources[f"/files/{SOURCE}"].requests
    assert toy.run() == 5
    assert (toy.generations, toy.server.resources[f"/files/{SOURCE}"].requests) == (2, before)


@pytest.mark.parametrize(
    ("damage", "asks"),
    [
        ("deleted", False),
        ("damaged", True),
        pytest.param("damaged", False, marks=pytest.mark.long),
        pytest.param("cut short", False, marks=pytest.mark.long),
    ],
)
def test_a_damaged_kept_wheel_is_obtained_again_and_not_refused(
    toy: Toy, tmp_path: Path, damage: str, *, asks: bool
) -> None:
    """Repair an environment that needs the wheel, or ask for flash-attn again."""
    want(toy, tmp_path)
    assert toy.run() == 5
    (made,) = wheel_store.kept_wheels(toy.prefix)
    place = wheel_store.path_of(toy.prefix, made.file)
    content = place.read_bytes()
    place.write_bytes(
        content[:-1] + bytes([content[-1] ^ 1]) if damage == "damaged" else content[:-1]
    )
    if damage == "deleted":
        place.unlink()
    if asks:
        assert toy.run("--only", "60") == 5
    else:
        next(toy.prefix.glob("*/lib/python*/site-packages/flash_attn_2_cuda.so")).unlink()
        assert toy.run() == 5
    assert toy.has_flash_attn()
    assert toy.built == 2
    (again,) = wheel_store.kept_wheels(toy.prefix)
    assert again.file == made.file
    assert wheel_store.is_intact(toy.prefix, again)


@pytest.mark.parametrize(
    ("needs", "works"),
    [((OF_C10,), True), (("_ZN3c103NewEv",), False)],
    ids=["as it says", "lies about its torch"],
)
def test_an_imported_wheel_is_installed_and_its_claim_is_tried(
    toy: Toy, tmp_path: Path, needs: tuple[str, ...], *, works: bool
) -> None:
    want(toy, tmp_path)
    toy.page(release("print('x.cu(1): error: no'); sys.exit(1)"))
    assert toy.run() == 5
    assert not toy.has_flash_attn()
    tag = f"{TAG}-{TAG}-linux_x86_64"
    extension = {"flash_attn/__init__.py": b"", "flash_attn_2_cuda.so": module(undefined=needs)}
    named = f"flash_attn-2.8.3+cu13torch2.13cxx11abiTRUE-{tag}.whl"
    brought = compiled_wheel(tmp_path, extension, named=named, tag=tag)
    assert cli.run(["wheels", "import", str(brought), "--prefix", str(toy.prefix)]) == 0
    assert toy.run("--only", "60") == 5
    assert toy.has_flash_attn() is works
    reasons = {item.version: item.reason for item in toy.wanted.against}
    assert (
        "it needs _ZN3c103NewEv, which torch 2.13.0 here does not have" in reasons.get(named, "")
    ) is not works


def test_the_environment_before_an_upgrade_stays_the_way_back(toy: Toy, tmp_path: Path) -> None:
    """Keep two environments, but not the upgrade with and without flash-attn."""
    before = environments.find_or_begin(toy.prefix, "before the upgrade", "20260101T000000Z-0000")
    state = Path(before.path) / environments.STATE
    for name in (environments.COMPLETE, environments.USED):
        (state / name).write_text("{}")
    want(toy, tmp_path)
    assert toy.run() == 5
    assert toy.has_flash_attn()
    assert environments.rollback(toy.prefix)[0] == before.id


def test_a_wheel_that_does_not_work_beside_vllm_is_removed_again(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    (tmp_path / "try.py").write_text(
        "import sys; sys.exit('vLLM does not import beside it: boom')\n"
    )
    assert toy.run() == 5
    first = environments.current_id(toy.prefix)
    assert not toy.has_flash_attn()
    assert "boom" in toy.reason
    assert (
        "flash-attn   none: vLLM does not import beside it: boom"
        in (tmp_path / "logs" / "summary.txt").read_text()
    )
    assert toy.run() == 5
    assert environments.current_id(toy.prefix) == first, "neither made nor tried again"
    assert toy.built == 1
    (tmp_path / "try.py").write_text("")
    assert toy.run("--only", "60") == 5
    assert toy.has_flash_attn(), "asked anew, the wheel that was kept is taken"
    assert toy.built == 1


def test_a_compiler_that_fails_is_a_reason_and_no_failure(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    toy.page(release("print('flash_x.cu(7): error: no such thing'); sys.exit(1)"))
    assert toy.run() == 5
    assert not toy.has_flash_attn()
    assert "flash_x.cu(7): error: no such thing; its log is" in toy.reason
    assert steps(toy.report())[62] == "failed"
    requests = toy.server.resources[f"/files/{SOURCE}"].requests
    assert toy.run() == 5
    assert {path.name.partition("-")[0] for path in (toy.prefix / "wheels").iterdir()} == {
        "torch",
        "vllm",
        "einops",
    }
    assert toy.server.resources[f"/files/{SOURCE}"].requests == requests, "not tried again unasked"
    toy.page(release())
    assert toy.run("--only", "60") == 5
    assert toy.has_flash_attn()


def test_a_missing_ninja_is_the_reason_and_vllm_is_ready(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    for ninja in (tmp_path / "wheels").glob("ninja-*"):
        ninja.unlink()
    assert toy.run() == 5
    assert not toy.has_flash_attn()
    assert toy.generations == 1
    assert "the tools that compile it cannot be installed: " in toy.reason
    assert "ninja" in toy.reason


def test_a_partly_compiled_wheel_is_used_only_with_its_pattern(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(partial_build.ONLY, "flash_fwd_hdim64*")
    want(toy, tmp_path)
    toy.page(release(more={"csrc/flash_attn/flash_api.cpp": b""}))
    assert toy.run() == 5
    assert toy.has_flash_attn()
    (part,) = wheel_store.kept_wheels(toy.prefix)
    assert cli.run(["wheels", "list", "--prefix", str(toy.prefix)]) == 0
    output = " ".join(capfd.readouterr().out.split())
    assert (
        f"only flash_fwd_hdim64* was compiled: used only with {partial_build.ONLY} set to that"
        in output
    )
    monkeypatch.delenv(partial_build.ONLY)
    wish = resolution_cache.wish(from_text.parse(H100, "h100.yaml"), load(None, "config.yaml", ()))
    assert toy.wanted.wish != wish, "what is there is not what an ordinary run wants"
    resolution_cache.save(toy.prefix, msgspec.structs.replace(toy.wanted, wish=wish))
    assert toy.run("--only", "60") == 5
    (whole,) = (item for item in wheel_store.kept_wheels(toy.prefix) if not item.only)
    assert toy.built == 2
    assert toy.wanted.plan.flash_attn.wheel == whole.file
    assert toy.wanted.lock.version("flash-attn") == whole.version != part.version


STOPS_ONCE = """
if not os.path.exists("compiled"):
    open("compiled", "w")
    @HOW@
"""


def test_a_full_disk_is_no_refusal_and_the_build_resumes(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    toy.page(
        release(
            STOPS_ONCE.replace("@HOW@", "sys.exit('fatal error: x.o: No space left on device')")
        )
    )
    assert toy.run() == 5, "vLLM is there"
    assert not toy.has_flash_attn()
    assert toy.wanted.plan.flash_attn.mode == "build", "it is owed still"
    assert toy.run() == 5
    assert toy.has_flash_attn()


def test_an_interruption_of_the_build_says_that_vllm_is_ready(
    toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    want(toy, tmp_path)
    ours = "int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])"
    toy.page(
        release(STOPS_ONCE.replace("@HOW@", f"os.kill({ours}, 2); import time; time.sleep(60)"))
    )
    with pytest.raises(Interrupted) as interrupted:
        toy.run("--json")
    assert "vLLM is ready without flash-attn" in str(interrupted.value)
    assert json.loads(capfd.readouterr().out)["plan"]["flash_attn"]["mode"] == "build"
    assert toy.run("--json") == 5
    assert json.loads(capfd.readouterr().out)["plan"]["flash_attn"]["mode"] == "wheel"


def test_a_kept_wheel_without_a_note_is_made_again(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    toy.page(
        release(
            STOPS_ONCE.replace("@HOW@", "sys.exit('fatal error: x.o: No space left on device')")
        )
    )
    assert toy.run() == 5
    (dist,) = toy.prefix.glob("toolkits/*-sources")
    (toolkit,) = (path for path in toy.prefix.glob("toolkits/*") if path != dist)
    journal = toolkit / environments.STATE / "journal.jsonl"
    done = json.loads(journal.read_text().splitlines()[-1]) | {"what": "done"}
    journal.write_text(f"{journal.read_text()}{json.dumps(done)}\n")
    assert toy.run() == 5
    assert toy.has_flash_attn()


def test_a_second_environment_that_cannot_be_built_is_no_failure_however_often(
    toy: Toy, tmp_path: Path
) -> None:
    want(toy, tmp_path)
    theirs, aside = tmp_path / "wheels" / "einops-0.8-py3-none-any.whl", tmp_path / "aside"
    ours = toy.prefix / "wheels" / theirs.name
    toy.page(release(f"os.remove({str(ours)!r}); os.rename({str(theirs)!r}, {str(aside)!r})"))
    for _ in range(2):
        assert toy.run() == 5
        assert not toy.has_flash_attn()
    aside.rename(theirs)
    assert toy.run() == 5
    assert toy.has_flash_attn()
    assert toy.built == 1


def test_too_little_memory_names_the_command_that_retries(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    want(toy, tmp_path)
    monkeypatch.setattr(choose_jobs, "PROCESS_GB", 10000.0)
    assert toy.run() == 5
    assert "provision --only 60 tries again" in capfd.readouterr().err
    monkeypatch.setattr(choose_jobs, "PROCESS_GB", 0.1)
    assert toy.run("--only", "60") == 5
    assert toy.has_flash_attn()


def test_a_silent_index_is_tried_again(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    page = toy.server.resources.pop("/simple/flash-attn/")
    assert toy.run() == 5
    assert not toy.has_flash_attn()
    assert toy.wanted.plan.flash_attn.mode == "build"
    toy.server.resources["/simple/flash-attn/"] = page
    assert toy.run() == 5
    assert toy.has_flash_attn()


@pytest.mark.parametrize(
    ("ready", "reason"),
    [
        (module(fatbin=b""), "no machine code for 9.0"),
        pytest.param(
            module(needed=("libc10.so", "libmine.so")),
            "it needs libmine.so, which torch 2.13.0 does not bring",
            marks=pytest.mark.long,
        ),
        pytest.param(
            module(undefined=("_ZN3c103NewEv",)),
            "it needs _ZN3c103NewEv, which torch 2.13.0 here does not have",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_wheel_that_does_not_suit_is_never_installed(
    toy: Toy, tmp_path: Path, ready: bytes, reason: str
) -> None:
    want(toy, tmp_path)
    toy.page(release(ready=ready))
    (tmp_path / "try.py").write_text("open('tried', 'w')\n")
    assert toy.run() == 5
    assert reason in toy.reason
    assert not any(toy.prefix.glob("*/lib/python*/site-packages/flash_attn*"))


def test_now_means_before_vllm(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path, "flash_attn.build=now")
    assert toy.run("--set", "flash_attn.build=now") == 5
    assert toy.has_flash_attn()
    assert toy.generations == 1


def test_a_required_package_that_cannot_be_installed_is_a_failure(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path, "flash_attn.mode=require")
    toy.page(release("print('x.cu(1): error: no'); sys.exit(1)"))
    with pytest.raises(StepFailed, match=r"cannot be installed: x\.cu\(1\): error: no"):
        toy.run("--set", "flash_attn.mode=require")
    assert environments.current_id(toy.prefix) is None


def test_on_a_verified_host_a_removed_wheel_leaves_only_a_note(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys.modules[__name__], "CHECKS", ("distributions_as_locked", "record_whole")
    )
    want(toy, tmp_path)
    (tmp_path / "try.py").write_text("import sys; sys.exit('boom')\n")
    assert toy.run() == 0
    assert toy.generations == 1, "the unfinished one is gone"
    assert not (toy.prefix / environments.TOOLKITS).exists()
    assert "nothing to do" not in (output := capfd.readouterr().out)
    assert output.count("flash-attn   none: boom") == 1
    assert steps(toy.report())[60] == "failed"
    assert toy.run() == 0
    assert capfd.readouterr().out.startswith("nothing to do: ")


@pytest.mark.parametrize(
    ("of_the_module", "reason"),
    [
        ({}, "it does not load: boom"),
        (
            {"fatbin": fat_section("sm80")},
            "no machine code for 9.0: it carries machine code for 8.0",
        ),
        pytest.param(
            {"versions": {"libc.so.6": ("GLIBC_2.99",)}},
            "it needs glibc 2.99; this host has 2.36",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_wheel_resolved_with_vllm_that_does_not_fit_is_removed(
    toy: Toy, tmp_path: Path, of_the_module: dict[str, Any], reason: str
) -> None:
    """Flavour 3 comes from an index, and was not inspected before."""
    want(toy, tmp_path, "flash_attn.flavour=3", planned="none")
    (tmp_path / "try.py").write_text(
        "import sys; sys.exit(f'it does not load: boom {sys.argv[-2:]}')\n"
    )
    known = toy.wanted
    tag = f"{TAG}-abi3-linux_x86_64"
    files = {"flash_attn_interface.py": b"", "flash_attn_3/_C.abi3.so": module(**of_the_module)}
    named = f"flash_attn_3-3.0.0-{tag}.whl"
    path = compiled_wheel(
        tmp_path / "wheels", files, named=named, name="flash_attn_3", version="3.0.0", tag=tag
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pin = Pin(name="flash-attn-3", version="3.0.0", wheel=Wheel(url=path.as_uri(), sha256=digest))
    plan = msgspec.structs.replace(
        known.plan,
        packages=known.plan.packages
        | {"flash-attn": Package(version="3.0.0", source="pypi", distribution="flash_attn_3")},
        flash_attn=msgspec.structs.replace(known.plan.flash_attn, mode="wheel", arches=("9.0",)),
    )
    resolution_cache.save(
        toy.prefix,
        msgspec.structs.replace(known, plan=plan, lock=Lock(pins=(*known.lock.pins, pin))),
    )
    assert toy.run("--set", "flash_attn.flavour=3") == 5
    assert toy.wanted.plan.flash_attn.mode == "none"
    assert toy.wanted.lock.version("flash-attn-3") is None
    (refusal,) = toy.wanted.against
    assert reason in refusal.reason


def test_a_check_that_fails_only_with_flash_attn_removes_it(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a run that was killed during its checks."""
    want(toy, tmp_path)
    fail_where_it_is = promised_checks.check_environment
    first = True

    def check(plan: Plan, lock: Lock, *more: Any) -> CheckResults:
        nonlocal first
        if lock.version("flash-attn") and first:
            first = False
            raise KeyboardInterrupt
        result = fail_where_it_is(plan, lock, *more)
        bad = "fail" if lock.version("flash-attn") else "pass"
        checks = (
            msgspec.structs.replace(item, outcome=bad) if item.name == "record_whole" else item
            for item in result.checks
        )
        return msgspec.structs.replace(result, checks=tuple(checks))

    monkeypatch.setattr(promised_checks, "check_environment", check)
    with pytest.raises(Interrupted):
        toy.run()
    assert toy.run() == 5
    assert not toy.has_flash_attn()
    assert "record_whole" in toy.reason


def test_flash_attn_stays_when_the_rest_is_installed_again(toy: Toy, tmp_path: Path) -> None:
    """A wheel with a wrong RECORD is installed twice, and that step removes unlocked packages."""
    want(toy, tmp_path, "flash_attn.build=now", wrong_record=True)
    assert toy.run("--set", "flash_attn.build=now") == 5
    assert toy.has_flash_attn()


NAMED = f"flash_attn-2.8.3.post2+cu13torch2.13cxx11abiTRUE-{TAG}-{TAG}-linux_x86_64.whl"


class Release:
    """Stand in for GitHub's page of a release whose list of files has not been read."""

    def __init__(self, toy: Toy, tmp_path: Path) -> None:
        self._toy, self._folder = toy, tmp_path
        self.github = toy.server.url("/gh")
        toy.server.resources["/gh"] = toy.server.resources["/gh/"] = Resource(
            b"<html></html>", "text/html"
        )

    def publish(self, data: bytes, digest: str | None = None, *faults: str) -> None:
        at = "/gh/Dao-AILab/flash-attention/releases"
        digest = hashlib.sha256(data).hexdigest() if digest is None else digest
        shown = f"<span>sha256:{digest}</span>" if digest else ""
        page = f'<a href="{at}/download/v2.8.3.post2/{NAMED}">{NAMED}</a>{shown}'
        self._toy.server.resources[f"{at}/expanded_assets/v2.8.3.post2"] = Resource(
            page.encode(), "text/html"
        )
        self._toy.server.resources[f"{at}/download/v2.8.3.post2/{NAMED}"] = Resource(
            data, "application/zip", *faults
        )

    def wheel(self, **of_the_module: Any) -> bytes:
        folder = self._folder / "published"
        folder.mkdir()
        files = {"flash_attn/__init__.py": b"", "flash_attn_2_cuda.so": module(**of_the_module)}
        tag = f"{TAG}-{TAG}-linux_x86_64"
        return compiled_wheel(
            folder, files, named=NAMED, version="2.8.3.post2", tag=tag
        ).read_bytes()

    def run(self) -> int:
        return self._toy.run("--set", f"sources.github={self.github}")


@pytest.fixture
def release_page(toy: Toy, tmp_path: Path) -> Release:
    result = Release(toy, tmp_path)
    want(toy, tmp_path, f"sources.github={result.github}", planned="wheel")
    return result


def test_a_published_wheel_is_installed_in_the_first_pass(toy: Toy, release_page: Release) -> None:
    release_page.publish(release_page.wheel())
    assert release_page.run() == 5
    assert toy.has_flash_attn()
    assert toy.generations == 1
    (kept,) = wheel_store.kept_wheels(toy.prefix)
    assert (kept.file, kept.version, kept.origin) == (NAMED, "2.8.3.post2", "fetched")
    assert 62 not in steps(toy.report())


def test_the_hash_of_a_wheel_without_one_is_recorded(toy: Toy, release_page: Release) -> None:
    data = release_page.wheel()
    release_page.publish(data, "")
    assert release_page.run() == 5
    (kept,) = wheel_store.kept_wheels(toy.prefix)
    assert kept.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("of_the_module", "digest", "reason"),
    [
        ({}, "0" * 64, "its content does not match the locked SHA-256"),
        (
            {"fatbin": fat_section("sm80")},
            None,
            "no machine code for 9.0: it carries machine code for 8.0",
        ),
        pytest.param(
            {"versions": {"libc.so.6": ("GLIBC_2.99",)}},
            None,
            "it needs glibc 2.99",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_published_wheel_that_does_not_suit_is_compiled_in_the_second_pass(
    toy: Toy, release_page: Release, of_the_module: dict[str, Any], digest: str | None, reason: str
) -> None:
    release_page.publish(release_page.wheel(**of_the_module), digest)
    assert release_page.run() == 5
    assert toy.has_flash_attn(), "compiled instead"
    assert toy.generations == 2, "and vLLM was there first"
    (kept,) = wheel_store.kept_wheels(toy.prefix)
    assert kept.origin == "built"
    (decision,) = [item for item in toy.wanted.plan.decisions if item.subject == "flash-attn"]
    assert reason in "\n".join(item.reason for item in decision.rejected if item.candidate == NAMED)
    assert not (toy.prefix / "wheels" / NAMED).exists()


def test_a_wheel_that_is_not_listed_is_compiled(toy: Toy, release_page: Release) -> None:
    at = "/gh/Dao-AILab/flash-attention/releases/expanded_assets/v2.8.3.post2"
    page = b'<a href="/gh/Dao-AILab/flash-attention/archive/refs/tags/v2.8.3.post2.zip">Source</a>'
    toy.server.resources[at] = Resource(page, "text/html")
    assert release_page.run() == 5
    assert wheel_store.kept_wheels(toy.prefix)[0].origin == "built"


def test_a_broken_download_resumes(toy: Toy, release_page: Release) -> None:
    release_page.publish(release_page.wheel(), None, "reset")
    assert release_page.run() == 5
    assert wheel_store.kept_wheels(toy.prefix)[0].origin == "fetched"


def test_a_release_page_that_cannot_be_read_once_is_asked_again(
    toy: Toy, release_page: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_page.publish(release_page.wheel())
    find, asked = published_wheels.find, []

    def once_silent(*arguments: Any) -> Wheel:
        asked.append(1)
        if len(asked) == 1:
            raise SourceFailed("HTTP status 500")
        return find(*arguments)

    monkeypatch.setattr(published_wheels, "find", once_silent)
    assert release_page.run() == 5
    assert wheel_store.kept_wheels(toy.prefix)[0].origin == "fetched", "and nothing was compiled"
    assert toy.built == 0


def test_a_source_release_of_other_bytes_is_not_run(toy: Toy, tmp_path: Path) -> None:
    want(toy, tmp_path)
    page = toy.server.resources["/simple/flash-attn/"]
    page.data = f'<a href="/files/{SOURCE}#sha256={"f" * 64}">{SOURCE}</a>'.encode()
    assert toy.run() == 5
    assert f"has the SHA-256 {'f' * 64}, and the catalogue names {toy.digest}" in toy.reason
    assert not toy.server.resources[f"/files/{SOURCE}"].requests

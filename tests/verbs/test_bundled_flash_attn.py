"""A bundle and flash-attn: a kept wheel travels with it and is kept; a missing one is reported."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from provision import cli
from provision.engine import environments, promised_checks, resolution_cache
from provision.errors import Failure
from provision.flash_attn import step_60_flash_attn, wheel_store
from provision.host import driver, from_text, glibc, gpus, machine, nvml, pci_gpus, record
from provision.host._model import Fact, Host
from provision.session import inputs, resolve
from tests.binary.tiny_wheel import MODULE, module, wheel
from tests.doors.local_server import LocalServer, Resource, serving
from tests.engine.small_index import wheel as plain_wheel
from tests.test_cli import ROOT
from tests.verbs.test_flash_attn import H100, TAG, locked

pytestmark = pytest.mark.environment

FILE = f"flash_attn-2.8.3.post2+cu130.torch2.13.0.sm90.k01234567-{TAG}-{TAG}-linux_x86_64.whl"
VERSION = FILE.split("-")[1]
SETTINGS = ("sources.github=false", "sources.pytorch=false", "sources.vllm=false", "vllm=0.32.0")
FACTS: tuple[Fact[Any], ...] = (
    gpus.FACT,
    driver.FACT,
    nvml.FACT,
    pci_gpus.FACT,
    glibc.FACT,
    machine.FACT,
)


class Place:
    """Two prefixes: one to make bundles in, and one on a host with an H100 and no network."""

    def __init__(self, folder: Path, server: LocalServer) -> None:
        self.server = server
        self.here, self.there, self.bundle = (
            folder / "envs here",
            folder / "envs there",
            folder / "a bundle",
        )
        self.description = folder / "h100.yaml"

    def make(self, *words: str) -> int:
        argv = ["bundle", "--host", str(self.description), "-o", str(self.bundle), "--yes"]
        argv += [word for setting in SETTINGS for word in ("--set", setting)]
        return cli.run([*argv, *words, "--prefix", str(self.here)])

    def up(self, *words: str) -> int:
        return cli.run(
            ["up", "--yes", "--bundle", str(self.bundle), "--prefix", str(self.there), *words]
        )

    @property
    def manifest(self) -> Path:
        return self.bundle / "bundle.json"

    @property
    def installed(self) -> list[str]:
        now = self.there / os.readlink(self.there / environments.CURRENT)
        return [path.name for path in now.glob("lib/python*/site-packages/flash_attn-*.dist-info")]


def flash_attn(folder: Path) -> Path:
    files = {"flash_attn/__init__.py": b"", MODULE: module()}
    return wheel(folder, files, named=FILE, version=VERSION, tag=f"{TAG}-{TAG}-linux_x86_64")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if not any(map(shutil.which, ("cc", "gcc"))):
        pytest.skip("there is no C compiler, without which no environment for a GPU is built")
    locked(tmp_path / "wheels")
    control = plain_wheel(tmp_path / "wheels", "tiny", "1.0")
    checkout = tmp_path / "checkout"
    for name in ("setup.sh", "config.yaml", "pyproject.toml", "README.md", "LICENSE"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    digest = hashlib.sha256(control.read_bytes()).hexdigest()
    (checkout / "requirements.txt").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    (tmp_path / "h100.yaml").write_text(H100)
    (tmp_path / "try.py").write_text("")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(inputs, "checkout", lambda: str(checkout))
    monkeypatch.setattr(step_60_flash_attn, "TRY", tmp_path / "try.py")
    provable = ("distributions_as_locked", "record_whole")
    monkeypatch.setattr(promised_checks, "choose_promised", lambda plan, lock: provable)  # noqa: ARG005 - all that toys can pass
    with serving() as server:
        for path in (tmp_path / "wheels").iterdir():
            name = path.name.partition("-")[0].replace("_", "-")
            page = f'<a href="/files/{quote(path.name)}">{path.name}</a>'.encode()
            server.resources[f"/simple/{name}/"] = Resource(page, "text/html")
            server.resources[f"/files/{quote(path.name)}"] = Resource(path.read_bytes())
        server.resources["/simple/"] = Resource(b"", "text/html")
        monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))
        yield Place(tmp_path, server)


@pytest.fixture
def with_an_h100(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From here on this is the host that is described, apart from its Pythons and its disks."""

    def begin(text: str = H100) -> None:
        described = from_text.parse(text, "h100.yaml")
        facts = {fact.name: described.value(fact) for fact in FACTS}
        monkeypatch.setattr(resolve, "Host", lambda readings: Host(readings).replace(facts))
        host_with = record.host_with
        monkeypatch.setattr(record, "host_with", lambda some: host_with(some).replace(facts))
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")

    return begin


def test_a_kept_wheel_comes_with_it_and_is_kept_there(
    place: Place,
    tmp_path: Path,
    with_an_h100: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        cli.run(["wheels", "import", str(flash_attn(tmp_path)), "--prefix", str(place.here)]) == 0
    )
    assert place.make("--quiet") == 0
    manifest = json.loads(place.manifest.read_text())
    assert [
        pin["wheel"]["url"] for pin in manifest["lock"]["pins"] if pin["name"] == "flash-attn"
    ] == [f"wheels/{quote(FILE)}"]
    assert str(tmp_path) not in place.manifest.read_text()
    assert (
        "flash-attn is not in the bundle"
        not in capsys.readouterr().out + (place.bundle / "README.txt").read_text()
    )
    shutil.rmtree(place.here)
    with_an_h100(H100)
    assert place.up("--quiet") == 0
    assert place.installed == [f"flash_attn-{VERSION}.dist-info"]
    (there,) = wheel_store.kept_wheels(place.there)
    assert (there.file, there.torch, there.row.source[:12]) == (FILE, "2.13.0", "imported on ")
    shutil.rmtree(place.bundle)
    result = resolution_cache.load(place.there)
    assert result
    assert (result.plan.flash_attn.origin, result.plan.flash_attn.wheel) == ("store", FILE)
    next((place.there / "current").glob("lib/python*/site-packages/flash_attn_2_cuda*.so")).unlink()
    capsys.readouterr()
    assert cli.run(["up", "--yes", "--quiet", "--prefix", str(place.there)]) == 0
    assert place.installed, "healed out of the store"
    assert "not taken" not in capsys.readouterr().out


def test_a_wheel_that_does_not_fit_the_host_there_stays_out(
    place: Place, tmp_path: Path, with_an_h100: Callable[[str], None]
) -> None:
    assert (
        cli.run(["wheels", "import", str(flash_attn(tmp_path)), "--prefix", str(place.here)]) == 0
    )
    assert place.make("--quiet") == 0
    with_an_h100(H100.replace("H100 80GB HBM3", "B200"))
    assert place.up("--quiet") == 0
    assert not place.installed
    result = resolution_cache.load(place.there)
    assert result
    (decision,) = [item for item in result.plan.decisions if item.subject == "flash-attn"]
    assert (
        "no machine code for 10.0"
        in {item.candidate: item.reason for item in decision.rejected}[FILE]
    )
    assert not list((place.there / "wheels").glob("flash_attn*"))


def test_a_published_wheel_that_is_planned_is_fetched_for_it(
    place: Place, tmp_path: Path, with_an_h100: Callable[[str], None]
) -> None:
    version = "2.8.3.post2"
    name = f"flash_attn-{version}+cu13torch2.13cxx11abiTRUE-{TAG}-{TAG}-linux_x86_64.whl"
    files = {"flash_attn/__init__.py": b"", MODULE: module()}
    published = wheel(tmp_path, files, named=name, version=version, tag=f"{TAG}-{TAG}-linux_x86_64")
    releases = "/Dao-AILab/flash-attention/releases"
    link = f"{releases}/download/v{version}/{quote(name)}"
    github = f"sources.github={place.server.url('')}"
    page = f"{releases}/expanded_assets/v{version}"
    place.server.resources[page] = Resource(b'<a href="/archive/refs/tags/v1.zip">', "text/html")
    assert place.make("--quiet", "--set", github) == 0
    assert (
        "flash-attn is not in the bundle: no wheel can be used"
        in (place.bundle / "README.txt").read_text()
    )
    place.server.resources[page] = Resource(f'<a href="{link}">{name}</a>'.encode(), "text/html")
    place.server.resources[link] = Resource(published.read_bytes())
    assert place.make("--quiet", "--set", github) == 0
    assert [item.origin for item in wheel_store.kept_wheels(place.here)] == ["fetched"]
    assert place.server.url("") not in place.manifest.read_text()
    with_an_h100(H100)
    assert place.up("--quiet") == 0
    assert place.installed == [f"flash_attn-{version}.dist-info"]


def test_what_is_owed_is_not_in_it_and_that_is_said(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.make("--quiet") == 0
    output = capsys.readouterr().out
    for text in (output, (place.bundle / "README.txt").read_text()):
        assert "flash-attn is not in the bundle: no wheel can be used; it can be compiled" in text
        assert "`./setup.sh wheels import PATH`" in text
        assert f"`./setup.sh provision --host {place.description}`" in text
    assert place.make("--quiet", "--set", "flash_attn.mode=none") == 0
    assert "flash-attn" not in capsys.readouterr().out + (place.bundle / "README.txt").read_text()
    assert place.make("--set", "flash_attn.mode=require") == 3
    assert "flash-attn is not in the bundle" in capsys.readouterr().out


def test_a_manifest_that_knows_of_what_it_does_not_bring(
    place: Place, tmp_path: Path, with_an_h100: Callable[[str], None]
) -> None:
    assert (
        cli.run(["wheels", "import", str(flash_attn(tmp_path)), "--prefix", str(place.here)]) == 0
    )
    assert place.make("--quiet") == 0
    manifest = json.loads(place.manifest.read_text())
    manifest["kept"][0]["sha256"] = "0" * 64
    place.manifest.write_bytes(msgspec.json.encode(manifest))
    with_an_h100(H100)
    with pytest.raises(Failure, match=f"it has a note on {FILE.partition('+')[0]}"):
        place.up()

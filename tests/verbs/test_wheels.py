"""`wheels`: listing kept wheels, moving them between prefixes, and the reasons for refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import jsonschema
import msgspec
import pytest

from provision import cli
from provision.engine import locks
from provision.errors import Failure, Locked
from provision.flash_attn import wheel_store, wheel_transfer
from provision.steps import wheel_folder
from tests.binary.tiny_wheel import MODULE, NAMED, module, wheel
from tests.flash_attn.test_wheel_store import kept_one
from tests.test_cli import ROOT

BUILT = NAMED.replace("13torch2.13cxx11abiTRUE", "130.torch2.13.0.sm80.sm90.k0123abcd")
MADE_FROM = {"url": "https://mirror.example/flash", "architectures": "8.0 9.0"}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Return a prefix with a built wheel, a fetched one, and two wheels of environments."""
    place = tmp_path / "envs here"
    kept_one(place, file=BUILT, torch="2.13.0", made_from=MADE_FROM, seconds=600.0)
    kept_one(place, origin="fetched", made="2026-11-19T00:00:00Z")
    for name in ("einops-0.8", "torch-2.13.0"):
        (place / "wheels" / f"{name}-py3-none-any.whl").write_bytes(b"x" * 10_000_000)
    return place


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "envs there"


def wheels(prefix: Path, *argv: str) -> None:
    assert cli.run(["wheels", *argv, "--prefix", str(prefix)]) == 0


def refused(prefix: Path, *argv: str) -> str:
    with pytest.raises(Failure) as failure:
        cli.run(["wheels", *argv, "--prefix", str(prefix)])
    assert failure.value.exit_code == 2
    return str(failure.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_kept_wheels_are_listed(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheels(prefix)
    output = capsys.readouterr().out
    assert output.index(BUILT) < output.index(NAMED), "the newest first"
    assert "2.8.3 for torch 2.13.0, CUDA 13.0, Python 3.12, x86_64, glibc 2.14" in " ".join(
        output.split()
    )
    assert "machine code for 8.0 9.0; built here on 2026-11-20 in 10 min; 0.0 MB" in " ".join(
        output.split()
    )
    assert "beside them: 2 wheels of environments, 0.02 GB" in output
    wheels(prefix, "list", "--json")
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(
        document, json.loads((ROOT / "docs" / "schemas" / "wheels.json").read_text())
    )
    assert [entry["file"] for entry in document["wheels"]] == [BUILT, NAMED]
    assert (document["folder"], document["others"]) == (str(prefix / "wheels"), 2)


def test_a_wheel_without_a_note_is_named(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel_folder.note(prefix / "wheels" / NAMED).unlink()
    wheels(prefix)
    assert f"{NAMED}: has no note or is damaged" in capsys.readouterr().out
    wheels(prefix, "import", str(prefix / "wheels" / NAMED))
    assert [entry.file for entry in wheel_store.kept_wheels(prefix)] == [NAMED, BUILT]


def test_an_empty_store_says_how_to_fill_it(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheels(target)
    output = capsys.readouterr().out
    assert "no flash-attn wheel is kept" in output
    assert "./setup.sh wheels import PATH" in output
    assert not target.exists()


def test_export_and_import(
    prefix: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "on a stick"
    wheels(prefix, "export", str(folder))
    assert names(folder) == [
        "SHA256SUMS",
        *sorted(name for entry in (BUILT, NAMED) for name in (entry, f"{entry}.json")),
    ]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert b"mirror.example" not in (folder / f"{BUILT}.json").read_bytes()
    wheels(target, "import", str(folder))
    assert "./setup.sh provision --only 60 installs it" in capsys.readouterr().out
    before = {entry.file: entry for entry in wheel_store.kept_wheels(prefix)}
    for entry in wheel_store.kept_wheels(target):
        assert entry.brought
        assert msgspec.structs.replace(entry, brought="") == before[entry.file].for_others
    assert wheel_store.kept_wheels(target)[0].row.source.startswith("built elsewhere, imported on ")
    marks = {path: path.stat().st_mtime_ns for path in (target / "wheels").iterdir()}
    wheels(target, "import", "--json", str(folder))
    assert json.loads(capsys.readouterr().out) == {"imported": [], "kept_already": [BUILT, NAMED]}
    assert {path: path.stat().st_mtime_ns for path in (target / "wheels").iterdir()} == marks


def test_a_second_export_adds_and_repairs(prefix: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    wheels(prefix, "export", str(folder), "k0123")
    assert names(folder) == ["SHA256SUMS", BUILT, f"{BUILT}.json"]
    (folder / BUILT).write_bytes(b"damaged")
    (folder / f".{NAMED}.aside").touch()  # of a run that was killed
    wheels(prefix, "export", str(folder), "*abiTRUE*", "torch2.13.0")
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert len(names(folder)) == 5
    assert "no kept wheel is named `torch9`" in refused(prefix, "export", str(folder), "torch9")


def test_an_export_refuses_a_folder_with_other_files(prefix: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "thesis.tex").write_text("all of it")
    assert "neither empty nor an earlier export" in refused(prefix, "export", str(folder))
    assert "neither empty nor an earlier export" in refused(
        prefix, "export", str(folder / "thesis.tex")
    )
    assert names(folder) == ["thesis.tex"]
    assert "neither empty nor an earlier export" in refused(
        prefix, "export", str(prefix / "wheels")
    )


def test_a_damaged_wheel_is_not_exported(prefix: Path, tmp_path: Path) -> None:
    place = prefix / "wheels" / BUILT
    content = place.read_bytes()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{place}: is damaged: its SHA-256 is not the noted one" in refused(
        prefix, "export", str(tmp_path / "out"), BUILT
    )
    assert names(tmp_path / "out") == ["SHA256SUMS"]


@pytest.mark.parametrize(
    "name", [NAMED, NAMED.replace("cu13torch2.13cxx11abiTRUE", "cu130torch2.13")]
)
def test_import_of_a_downloaded_release_file(target: Path, tmp_path: Path, name: str) -> None:
    file = wheel(tmp_path, named=name).rename(tmp_path / name.replace("+", "%2B"))
    wheels(target, "import", str(file))
    (entry,) = wheel_store.kept_wheels(target)
    assert (entry.file, entry.torch, entry.origin) == (name, "2.13", "imported")
    assert names(target / "wheels") == [name, f"{name}.json"]


def test_import_of_the_users_build(target: Path, tmp_path: Path) -> None:
    build = wheel(tmp_path, named="flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl")
    assert "add --torch 2.13.0" in refused(target, "import", str(build))
    assert "--torch new: is not a version" in refused(
        target, "import", str(build), "--torch", "new"
    )
    assert wheel_store.kept_wheels(target) == []
    wheels(target, "import", "--torch", "2.13.0", str(build))
    assert [(entry.torch, entry.cuda) for entry in wheel_store.kept_wheels(target)] == [
        ("2.13.0", "13")
    ]
    wheels(target, "import", "--torch", "2.13.1", "--cuda", "13.0", str(build))
    assert [(entry.torch, entry.cuda) for entry in wheel_store.kept_wheels(target)] == [
        ("2.13.1", "13.0")
    ], "stated again"


def lost(folder: Path) -> None:
    (folder / BUILT).unlink()


def tampered(folder: Path) -> None:
    (folder / BUILT).write_bytes((folder / BUILT).read_bytes()[:-9])


def lying(folder: Path) -> None:
    note = folder / f"{BUILT}.json"
    note.write_text(note.read_text().replace('"9.0"', '"9.0","10.0"'))


def garbled(folder: Path) -> None:
    (folder / f"{BUILT}.json").write_text("<html>")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lost, f"{BUILT}: cannot be read: No such file"),
        (tampered, "its note is for other contents; copy both again"),
        (lying, "its note says sm 8.0 9.0 10.0, and it has 8.0 9.0"),
        (garbled, f"{BUILT}.json: is not the note of a kept wheel"),
    ],
)
def test_a_wheel_that_contradicts_its_note_is_refused(
    prefix: Path, target: Path, tmp_path: Path, damage: Any, why: str
) -> None:
    folder = tmp_path / "out"
    wheels(prefix, "export", str(folder), BUILT)
    damage(folder)
    assert why in refused(target, "import", str(folder))
    assert names(target / "wheels") == []


def test_options_beside_a_note_are_refused(prefix: Path, target: Path, tmp_path: Path) -> None:
    wheels(prefix, "export", str(tmp_path / "out"))
    assert "leave --torch and --cuda out" in refused(
        target, "import", str(tmp_path / "out"), "--torch", "2.12.0"
    )


def test_another_wheel_of_the_same_name_is_refused(prefix: Path, tmp_path: Path) -> None:
    another = wheel(
        tmp_path, {"flash_attn/__init__.py": b"", MODULE: module(defined=("PyInit_another",))}
    )
    before = wheel_store.kept_wheels(prefix)
    assert f"delete that first: {prefix / 'wheels' / NAMED}" in refused(
        prefix, "import", str(another)
    )
    assert wheel_store.kept_wheels(prefix) == before
    (prefix / "wheels" / NAMED).unlink()
    wheels(prefix, "import", str(another))
    assert NAMED in {entry.file for entry in wheel_store.kept_wheels(prefix)}


def test_other_files_are_refused(target: Path, tmp_path: Path) -> None:
    other = wheel(
        tmp_path, named="einops-0.8-cp312-cp312-linux_x86_64.whl", name="einops", version="0.8"
    )
    assert "it is einops; only flash-attn wheels are imported" in refused(
        target, "import", str(other)
    )
    assert f"{tmp_path}: holds no wheel of flash-attn" in refused(target, "import", str(tmp_path))
    assert "No such file" in refused(target, "import", str(tmp_path / "none.whl"))
    html = tmp_path / NAMED
    html.write_text("<html>Sign in</html>")
    assert "is not a usable wheel: File is not a zip file" in refused(target, "import", str(html))


def test_a_device_and_a_pipe_are_refused(target: Path, tmp_path: Path) -> None:
    device, pipe = tmp_path / NAMED, tmp_path / BUILT
    device.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    for path in (device, pipe):
        assert "it is no file" in refused(target, "import", str(path))


def test_an_import_takes_the_lock_and_a_killed_one_leaves_nothing(
    target: Path, tmp_path: Path
) -> None:
    local = wheel(tmp_path)
    with locks.hold(target, "up"), pytest.raises(Locked):
        cli.run(["wheels", "import", str(local), "--prefix", str(target)])
    aside = target / "wheels" / wheel_folder.ASIDE
    aside.mkdir(parents=True)
    (aside / NAMED).write_bytes(b"half")  # as SIGKILL leaves it
    wheels(target, "import", str(local))
    assert names(target / "wheels") == [NAMED, f"{NAMED}.json"]


def test_an_interrupted_export_leaves_no_incomplete_wheel(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: IO[bytes], target: IO[bytes], _: int) -> None:
        target.write(source.read(100))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", half)
        with pytest.raises(KeyboardInterrupt):
            wheels(prefix, "export", str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*.whl"))


def killed(die_at: int, *argv: str) -> bool:
    """Return whether a process died; it kills itself before its n-th rename, link or sync.

    A negative number counts removals instead.
    """
    code = """import sys; sys.path.insert(0, sys.argv.pop(1)); from tests.engine.child import die_before
from provision import cli
die_before(int(sys.argv[1])); cli.run(["wheels", "--quiet", *sys.argv[2:]])"""
    words = [sys.executable, "-c", code, str(ROOT), str(die_at), *argv]
    result = subprocess.run(
        words, start_new_session=True, check=False, capture_output=True, text=True
    )
    assert result.returncode in (0, -signal.SIGKILL), result.stderr
    return result.returncode != 0


@pytest.mark.parametrize("way", [1, -1], ids=["renames and syncs", "removals"])
def test_killed_before_every_rename_sync_or_removal(tmp_path: Path, way: int) -> None:
    local, moments = wheel(tmp_path), 0
    while True:
        moments += 1
        target, out = tmp_path / f"envs {moments}", tmp_path / f"out {moments}"
        dies = killed(way * moments, "import", str(local), "--prefix", str(target))
        assert all(
            wheel_store.is_intact(target, entry) for entry in wheel_store.kept_wheels(target)
        )
        wheels(target, "import", str(local))
        leftover = [
            name for name in names(target / "wheels") if not name.startswith(".flash_attn-")
        ]  # of a note, half written
        assert leftover == [NAMED, f"{NAMED}.json"]
        dies |= killed(way * moments, "export", str(out), "--prefix", str(target))
        assert not (out / NAMED).exists() or (out / NAMED).read_bytes() == local.read_bytes()
        wheels(target, "export", str(out))
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=True)
        assert names(out) == ["SHA256SUMS", NAMED, f"{NAMED}.json"]
        if not dies:
            assert moments > 2
            return


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["lst"], "did you mean `list`?"),
        (["list", "x"], "takes no names"),
        (["export"], "needs a folder"),
        (["import"], "needs a wheel"),
        (["export", "x", "--torch", "2.13"], "are for wheels import"),
    ],
)
def test_wrong_usage(target: Path, argv: list[str], why: str) -> None:
    assert why in refused(target, *argv)


def test_nothing_to_export(target: Path, tmp_path: Path) -> None:
    assert "there is no wheel to export" in refused(target, "export", str(tmp_path / "out"))
    assert wheel_transfer.SUMS not in os.listdir(tmp_path)

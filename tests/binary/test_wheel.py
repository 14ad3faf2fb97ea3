"""Wheels before they are installed: their names, their places, and a message for every damage."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.binary import wheel as binary_wheel
from provision.binary.wheel import read
from tests.binary.tiny_elf import fat_section
from tests.binary.tiny_wheel import MODULE, NAMED, OF_C10, module, wheel

INFO = "flash_attn-2.8.3.dist-info"


def test_reads_what_it_is(tmp_path: Path) -> None:
    truth = read(wheel(tmp_path))
    assert (truth.distribution, truth.version, truth.tags) == (
        "flash-attn",
        "2.8.3",
        ("cp312-cp312-linux_x86_64",),
    )
    assert (truth.modules, truth.machines) == ((MODULE,), ("x86_64",))
    assert (truth.sm, truth.ptx, truth.glibc) == (("8.0", "9.0"), (), "2.14")
    assert truth.needed == ("libc.so.6", "libc10.so", "libcudart.so.13")
    assert truth.undefined == {OF_C10, "PyModule_Create2"}
    assert truth.cxx11_abi is True
    assert truth.contradictions == ()


def test_its_own_files_bring_symbols_to_each_other(tmp_path: Path) -> None:
    files = {
        MODULE: module(undefined=("_ZN5flash3runEv",)),
        "libflash.so.2": module(defined=("_ZN5flash3runEv",)),
    }
    assert read(wheel(tmp_path, files)).undefined == {OF_C10, "PyModule_Create2"}


@pytest.mark.parametrize(
    ("symbols", "abi"),
    [
        (("_ZN3c105ErrorC2ENS_14SourceLocationESs",), False),
        (("_ZNSt6localeC1Ev", "Ss"), None),
        ((), None),
    ],
)
def test_the_cxx_abi_is_told_by_what_torch_is_asked_for(
    tmp_path: Path, symbols: tuple[str, ...], abi: bool | None
) -> None:
    assert read(wheel(tmp_path, {MODULE: module(undefined=symbols)})).cxx11_abi is abi


@pytest.mark.parametrize(
    ("changed", "lie"),
    [
        ({"name": "flash_attn_fork"}, "its file is named flash-attn but contains flash-attn-fork"),
        ({"version": "2.8.3.post1"}, "its file is named 2.8.3+cu13torch2.13cxx11abitrue but its version is 2.8.3.post1"),
        (
            {"tag": "cp311-cp311-linux_x86_64"},
            "its file is tagged cp312-cp312-linux_x86_64 but was built as cp311-cp311-linux_x86_64",
        ),
        ({"record": {MODULE: None}}, f"its RECORD does not list {MODULE}"),
        ({"record": {MODULE: f"{MODULE},sha256=AAAA,9"}}, f"{MODULE} differs from its RECORD"),
        ({"record": {"flash_attn/__init__.py": "flash_attn/__init__.py,sha256=AAAA,0"}}, "__init__.py differs from its RECORD"),
        ({"record": {MODULE: f"{MODULE},md5=AAAA,9"}}, f"its RECORD has no SHA-256 of {MODULE}"),
        ({"record": {"x": "gone.py,sha256=AAAA,1"}}, "its RECORD lists gone.py, which is missing"),
        ({"files": {"../x.py": b""}}, "it would write outside the environment: ../x.py"),
        ({"files": {"/x.py": b""}}, "it would write outside the environment: /x.py"),
    ],
)  # fmt: skip
def test_lies_are_told(tmp_path: Path, changed: dict[str, object], lie: str) -> None:
    lies = read(wheel(tmp_path, **changed)).contradictions  # type: ignore[arg-type]  # one knob at a time
    assert len(lies) == 1
    assert lie in lies[0]


def test_a_file_of_two_contents_is_a_lie(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("flash_attn/__init__.py", b"import evil")
    assert "it holds flash_attn/__init__.py twice" in read(path).contradictions


def test_a_promise_of_manylinux_is_no_lie(tmp_path: Path) -> None:
    named = NAMED.replace("linux_x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64")
    assert read(wheel(tmp_path, named=named)).contradictions == ()
    assert read(wheel(tmp_path, named=NAMED.replace("linux", "musllinux_1_2"))).contradictions


def test_a_misnamed_wheel_has_a_true_name(tmp_path: Path) -> None:
    assert (
        read(wheel(tmp_path, version="2.8.3.post1")).corrected_name
        == "flash_attn-2.8.3.post1-cp312-cp312-linux_x86_64.whl"
    )


@pytest.mark.parametrize(
    "version", ["2.8.3", "2.8.3+cu13torch2.13cxx11abitrue", "2.8.3.post1", "2.8.3+cpu"]
)
def test_the_installer_sees_the_same_lies_in_names(tmp_path: Path, version: str) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    path = wheel(tmp_path, {"flash_attn.py": b""}, version=version)
    argv = [
        uv,
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-cache",
        "--python-version",
        "3.12",
    ]
    done = subprocess.run(
        [*argv, "--target", str(tmp_path / "t"), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode != 0) == bool(read(path).contradictions), done.stderr


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_bytes(b""), "File is not a zip file"),
        (lambda path: path.write_text("404: Not Found"), "File is not a zip file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "File is not a zip file"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"\x7fELF", b"\x7fELV")), "Bad CRC-32"),
        (lambda path: path.unlink(), "No such file or directory"),
        (lambda path: wheel(path.parent, {MODULE: b"text"}), "not a readable ELF file"),
        (lambda path: wheel(path.parent, {MODULE: module(fatbin=fat_section("sm80")[:70])}), "is cut off"),
        (lambda path: wheel(path.parent, {"a-1.dist-info/METADATA": b""}), "it holds 2 .dist-info/METADATA"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "it holds no .dist-info/METADATA"),
    ],
)  # fmt: skip
def test_damage_is_a_sentence(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    path = wheel(tmp_path)
    make(path)
    with pytest.raises(ValueError, match="is not a usable wheel: ") as raised:
        read(path)
    assert why in str(raised.value)
    assert NAMED in str(raised.value)


def test_a_name_that_is_no_wheels(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^flash\.whl is not a usable wheel: Invalid wheel filename"
    ):
        read(wheel(tmp_path, named="flash.whl"))


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ("_LARGEST_WHEEL", "it would unpack to"),
        ("_LARGEST_MODULE", MODULE),
        ("_LARGEST_TEXT", ".dist-info/METADATA has"),
    ],
)
def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, why: str
) -> None:
    path = wheel(tmp_path, {"zeros": bytes(1 << 20), MODULE: module()}, compressed=True)
    assert path.stat().st_size < 1 << 13
    monkeypatch.setattr(binary_wheel, limit, 50)
    with pytest.raises(ValueError, match="is not a usable wheel: ") as raised:
        read(path)
    assert why in str(raised.value)


def test_a_bomb_of_zeros_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.so", bytes(64 * 1024 * 1024))
    with pytest.raises(ValueError, match=r"it would unpack to \d+ times its size"):
        read(path)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_changed_bytes_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = wheel(tmp_path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        assert read(path).file == NAMED
    except ValueError as error:
        assert str(error).startswith(f"{NAMED} is not a usable wheel: ")  # noqa: PT017 - both ends are right

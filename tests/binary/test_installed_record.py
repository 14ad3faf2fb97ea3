"""One installed distribution compared with its RECORD after each kind of damage."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from provision.binary.record import differences, matches, unlisted_files

if TYPE_CHECKING:
    from pathlib import Path

INFO = "demo-1.0.dist-info"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    files = {"demo/__init__.py": b"x = 1\n", "demo/_C.so": b"\x7fELF", "../../bin/demo": b"#!\n"}
    packages = tmp_path / "lib" / "site-packages"
    lines = []
    for name, data in files.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    info = packages / INFO
    info.mkdir()
    (info / "RECORD").write_text("\n".join([*lines, f"{INFO}/RECORD,,"]) + "\n")
    return packages


def test_an_untouched_installation_has_no_findings(site: Path) -> None:
    assert differences(site, INFO) == []
    assert unlisted_files(site) == []


def test_each_damaged_file_is_listed(site: Path) -> None:
    (site / "demo/__init__.py").write_bytes(b"x = 2\n")
    assert differences(site, INFO) == ["demo/__init__.py"], "another content"
    (site / "demo/_C.so").write_bytes(b"\x7fEL")
    assert differences(site, INFO) == ["demo/__init__.py", "demo/_C.so"], "another size"
    (site / "../../bin/demo").unlink()
    assert differences(site, INFO) == ["demo/__init__.py", "demo/_C.so", "../../bin/demo"], (
        "missing"
    )


def test_a_digest_may_be_absent_but_not_unknown(site: Path) -> None:
    path = site / "demo/_C.so"
    assert matches(path, "")
    assert not matches(path, "sha256=")
    assert not matches(path, "no-such-algorithm=x")
    assert not matches(path, "shake_128=x")


@pytest.mark.parametrize("name", ["demo/a\0b", "demo/" + "ü" * 128])
def test_an_impossible_name_is_refused(site: Path, name: str) -> None:
    with (site / INFO / "RECORD").open("a", encoding="utf-8") as record:
        record.write(f"{name},,\n")
    with pytest.raises(ValueError, match=r"demo-1\.0\.dist-info/RECORD: "):
        differences(site, INFO)


def test_unlisted_files_are_listed_and_bytecode_is_not(site: Path) -> None:
    (site / "demo/extra.py").touch()
    (site / "demo/__pycache__").mkdir()
    (site / "demo/__pycache__/extra.cpython-312.pyc").touch()
    assert unlisted_files(site) == ["demo/extra.py"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'"demo/a.py,sha256=x,1\n', b"a,b\n"])
def test_an_unreadable_record_is_named(site: Path, content: bytes) -> None:
    (site / INFO / "RECORD").write_bytes(content)
    with pytest.raises(ValueError, match=r"demo-1\.0\.dist-info/RECORD"):
        differences(site, INFO)


def test_a_missing_record_is_named(site: Path) -> None:
    with pytest.raises(ValueError, match=r"other-2\.dist-info/RECORD"):
        differences(site, "other-2.dist-info")

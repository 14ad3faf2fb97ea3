"""RECORD against the files: one installed distribution, damaged in each way that there is."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from provision.binary.record import Finding, differences, unlisted

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
    assert unlisted(site) == []


def test_each_damage_is_told_apart(site: Path) -> None:
    (site / "demo/__init__.py").write_bytes(b"x = 2\n")
    (site / "demo/_C.so").write_bytes(b"\x7fEL")
    (site / "../../bin/demo").unlink()
    assert differences(site, INFO) == [
        Finding(path="demo/__init__.py", what="hash differs", detail="sha256"),
        Finding(path="demo/_C.so", what="size differs", detail="3 bytes, 4 in RECORD"),
        Finding(path="../../bin/demo", what="missing"),
    ]


def test_files_of_nobody_are_found_and_bytecode_is_not(site: Path) -> None:
    (site / "demo/extra.py").touch()
    (site / "demo/__pycache__").mkdir()
    (site / "demo/__pycache__/extra.cpython-312.pyc").touch()
    assert unlisted(site) == [Finding(path="demo/extra.py", what="unlisted")]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'"demo/a.py,sha256=x,1\n', b"a,b\n"])
def test_an_unreadable_record_is_named(site: Path, content: bytes) -> None:
    (site / INFO / "RECORD").write_bytes(content)
    with pytest.raises(ValueError, match=r"demo-1\.0\.dist-info/RECORD"):
        differences(site, INFO)


def test_a_missing_record_is_named(site: Path) -> None:
    with pytest.raises(ValueError, match=r"other-2\.dist-info/RECORD"):
        differences(site, "other-2.dist-info")

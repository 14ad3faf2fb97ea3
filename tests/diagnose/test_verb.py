"""The verb: exit codes, the document, the text, and hosts of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from provision import cli
from provision.errors import Failure

ROOT = Path(__file__).parents[2]
NO_KERNEL = "RuntimeError: CUDA error: no kernel image is available for execution on the device\n"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = cli.run(["diagnose", *argv])
    return code, capsys.readouterr().out


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text(NO_KERNEL)
    return path


@pytest.mark.parametrize(
    ("host", "cause", "code"),
    [
        ("gpus: [{name: P40}]", "gpu-arch-too-old-for-wheel", 0),
        ("{gpus: [{name: RTX 5090, count: 2}], driver: '570.1'}", "gpu-too-new-for-torch-build", 0),
        ("{}", "", 5),
        ("{python: '3.12'}", "", 5),
        ("gpus: [{name: Frobnicator 9000}]", "", 5),
        ("gpus: []", "", 5),
    ],
)
def test_a_described_host(
    log: Path, host: str, cause: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = log.with_name("host")
    path.write_text(host)
    done, out = run(capsys, str(log), "--host", str(path), "--json")
    document = json.loads(out)
    schema = json.loads((ROOT / "docs" / "schemas" / "diagnosis.json").read_text())
    jsonschema.validate(document, schema)
    assert done == code
    assert not cause or document["findings"][0]["cause"] == cause
    assert bool(document["root_lines"]) == (code == 5)


def test_the_environment_section_of_the_same_text_is_its_host(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(f"{NO_KERNEL}\nPyTorch version: 2.5.1+cu124\nGPU 0: Tesla P100-PCIE-16GB\n")
    code, out = run(capsys, str(log), "--json")
    first = json.loads(out)["findings"][0]
    assert (code, first["cause"]) == (0, "gpu-arch-too-old-for-wheel")
    assert "P100" in first["host_facts"][0]


def test_text_for_people(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text("Error 802: system not yet initialized \x1b[2J\n")
    code, out = run(capsys, str(log))
    assert code == 0
    assert "1. fabric-manager-not-running (high: " in out
    assert "line 1: Error 802" in out
    assert "sudo systemctl enable --now nvidia-fabricmanager  # needs root" in out
    assert "\x1b" not in out
    assert run(capsys, str(log), "--quiet")[1].startswith("fabric-manager-not-running (high): ")


def test_nothing_known(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text("INFO all is well\n")
    assert run(capsys, str(log)) == (5, "No known failure shows here.\n")
    log.write_text("FrobnicationError: no\n")
    code, out = run(capsys, str(log))
    assert code == 5
    assert "line 1: FrobnicationError: no" in out
    assert "collect" in out


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(Failure) as failure:
            cli.run(["diagnose", str(path)])
        assert failure.value.exit_code == 2


def test_this_host_without_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "--json")
    document = json.loads(out)
    confident = [one for one in document["findings"] if one["confidence"] != "low"]
    assert code == (0 if confident else 5)
    assert all(one["host_facts"] for one in document["findings"])

"""`fit` from its command line: exit codes, one document, one screen, one line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from provision.cli import run
from provision.errors import DONE, UNSUPPORTED, Failure, WrongUsage
from provision.host import from_text, gpu_processes
from provision.host.gpu_processes import GpuProcess
from provision.session import fitting
from tests.fit import runs

ROOT = Path(__file__).parents[2]
HOST = str(ROOT / "tests" / "hosts" / "h100-550.yaml")


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "phi 4" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(runs.document()["models"]["phi-4"]))
    return str(path)


def test_a_document_that_keeps_to_its_schema(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["fit", config, "--host", HOST, "--set", "vllm=0.19.0", "--json"])
    document = json.loads(capsys.readouterr().out)
    schema = json.loads((ROOT / "docs" / "schemas" / "fit.json").read_text())
    jsonschema.validate(document, schema)
    assert (code, document["verdict"], document["vllm"]) == (DONE, "fits", "0.19.0")
    assert document["serve"][:2] == ["vllm", "serve"]
    assert document["host"]["driver"] == "550.144.03"


def test_one_screen(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", config, "--host", HOST]) == DONE
    text = capsys.readouterr().out
    for word in ("fits", "Command", "vllm serve", "KV cache", "Rejected", "Basis", "####"):
        assert word in text
    assert len(text.splitlines()) <= 50


def test_what_does_not_fit_ends_with_3(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host.yaml").write_text("gpus: [{name: T4}]\n")
    host = str(tmp_path / "host.yaml")
    assert run(["fit", config, "--host", host, "--quiet"]) == UNSUPPORTED
    (line,) = capsys.readouterr().out.splitlines()
    assert "does not fit: weights and activation need" in line


def test_a_command_after_two_dashes(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["vllm", "serve", config, "-tp", "3"]
    assert run(["fit", "--host", HOST, "--json", "--", *words]) == UNSUPPORTED
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "refused"
    assert "not divisible by TP 3" in document["rejected"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no model is named"),
        (["MODEL", "--", "vllm", "serve", "MODEL"], "stands beside a command"),
        (["MODEL", "--context", "4096", "--max-model-len", "2048"], "is longer than"),
        (["MODEL", "--context", "much"], "is no whole number"),
        (["--max-model-len", "4k", "--", "vllm", "serve", "MODEL"], "behind `vllm serve`"),
    ],
)
def test_wrong_usage(config: str, words: list[str], says: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        run(["fit", "--host", HOST, *(config if word == "MODEL" else word for word in words)])
    assert says in caught.value.what


def test_a_host_without_a_gpu_and_without_a_word_of_its_memory(config: str, tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text("gpus: []\n")
    with pytest.raises(Failure) as caught:
        run(["fit", config, "--host", str(tmp_path / "host.yaml")])
    assert caught.value.exit_code == 2
    assert "neither a GPU nor a known amount of memory" in caught.value.what


def test_a_release_that_the_host_cannot_install_is_sized(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host.yaml").write_text(
        'gpus: [{name: H100}]\ndriver: "450.80.02"\npython: "3.12"\nglibc: "2.35"\nmachine: x86_64\n'
    )
    host = str(tmp_path / "host.yaml")
    assert run(["fit", config, "--host", host, "--set", "vllm=0.32.0", "--json"]) == DONE
    document = json.loads(capsys.readouterr().out)
    assert any("cannot be installed on this host" in text for text in document["advice"])


def test_what_is_possible_beside_other_processes(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = from_text.parse('gpus: [{name: "H100"}]\ndriver: "580.65.06"', "host")
    held = (GpuProcess(id="0", pid=7, name="python", memory_mib=30 * 1024),)
    busy = host.replace({gpu_processes.FACT.name: held})
    monkeypatch.setattr(fitting, "_this_host", lambda: busy)
    assert run(["fit", config, "--json", "--set", "vllm=0.19.0"]) == DONE
    advice = json.loads(capsys.readouterr().out)["advice"]
    (now,) = [text for text in advice if text.startswith("now ")]
    assert now.startswith("now python hold up to 30.0 GiB of a GPU: --gpu-memory-utilization 0.61")
    assert "fits" in now

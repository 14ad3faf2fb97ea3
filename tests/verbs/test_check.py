"""`check` on any Python: its identity, promised checks and GPUs; a file that is no Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provision import cli
from provision.engine import launch_checks
from provision.errors import WrongUsage
from provision.session import foreign_python
from tests.checks.environments import SmallEnvironment, checks_folder

GPUS = ("0", "1", "2:0", "2:1")


@pytest.fixture
def environment(tmp_path: Path) -> SmallEnvironment:
    made = SmallEnvironment(tmp_path / "env")
    made.install("alpha", "1.0", {"alpha.py": "one = 1\n"})
    return made


def check(tmp_path: Path, *words: str) -> int:
    return cli.run(
        ["check", *words, "--set", f"logs={tmp_path / 'logs'}", "--prefix", str(tmp_path / "envs")]
    )


def test_any_python_is_tried_and_reported(
    environment: SmallEnvironment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, "record_whole", "--python", environment.python, "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["verdict"], document["plan"], document["host"]["python"]["packages"]) == (
        "verified",
        None,
        {"alpha": "1.0"},
    )
    assert [item["summary"] for item in document["checks"]] == [
        "3 files of 1 distributions are as recorded"
    ]
    (kept,) = (tmp_path / "logs").glob("*/report.json")
    assert json.loads(kept.read_text()) == document
    assert not (tmp_path / "logs" / "summary.txt").exists(), "no news of any environment of ours"
    (environment.site / "alpha.py").write_text("two = 2\n")
    assert check(tmp_path, "record_whole", "--python", environment.python) == 1


def test_without_vllm_nothing_is_proved(environment: SmallEnvironment, tmp_path: Path) -> None:
    assert check(tmp_path, "--python", environment.python, "--quiet") == 5


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent", None, "there is no such file"),
        ("text", "no program\n", "this is no working Python 3.10 or newer"),
        ("shell", "#!/bin/sh\necho 'no idea' >&2; exit 3\n", "its last output: no idea"),
        ("silent", "#!/bin/sh\n", "this is no working Python 3.10 or newer"),
    ],
)
def test_what_is_no_python_is_named(
    tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
        path.chmod(0o755)
    with pytest.raises(WrongUsage) as wrong:
        check(tmp_path, "--python", str(path))
    assert says in str(wrong.value)
    assert f"--python {path}" in str(wrong.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--python", ""), "there is no such file"),
        (("--serving", ""), "`` is not the address of a server"),
        (("--serving", "localhost:8000"), "`localhost:8000` is not the address of a server"),
    ],
)
def test_what_was_left_empty_is_no_look_at_ours(
    tmp_path: Path, words: tuple[str, str], says: str
) -> None:
    with pytest.raises(WrongUsage, match=says):
        check(tmp_path, *words)


def test_a_wrapper_is_what_is_tried(
    environment: SmallEnvironment,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapper = tmp_path / "a wrapper for Jürgen"
    wrapper.write_text(f'#!/bin/sh\necho wrapped >&2\nexec {environment.python} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert check(tmp_path, "record_whole", "--python", f"./{wrapper.name}", "--json") == 0
    document = json.loads(capfd.readouterr().out)["host"]["python"]
    assert (document["command"], document["executable"]) == (
        f"./{wrapper.name}",
        environment.python,
    )
    (log,) = (tmp_path / "logs").glob("*/check-record_whole.log")
    assert f"$ './{wrapper.name}' -I -B" in log.read_text()


def test_gpus_that_do_not_answer_are_not_passed_over(
    environment: SmallEnvironment,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreign_python, "has_gpus", lambda: True)
    if foreign_python.gpus_here():
        pytest.skip("GPUs answer here")
    assert check(tmp_path, "nvml_answers", "--python", environment.python, "--json") == 1
    (document,) = json.loads(capfd.readouterr().out)["checks"]
    assert document["summary"].startswith("NVML: ")


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (None, GPUS),
        ("", ()),
        ("1", ("1",)),
        ("1,0", ("1", "0")),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",)),
        ("MIG-GPU-8932f937/1/0", ("MIG-GPU-8932f937/1/0",)),
        ("2:1", ("2:1",)),
    ],
)
def test_visible_gpus_are_those_that_are_named(names: str | None, left: tuple[str, ...]) -> None:
    assert foreign_python.visible(GPUS, names) == left


def test_the_number_of_a_gpu_that_is_cut_means_its_first_slice() -> None:
    cut = ("0:0", "0:1", "1:0")
    assert foreign_python.visible(cut, "0") == ("0:0",)
    with pytest.raises(WrongUsage, match=r"`1` is not a GPU of this host") as raised:
        foreign_python.visible(cut, "1")
    assert "MIG slices: name one as `nvidia-smi -L` does" in raised.value.hint


@pytest.mark.parametrize(
    ("names", "wrong"), [("7", "7"), ("0,9", "9"), ("all", "all"), ("-1", "-1"), ("GPU-", "GPU-")]
)
def test_a_gpu_that_is_not_there_is_named(names: str, wrong: str) -> None:
    with pytest.raises(WrongUsage) as raised:
        foreign_python.visible(GPUS, names)
    assert f"CUDA_VISIBLE_DEVICES={names}: `{wrong}` is not a GPU of this host" in str(raised.value)


def test_the_list_says_what_each_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checks_folder(tmp_path / "checks", one="return Verdict(True, '')")
    needs = "Needs(packages=('torch',), gpus=2, capability=(8, 0), tools=('c++ g++',), profile='cuda', lock=True, "
    needs += "recording=True, distributions=('flash-attn',))"
    (folder / "one.py").write_text(
        (folder / "one.py").read_text().replace("'must', Needs()", f"'must', {needs}")
    )
    result = launch_checks.discover(folder)
    monkeypatch.setattr(launch_checks, "discover", lambda: result)
    assert cli.run(["check", "list"]) == 0
    wants = (
        "torch, 2 GPUs where vLLM is for CUDA, compute capability 8.0, vLLM for cuda, c++ on PATH"
    )
    wants += ", flash-attn in the lock, the lock of the environment, a recording of the host"
    assert f"(needs {wants})" in capfd.readouterr().out

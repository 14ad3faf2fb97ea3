"""Outside influences: hostile variables, names and settings, and files of no package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from provision import cli
from provision.engine import environments
from provision.session import inputs
from tests.faults.small_up import Small

pytestmark = pytest.mark.environment

UP = ("up", "--yes")


def test_hostile_variables_reach_no_command(small: Small) -> None:
    """Set traps: a module that every Python loads, a library, an installer and a Python on PATH."""
    trap = small.folder / "trap"
    trap.mkdir()
    sprung = small.folder / "sprung"
    for module in ("sitecustomize", "usercustomize", "json", "csv"):
        (trap / f"{module}.py").write_text(f"open({str(sprung)!r}, 'a').write('{module} ')\n")
    for command in ("uv", "python", "python3", "pip", "sh"):
        (trap / command).write_text(f"#!/bin/sh\necho {command} >>'{sprung}'\nexit 1\n")
        (trap / command).chmod(0o755)
    env = {
        "PYTHONPATH": str(trap),
        "PYTHONSTARTUP": str(trap / "sitecustomize.py"),
        "PYTHONUSERBASE": str(trap),
        "LD_PRELOAD": str(
            trap / "no-library.so"
        ),  # the loader complains in every process that it is given to
        "LD_LIBRARY_PATH": str(trap),
        "PATH": f"{trap}:{os.environ['PATH']}",
        "PIP_CONSTRAINT": str(trap / "none"),
        "PIP_TARGET": str(trap),
        "UV_TARGET": str(trap),
        "UV_CONSTRAINT": str(trap / "none"),
        "VIRTUAL_ENV": str(trap),
    }
    code, _, err = small.run(*UP, env=env)
    assert code == 0, err
    assert not sprung.exists(), sprung.read_text()
    log = "".join(path.read_text() for path in small.logs.glob("*/*.log"))
    assert "cannot be preloaded" not in log
    assert small.run("check", env=env)[0] == 0
    assert not sprung.exists(), sprung.read_text()


@pytest.mark.parametrize("name", ['größe ✓ it\'s "two" words', "-n $(touch X);touch X;`touch X`"])
def test_a_prefix_of_any_name(small: Small, name: str) -> None:
    prefix = small.folder / name / "envs"
    small.wish(prefix)
    code, _, err = small.run(*UP, f"--prefix={prefix}", cwd=small.folder)
    assert code == 0, err
    current = prefix / os.readlink(prefix / environments.CURRENT)
    script = '. "$1/bin/activate" && command -v vllm && vllm serve'
    clean = {"PATH": os.environ["PATH"], "HOME": str(small.folder)}
    active = subprocess.run(
        ["sh", "-c", script, "sh", current],
        env=clean,
        cwd=small.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert active.returncode == 0, active.stderr
    assert active.stdout.splitlines()[0] == f"{current}/bin/vllm"
    assert active.stdout.splitlines()[1].startswith("0.9+cpu vllm serve")
    assert not [path for path in small.folder.rglob("X") if path.name == "X"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("vllm", text)
            for text in ("$(touch X)", "0.32.1; touch X", "0.32.1\ntouch X", "`touch X`", "--help")
        ),
        *(("torch", text) for text in ("$(touch X)", "2.13.0+$(touch X)", "2.13.0+cu129\n")),
        *(("python", text) for text in ("3.11; touch X", "$(touch X)", "/bin/sh", "3.11\n")),
        ("cuda", "12.9; touch X"),
        ("prefix", "envs\ntouch X"),
        ("prefix", "a:b"),
        ("prefix", "envs\0"),
        ("logs", "logs\r\ntouch X"),
        ("sources", {"pypi": "http://index/ --extra-index-url=http://evil/"}),
        ("sources", {"pypi": "file:///x\n--index-url=http://evil/"}),
        ("sources", {"pypi": "--index-url"}),
        *(
            ("extra_packages", [text])
            for text in (
                *(
                    "--index-url=http://evil/",
                    "-r /etc/passwd",
                    "-e .",
                    "$(touch X)",
                    "datasets --pre",
                    "./wheel.whl",
                ),
                *(
                    "datasets\n--index-url=http://evil/",
                    "datasets>=4\n-r /etc/passwd",
                    "datasets\\",
                ),
                *(
                    "a @ http://x/a-1-py3-none-any.whl\n--index-url=http://evil/",
                    "a @ http://x/a-1.whl\\",
                ),
            )
        ),
    ],
    ids=repr,
)
def test_a_command_where_a_value_belongs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: object,
) -> None:
    """Refused with its line before anything is looked at; nothing is run or made of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path))
    config = tmp_path / "config.yaml"
    config.write_text(f"# one\n{json.dumps(key)}: {json.dumps(value)}\n")
    assert cli._guarded([*UP, "--config", str(config)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {config}")
    assert f"{key}" in err
    assert "hint: " in err
    assert list(tmp_path.rglob("*")) == [config]


def test_foreign_hooks_are_named_and_never_called_whole(finished: Small) -> None:
    """Keep hooks, as they may be the user's; refuse to verify, as every check runs them."""
    hooks = [
        finished.packages / hook
        for hook in ("sitecustomize.py", "usercustomize/__init__.py", "zz.pth")
    ]
    for path in hooks:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    now = environments.current_id(finished.prefix)
    for verb in (UP, ("provision",)):
        code, out, err = finished.run(*verb)
        assert code == 4, out + err
        assert "sitecustomize.py, usercustomize, zz.pth run" in err
        assert "and no package has brought it" in err
        assert "remove it; to keep it, put it into a package that extra_packages names" in err
    assert (finished.logs / "summary.txt").read_text().startswith("NOT PROVISIONED")
    assert all(path.exists() for path in hooks)
    assert environments.current_id(finished.prefix) == now, "what runs is not taken away"
    code, _, err = finished.run("check", "record_whole")
    assert code == 1
    assert "runs whenever this Python starts" in err
    for path in hooks:
        shutil.rmtree(path.parent) if path.parent != finished.packages else path.unlink()
    assert finished.run(*UP)[0] == 0
    assert (finished.logs / "summary.txt").read_text().startswith("VERIFIED")


def test_a_hook_that_a_package_brings_is_its_own(finished: Small) -> None:
    """An editable installation, a coverage start-up file: some RECORD lists it."""
    info = finished.packages / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: mine\nVersion: 1.0\n")
    (finished.packages / "mine.pth").touch()
    (info / "RECORD").write_text(
        "mine-1.0.dist-info/METADATA,,\nmine.pth,,\nmine-1.0.dist-info/RECORD,,\n"
    )
    code, out, err = finished.run(*UP)
    assert (code, err) == (0, "")
    assert out.startswith("nothing to do")
    assert "runs whenever" not in "".join(finished.run("check", "record_whole")[1:])


def test_an_installed_file_edited_in_place_is_put_back(finished: Small) -> None:
    path = finished.packages / "sympy.py"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"VERSION", b"vERSION"))
    code, _, err = finished.run(*UP)
    assert code == 0
    assert "sympy is damaged and is installed again: sympy.py" in err
    assert path.read_bytes() == whole

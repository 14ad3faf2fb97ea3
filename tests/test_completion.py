"""Completion in the real shells, and the man page."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provision import completion, manual
from provision.options import VERBS

ROOT = Path(__file__).parents[1]


def in_bash(*words: str) -> list[str]:
    """Complete the last word as an interactive bash does."""
    script = f"""{completion.bash()}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vllm_ready; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    argv = ["bash", "-c", script, "bash", "./setup.sh", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/")
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_verbs_options_choices_and_checks() -> None:
    assert in_bash("ro") == ["rollback"]
    assert set(VERBS) <= set(in_bash(""))
    assert in_bash("plan", "--ho") == ["--host"]
    assert in_bash("--json", "plan", "--ho") == ["--host"]
    assert in_bash("report", "--format", "ju") == ["junit"]
    assert in_bash("check", "matm") == ["matmul"]
    assert in_bash("wheels", "ex") == ["export"]
    assert in_bash("plan", "--host", "/etc/host") != []
    assert "plan" not in in_bash("plan", "p")


def test_fish_completes() -> None:
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    script = f"""{completion.fish()}
complete -C 'vllm-ready ro'; complete -C 'vllm-ready report --format ju'; complete -C 'vllm-ready check matm'
"""
    argv = ["fish", "--no-config", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["rollback", "junit", "matmul"]


def test_zsh_completes() -> None:
    """Complete in a real interactive zsh; every option has to be accepted by `_arguments`."""
    if not shutil.which("zsh"):
        pytest.skip("no zsh here")
    script = f"""
autoload -U compinit; compinit -D -u
{completion.zsh()}
"""
    checked = subprocess.run(
        ["zsh", "-f", "-c", script], capture_output=True, text=True, check=True
    )
    assert checked.stderr == ""
    zpty = f"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1=; autoload -U compinit; compinit -D -u; source /dev/stdin <<"EOF"'
zpty -w z {shell_quoted(completion.zsh())}
zpty -w z EOF
zpty -w z "echo do''ne42"
zpty -r z text '*done42*'
zpty -n -w z $'vllm-ready report --format ju\\t'
zpty -r -m z text '*junit*' && print found
"""
    done = subprocess.run(
        ["timeout", "20", "zsh", "-f", "-c", zpty], capture_output=True, text=True, check=False
    )
    assert "found" in done.stdout, done.stdout + done.stderr


def shell_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_verb_prints_a_script(shell: str) -> None:
    code = "from provision.cli import main; main()"
    argv = [sys.executable, "-c", code, "completion", shell]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == completion.SHELLS[shell]()


def test_the_man_page_is_current(request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs" / "vllm-ready.1"
    if request.config.getoption("--renew-golden"):
        path.write_text(manual.manual())
    assert path.read_text() == manual.manual(), (
        "renew it: pytest tests/test_completion.py --renew-golden"
    )


def test_the_man_page_has_every_verb_and_option() -> None:
    text = manual.manual().replace("\\-", "-")
    for verb in completion.verbs():
        assert f".SS {verb.name}\n" in text
        assert all(name in text for option in verb.options for name in option.names)
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tascii", "-z"],
            input=manual.manual(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""

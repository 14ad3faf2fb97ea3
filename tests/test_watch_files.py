"""systemd and cron accept the files that docs/watch.md and docs/serving.md offer."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from provision import arguments

DOCS = Path(__file__).parents[1] / "docs"
UNITS = sorted(
    path for path in (DOCS / "systemd").iterdir() if path.suffix in (".service", ".timer", ".path")
)
CRON = DOCS / "cron" / "vllm-ready"
# minute, hour, day of the month, month, day of the week: what each may be
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def commands() -> list[str]:
    """Return every call of setup.sh in the files, without the shell's redirections."""
    texts = [path.read_text() for path in (*UNITS, CRON)]
    return [
        call for text in texts for call in re.findall(r"ready/setup\.sh ((?:[a-z-]+ ?)+)", text)
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("there is no systemd-analyze")
    for path in UNITS:  # a timer is verified together with its service
        shutil.copy(path, tmp_path)
    done = subprocess.run(
        [analyze, "verify", str(tmp_path / unit.name)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if unit.stem in line]
    assert not ours, ours


def test_cron_takes_it() -> None:
    lines = [line for line in CRON.read_text().splitlines() if line and not line.startswith("#")]
    jobs = [line for line in lines if not re.match(r"\w+=", line)]
    assert len(jobs) == 1
    *times, user, command = jobs[0].split(None, 6)[:7]
    assert len(times) == 5
    assert user == "vllm"
    for field, (least, most) in zip(times, RANGES, strict=True):
        result = re.fullmatch(r"(\*|\d+(?:-\d+)?)(?:/(\d+))?", field)
        assert result, field
        assert all(least <= int(number) <= most for number in re.findall(r"\d+", result[1]))
    assert "%" not in command, "cron makes a new line of it"
    subprocess.run(["bash", "-n", "-c", command], check=True)
    assert CRON.read_text().endswith("\n"), "cron passes over a last line without an end"


@pytest.mark.parametrize("call", commands())
def test_what_they_call_is_there(call: str) -> None:
    assert arguments.parse(shlex.split(call)).verb == "watch"

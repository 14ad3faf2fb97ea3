"""Environments for checks: a bare venv with synthetic distributions, and folders of checks."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sys
import textwrap
import venv
from pathlib import Path

from provision.engine import launch_checks
from provision.engine.launch_checks import CheckContext
from provision.results import CheckResult, CheckResults

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


class SmallEnvironment:
    """A virtual environment without pip; `install` writes a distribution as an installer does."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.python = str(folder / "bin" / "python")
        self.site = folder / "lib" / VERSION / "site-packages"
        self.logs = folder.parent / "logs"
        self.checks = launch_checks.CHECKS

    def install(self, name: str, version: str, files: dict[str, str | bytes]) -> None:
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        files = {
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        }
        rows = []
        for path, content in files.items():
            data = textwrap.dedent(content).encode() if isinstance(content, str) else content
            (self.site / path).parent.mkdir(parents=True, exist_ok=True)
            (self.site / path).write_bytes(data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={digest},{len(data)}\n")
        (self.site / info / "RECORD").write_text("".join([*rows, f"{info}/RECORD,,\n"]))

    def check(self, name: str, context: CheckContext | None = None) -> CheckResult:
        """One check through the launcher, as the engine tries it."""
        (result,) = self.tried(name, context).checks
        return result

    def tried(self, name: str, context: CheckContext | None = None) -> CheckResults:
        """Return the same result with its figures."""
        result = [check for check in launch_checks.discover(self.checks) if check.name == name]
        asked = context or CheckContext(profile="cpu")
        return launch_checks.run(self.python, result, asked, self.logs, folder=self.checks)

    def log(self, name: str) -> str:
        return (self.logs / f"check-{name}.log").read_text()


def some_extension() -> Path:
    """A compiled module of this Python itself."""
    for folder in map(Path, sys.path):
        if folder.name == "lib-dynload" and (result := sorted(folder.glob("_bisect.*.so"))):
            return result[0]
    raise FileNotFoundError("this Python has no lib-dynload/_bisect")


def checks_folder(folder: Path, **bodies: str) -> Path:
    """A folder of checks with the real machinery and the given bodies."""
    shutil.copytree(
        launch_checks.CHECKS, folder, ignore=shutil.ignore_patterns("[!_]*.py", "__pycache__")
    )
    for name, body in bodies.items():
        (folder / f"{name}.py").write_text(
            "import ctypes, json, os, signal, subprocess, sys, time\n"
            "from pathlib import Path\n"
            "from ._contract import Check, Needs, Verdict\n"
            "weight, needs, deadline_s, profile, claim = 'must', Needs(), 20.0, 'quick', Verdict\n"
            f"def body(context):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
            f"if {name!r}.endswith('_slow'): deadline_s = 0.6\n"
            f"if {name!r}.endswith('_should'): weight = 'should'\n"
            f"CHECK = Check(name={name!r}, title='t', proves='p', step=10, weight=weight, on='environment',\n"
            "    profile=profile, deadline_s=deadline_s, needs=needs, body=body)\n"
        )
    return folder

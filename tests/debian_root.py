"""A minimal Debian, and an ordinary user who types at its terminal; making it needs root."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

USER: Final = "newcomer"
PROMPT: Final = "$ "
WIDTH, HEIGHT = 100, 40
_PROGRAMS: Final = ("debootstrap", "tmux", "unshare", "chroot", "apt-get")
_PACKAGES: Final = "python3,python3-venv,ca-certificates,git"
_ENTER: Final = """
set -e
cd {root}
mount --rbind --make-rslave /dev dev
mount -t tmpfs tmpfs dev/shm
mount -t proc proc proc
mount --rbind --make-rslave /sys sys
for path in {given}; do
    if [ -d "$path" ]; then mkdir -p ".$path"; else mkdir -p ".${{path%/*}}"; touch ".$path"; fi
    mount --bind "$path" ".$path"
done
exec chroot . /usr/bin/env -i LANG=C.UTF-8 TERM=screen-256color PATH=/usr/sbin:/usr/bin {argv}
"""


def missing() -> str:
    """Return why no root can be made here, or ""."""
    if os.geteuid() != 0:
        return "only root can make a Debian root"
    return next((f"no {name}" for name in _PROGRAMS if not shutil.which(name)), "")


class DebianRoot:
    """A Debian of its base packages, Python and git, with pip set up as on this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sources = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"]
        done = subprocess.run(sources, capture_output=True, text=True, check=True)
        mirror, suite = done.stdout.split()[:2]
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, folder, mirror],
            check=True,
            capture_output=True,
        )
        settings, self._given = _pip_settings()
        (folder / "etc/pip.conf").write_text(settings)
        (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")  # as Debian's installer does
        self.run("useradd", "--create-home", "--shell", "/bin/bash", USER)

    def enter(self, *argv: str) -> list[str]:
        """Return the command that runs `argv` inside, in mount and process namespaces."""
        script = _ENTER.format(
            root=shlex.quote(str(self.folder)),
            given=shlex.join(self._given),
            argv=shlex.join(argv),
        )
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", script]

    def run(self, *argv: str) -> None:
        subprocess.run(self.enter(*argv), check=True, capture_output=True)


def _pip_settings() -> tuple[str, list[str]]:
    """Return this host's settings of pip as one file, and the local paths that they name."""
    done = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True)
    settings: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = value.strip("'\"")
    words = [word for value in settings.values() for word in value.split()]
    paths = [word for word in words if word.startswith("/")]
    # A local index keeps its files beside its pages.
    paths += [str(Path(urlsplit(word).path).parent) for word in words if word.startswith("file:")]
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    return f"[global]\n{text}", [path for path in paths if Path(path).exists()]


class Terminal(contextlib.AbstractContextManager["Terminal"]):
    """A terminal of tmux in which the user of a root works."""

    def __init__(self, root: DebianRoot, socket: Path) -> None:
        self._tmux = ["tmux", "-f", "/dev/null", "-S", str(socket)]
        login = shlex.join(root.enter("su", "--login", USER))
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        self._do(
            "set-option", "-g", "history-limit", "20000", ";", "new-session", "-d", *size, login
        )
        self._count = 0
        self.type(f"PS1='{PROMPT}'")

    def type(self, words: str) -> None:
        self._do("send-keys", "-l", words)
        self._do("send-keys", "Enter")

    def command(self, words: str, patience_s: float = 60) -> list[str]:
        """Type a command, wait until it ends, and return what it showed and how it ended."""
        self.begin(words)
        return self.end(patience_s)

    def begin(self, words: str) -> None:
        self._count += 1
        self.type(f"{words}; echo end {self._count}: $?")

    def end(self, patience_s: float = 60) -> list[str]:
        """Wait for the end of the last command; return its lines, with the exit code as the last."""
        self.wait_for(rf"^end {self._count}: \d+$", patience_s)
        lines = self.shown()
        mark = f"end {self._count}: "
        begin = next(at for at, line in enumerate(lines) if line.endswith(f"; echo {mark}$?"))
        end = next(at for at, line in enumerate(lines) if line.startswith(mark))
        return [*lines[begin + 1 : end], lines[end].removeprefix(mark)]

    def wait_for(self, pattern: str, patience_s: float = 60) -> None:
        end = time.monotonic() + patience_s
        while not re.search(pattern, "\n".join(self.shown()), re.MULTILINE):
            assert time.monotonic() < end, self.shown()
            time.sleep(0.2)

    def shown(self) -> list[str]:
        """Return the lines of the terminal and of its history, without those after the last."""
        done = self._do("capture-pane", "-p", "-J", "-S", "-")
        return done.stdout.rstrip().splitlines()

    def __exit__(self, *_: object) -> None:
        self._do("kill-server")

    def _do(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True)

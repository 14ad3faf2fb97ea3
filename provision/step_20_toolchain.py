"""Step 20: the C compiler and the Python headers that Triton compiles its launchers with, at run time."""

from __future__ import annotations

from typing import Final

from provision.plan._model import Plan
from provision.steps import Action, Lock, Run, Site, Step

# Runs in the host's Python, since only that knows where its headers lie. Named with the distribution's own command:
# a compiler that works comes from nowhere else, and nothing here changes the system.
_LOOK: Final = """\
import os, shutil, sys, sysconfig
must = sys.argv[1] == "must"
named = os.environ.get("CC", "").split()
missing = []
if not any(shutil.which(name) for name in (*named[:1], "gcc", "clang", "cc")):
    missing.append("compiler")
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    missing.append("headers")
if not missing:
    sys.exit(0)
try:
    with open("/etc/os-release", encoding="utf-8", errors="replace") as lines:
        system = dict(line.strip().split("=", 1) for line in lines if "=" in line)
except OSError:
    system = {}
family = (system.get("ID", "") + " " + system.get("ID_LIKE", "")).replace('"', "").split()
python = "python%d.%d" % sys.version_info[:2]
ways = {
    "debian": ("apt-get install", {"compiler": "gcc libc6-dev", "headers": python + "-dev"}),
    "fedora": ("dnf install", {"compiler": "gcc", "headers": python + "-devel"}),
    "rhel": ("dnf install", {"compiler": "gcc", "headers": python + "-devel"}),
    "suse": ("zypper install", {"compiler": "gcc", "headers": python.replace(".", "") + "-devel"}),
    "arch": ("pacman -S", {"compiler": "gcc", "headers": "python"}),
    "alpine": ("apk add", {"compiler": "gcc musl-dev", "headers": "python3-dev"}),
}
unknown = ("install", {"compiler": "gcc", "headers": "the headers of " + python})
tool, packages = next((ways[name] for name in family if name in ways), unknown)
what = {"compiler": "a C compiler", "headers": "Python.h of " + sys.executable}
print("missing: %s, which Triton needs at run time" % " and ".join(what[one] for one in missing), file=sys.stderr)
print("as root: %s %s" % (tool, " ".join(packages[one] for one in missing)), file=sys.stderr)
sys.exit(must)
"""


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    if "/" not in site.host_python:
        return ()  # uv fetches this Python in the next step, with its headers
    # On a CPU vLLM runs without Triton; with --enforce-eager it compiles nothing at all.
    weight = "must" if plan.profile == "cuda" else "should"
    look = (site.host_python, "-I", "-c", _LOOK, weight)
    return (Run(title="look for a C compiler and Python's headers", argv=look, deadline_s=60.0),)


STEP = Step(
    number=20,
    name="toolchain",
    title="Compiler and Python headers",
    why="Triton compiles a launcher for every kernel on first use, and dies where it cannot",
    actions=actions,
)

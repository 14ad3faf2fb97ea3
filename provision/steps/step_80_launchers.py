"""Step 80: write env.sh, and a `vllm` command that works under every name of the distribution."""

from __future__ import annotations

import shlex
from typing import Final
from urllib.parse import quote

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Run, Site, Step, Write

# The texts below are hashed into fingerprints: an environment changes with any of their words.
_ENV: Final = """\
# What vLLM needs in its environment here; read by bin/activate and bin/vllm. What is set already stays as it is.
vllm_ready_default() { # vllm_ready_default NAME VALUE
    eval "[ -z \\"\\${$1+set}\\" ]" || return 0
    export "$1=$2"
    _VLLM_READY_SET="${_VLLM_READY_SET:-} $1"
}
vllm_ready_default CUDA_DEVICE_ORDER PCI_BUS_ID
vllm_ready_default VLLM_CACHE_ROOT @CACHE@/vllm
vllm_ready_default FLASHINFER_WORKSPACE_BASE @CACHE@/flashinfer
vllm_ready_default TRITON_CACHE_DIR @CACHE@/triton
vllm_ready_default TORCHINDUCTOR_CACHE_DIR @CACHE@/inductor
vllm_ready_default MPLCONFIGDIR @CACHE@/matplotlib
vllm_ready_default UV_CONSTRAINT @CONSTRAINTS@
@PIP@@CUDA_HOME@. @GENERATION@/env-huggingface.sh
unset -f vllm_ready_default
"""
# Holds a pip that PIP_CONFIG_FILE keeps from reading pip.conf; an alias would be another one.
_PIP: Final = """\
vllm_ready_default PIP_CONSTRAINT @CONSTRAINTS@
unalias pip pip3 uv 2>/dev/null || true
"""
# FlashInfer compiles with the toolkit of step 50, which has the version of torch's CUDA. A
# CUDA_HOME that the user has set takes precedence.
_CUDA_HOME: Final = """\
[ ! -x @TOOLKIT@/bin/nvcc ] || vllm_ready_default CUDA_HOME @TOOLKIT@
"""
_LAUNCHER: Final = """\
#!/bin/sh
# vLLM's own command, with the settings of this environment.
here=@GENERATION@
. "$here/env.sh"
PATH=$here/bin:$PATH exec "$here/bin/python" "$here/.vllm-ready/vllm_command.py" "$@"
"""
_COMMAND: Final = '''\
"""Starts vLLM's own command. vLLM asks for a distribution named `vllm`, and for `cpu` in its version."""

import importlib.metadata
import os
import sys

INSTALLED, LOCAL = @INSTALLED@, @LOCAL@
_version = importlib.metadata.version


def version(name):
    if name != "vllm":
        return _version(name)
    found = _version(INSTALLED)
    return found if "+" in found else found + LOCAL


importlib.metadata.version = version  # at the top: processes that vLLM spawns read this file again
if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    sys.argv[0] = "vllm"
    sys.exit(main())
'''
_ENTER: Final = '''\
"""Enters bin/vllm into the RECORD that lists it, so that the environment can be proved whole."""

import base64, csv, hashlib, io, os, pathlib, sys, sysconfig

launcher = pathlib.Path(sys.prefix, "bin", "vllm").read_bytes()
digest = "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(launcher).digest()).rstrip(b"=").decode()
for record in pathlib.Path(sysconfig.get_path("purelib")).glob("vllm*.dist-info/RECORD"):
    rows = list(csv.reader(io.StringIO(record.read_text(encoding="utf-8"))))
    entered = [[row[0], digest, str(len(launcher))] if row[0].endswith("/bin/vllm") else row for row in rows]
    text = io.StringIO()
    csv.writer(text, lineterminator="\\n").writerows(entered)
    aside = record.with_name("RECORD.aside")
    aside.write_text(text.getvalue(), encoding="utf-8")
    os.replace(aside, record)
'''


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    package = plan.packages["vllm"]
    installed = (package.distribution if package else None) or "vllm"
    local = "+cpu" if plan.profile == "cpu" else ""
    command = _COMMAND.replace("@INSTALLED@", repr(installed)).replace("@LOCAL@", repr(local))
    launcher = _LAUNCHER.replace("@GENERATION@", shlex.quote(site.generation))
    enter = f"{site.state}/enter_launcher.py"
    return (
        Write(
            title="vLLM's settings", path=f"{site.generation}/env.sh", text=_env(plan, lock, site)
        ),
        Write(title="how vLLM is started", path=f"{site.state}/vllm_command.py", text=command),
        Write(
            title="the vllm command", path=f"{site.generation}/bin/vllm", text=launcher, mode=0o755
        ),
        Write(title="how it is entered into RECORD", path=enter, text=_ENTER),
        Run(title="enter it into RECORD", argv=(site.python, "-I", enter), deadline_s=60.0),
    )


def _env(plan: Plan, lock: Lock, site: Site) -> str:
    words = {
        "@PIP@": _PIP if lock.version("pip") else "",
        "@CUDA_HOME@": _CUDA_HOME if plan.cuda else "",
        "@TOOLKIT@": shlex.quote(site.toolkit),
        "@CACHE@": shlex.quote(f"{site.prefix}/cache"),
        # A URL, since uv splits a path at its spaces.
        "@CONSTRAINTS@": shlex.quote(f"file://{quote(f'{site.state}/constraints.txt')}"),
        "@GENERATION@": shlex.quote(site.generation),
    }
    text = _ENV
    for word, value in words.items():
        text = text.replace(word, value)
    return text


STEP = Step(
    number=80,
    name="launchers",
    title="The vllm command",
    why="vLLM must find its toolkit, its caches and its own version in every shell",
    actions=actions,
)

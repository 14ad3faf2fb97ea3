"""Step 50: vLLM and everything else of the lock; nothing is resolved again, so torch stays what it is."""

from __future__ import annotations

from typing import Final

from provision.plan._model import Plan
from provision.steps import Action, Lock, Run, Site, Step, Write

# Wheels carry no links; what FlashInfer and torch compile is linked with lib64 and libcudart.so.
_LINKS: Final = """\
import pathlib, sys
home = pathlib.Path(sys.argv[1])
for link, target in (("lib64", "lib"), ("lib/libcudart.so", "libcudart.so." + home.name[2:])):
    there = home / link
    if (home / "bin" / "nvcc").exists() and not there.is_symlink() and not there.exists():
        there.symlink_to(target)
"""


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    package = plan.packages["vllm"]
    version = package.version if package else ""
    install = (site.uv, "pip", "install", "--python", site.python, "--no-deps", "--require-hashes", "--no-build")
    toolkit = f"{site.generation}/lib/python{plan.python}/site-packages/nvidia/cu{(plan.cuda or '').split('.')[0]}"
    links = Run(
        title="make the CUDA toolkit of the wheels complete",
        argv=(site.python, "-I", "-c", _LINKS, toolkit),
        deadline_s=60.0,
    )
    return (
        Write(title="the lock", path=site.lock_file, text=lock.text),
        Run(
            title=f"install vLLM {version} and {len(lock.pins)} distributions in all",
            # --exact takes out what an interrupted installation of another lock may have left
            argv=(*install, "--exact", "--link-mode", site.link_mode, "--requirements", site.lock_file),
            deadline_s=4 * 3600.0,
        ),
        *((links,) if plan.cuda else ()),
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.pins)


STEP = Step(
    number=50,
    name="vllm",
    title="vLLM",
    why="one lock for all of it: what was resolved together runs together",
    actions=actions,
    leaves=leaves,
)

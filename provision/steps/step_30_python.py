"""Step 30: make the environment with the planned Python, and an activation with vLLM's settings."""

from __future__ import annotations

import shlex
from typing import Final

from provision.plan._model import Plan
from provision.steps import step_20_toolchain
from provision.steps.model import Action, Lock, Run, Site, Step, Write

# Like uv's own script, for sh, bash and zsh, and it reads env.sh. It is written in this step so
# that an environment never lacks it. The text is hashed into fingerprints.
_ACTIVATE: Final = """\
# To be sourced, by sh, bash or zsh; `deactivate` takes everything back.
deactivate() {
    [ -z "${_OLD_VIRTUAL_PATH+set}" ] || { PATH=$_OLD_VIRTUAL_PATH && export PATH; }
    [ -z "${_OLD_VIRTUAL_PS1+set}" ] || PS1=$_OLD_VIRTUAL_PS1
    eval "unset _OLD_VIRTUAL_PATH _OLD_VIRTUAL_PS1 VIRTUAL_ENV VIRTUAL_ENV_PROMPT ${_VLLM_READY_SET:-}"
    unset _VLLM_READY_SET
    hash -r 2>/dev/null || true
    [ "${1:-}" = nondestructive ] || unset -f deactivate
}
deactivate nondestructive # another environment that is active keeps the old values under the same names
_OLD_VIRTUAL_PATH=$PATH
VIRTUAL_ENV=@GENERATION@
VIRTUAL_ENV_PROMPT=vllm
PATH=$VIRTUAL_ENV/bin:$PATH
export VIRTUAL_ENV VIRTUAL_ENV_PROMPT PATH
if [ -z "${VIRTUAL_ENV_DISABLE_PROMPT:-}" ] && [ -n "${PS1:-}" ]; then
    _OLD_VIRTUAL_PS1=$PS1
    PS1="(vllm) $PS1"
fi
[ ! -r "$VIRTUAL_ENV/env.sh" ] || . "$VIRTUAL_ENV/env.sh"
hash -r 2>/dev/null || true
"""
_ANSWERS: Final = (
    "import ssl, sys; sys.exit(list(map(str, sys.version_info[:2])) != sys.argv[1].split('.'))"
)


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    # --allow-existing keeps the plan, and after a kill the results of later steps.
    venv = (
        site.uv,
        "venv",
        "--no-project",
        "--allow-existing",
        "--python",
        site.host_python or plan.python,
    )
    return (
        Run(
            title=f"make an environment with Python {plan.python}",
            argv=(*venv, "--prompt", "vllm", site.generation),
        ),
        Write(
            title="activation",
            path=f"{site.generation}/bin/activate",
            text=_ACTIVATE.replace("@GENERATION@", shlex.quote(site.generation)),
        ),
        Run(
            title=f"ask it whether it is Python {plan.python}",
            argv=(site.python, "-I", "-c", _ANSWERS, plan.python),
            deadline_s=60.0,
        ),
        *(
            ()
            if "/" in site.host_python
            else (step_20_toolchain.look_for_compiler(plan, site.python),)
        ),
    )


STEP = Step(
    number=30,
    name="python",
    title="Environment",
    why="vLLM gets an environment of its own, never the system's Python",
    actions=actions,
)

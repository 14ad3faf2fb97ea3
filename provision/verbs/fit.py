"""`fit`: predict whether and how a model runs on this host, or on a described one."""

from __future__ import annotations

import os

from provision.display import terminal
from provision.errors import CHECK_FAILED, DONE, UNDECIDED, UNSUPPORTED, WrongUsage
from provision.session import fitting

TYPE_CHECKING = False  # `typing` is not imported otherwise
if TYPE_CHECKING:
    import argparse

    from provision.fit.document import Fit


def run(options: argparse.Namespace) -> int:
    if options.command and options.model:
        raise WrongUsage(
            f"{options.model} stands beside a command after `--`, which names its own model",
            hint="leave one of them out",
        )
    if not (options.command or options.model):
        raise WrongUsage(
            "no model is named",
            hint="write: fit MODEL, or: fit -- vllm serve MODEL [its options]",
        )
    fit = fitting.predict(options, dict(os.environ))
    if options.json:
        terminal.document(fit)
    else:
        from provision.fit import show

        if options.quiet:
            terminal.line(show.in_one_line(fit))
        else:
            terminal.show(show.render(fit))
    return _exit_code(fit)


def _exit_code(fit: Fit) -> int:
    """Return 1 where a proof contradicts the prediction, and 5 where it could not run."""
    proof = fit.proof
    if proof is not None and proof.agrees is None:
        return UNDECIDED
    if proof is not None and not proof.agrees:
        return CHECK_FAILED
    return DONE if fit.verdict in ("fits", "tight") else UNSUPPORTED

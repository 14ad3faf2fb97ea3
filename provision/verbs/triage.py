"""`triage`: thirty seconds of read-only inspection of a broken host.

`setup.sh triage` starts the same code without the control environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.session import inputs

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    from provision.diagnose.triage.__main__ import main

    argv = [name for name in ("--json", "--quiet") if getattr(options, name[2:])]
    prefix = [] if options.prefix is None else ["--prefix", options.prefix]
    return main([*argv, *prefix], inputs.checkout())

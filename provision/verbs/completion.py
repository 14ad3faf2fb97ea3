"""`completion`: print the completion script of a shell."""

from __future__ import annotations

import argparse

from provision import completion
from provision.display import terminal
from provision.errors import DONE


def run(options: argparse.Namespace) -> int:
    text = completion.SHELLS[options.shell]()
    if options.json:
        terminal.document({"shell": options.shell, "script": text})
    else:
        terminal.write(text)
    return DONE

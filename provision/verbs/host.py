"""`host`: records this host and shows the recording, or writes it to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from provision.catalog import rows
from provision.display import terminal
from provision.doors import files
from provision.errors import DONE, IncompleteHost, WrongSetting
from provision.host import record
from provision.host._model import Host
from provision.plan import choose_profile
from provision.plan._model import Reasons
from provision.plan.situation import gather
from provision.session import inputs

if TYPE_CHECKING:
    import argparse

    from provision.host._model import Recording
    from provision.settings import Settings


def run(options: argparse.Namespace) -> int:
    settings = inputs.settings(options)
    recording = record.record(network=False, paths=inputs.paths(settings), sources={})
    output = options.output
    if output is not None:
        files.write(Path(output), record.to_json(recording), make_folders=False)
        if not options.quiet:
            usage = f"./setup.sh plan --host {output} plans for this host anywhere"
            terminal.note(f"recorded in {output}; {usage}")
    if options.json:
        terminal.out(record.to_json(recording))
    elif output is None:
        from provision.host import show

        parts = show.warnings(recording) if options.quiet else [*show.table(recording)]
        for part in (*parts, *_unusable_gpus(recording, settings)):
            terminal.show(part)
    return DONE


def _unusable_gpus(recording: Recording, settings: Settings) -> list[str]:
    """Return a line for each GPU that cannot be used yet, with the driver that it needs."""
    catalogue = rows.load()
    try:
        situation = gather(Host(recording.readings), settings, catalogue)
        profile = choose_profile.choose(situation, catalogue)
    except (IncompleteHost, WrongSetting) as failure:  # the recording is worth showing all the same
        return [f"not enough for a plan: {failure.what}"]
    reasons = profile.reasons if isinstance(profile, Reasons) else ()
    return [f"not usable: {reason}" for reason in reasons]

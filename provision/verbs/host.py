"""`host`: records this host; shows it, or writes the recording."""

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
            terminal.note(f"recorded in {output}; plan for it anywhere: ./setup.sh plan --host {output}")
    if options.json:
        terminal.out(record.to_json(recording))
    elif output is None:
        from provision.host import show

        shown = show.warnings(recording) if options.quiet else [*show.shown(recording)]
        for part in (*shown, *_not_usable(recording, settings)):
            terminal.show(part)
    return DONE


def _not_usable(recording: Recording, settings: Settings) -> list[str]:
    """GPUs that are there and cannot be used yet, each with the driver that it needs."""
    catalogue = rows.load()
    try:
        profile = choose_profile.choose(gather(Host(recording.readings), settings, catalogue), catalogue)
    except (IncompleteHost, WrongSetting) as failure:  # what is there is shown all the same
        return [f"not enough for a plan: {failure.what}"]
    return [f"not usable: {reason}" for reason in profile.reasons] if isinstance(profile, Reasons) else []

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
            terminal.note(
                f"recorded in {output}; "
                f"./setup.sh plan --host {output} plans for this host anywhere"
            )
    if options.json:
        terminal.out(record.to_json(recording))
    elif output is None:
        from provision.host import show

        for part in (
            *(show.warnings(recording) if options.quiet else [*show.table(recording)]),
            *_unusable_gpus(recording, settings),
        ):
            terminal.show(part)
    return DONE


def _unusable_gpus(recording: Recording, settings: Settings) -> list[str]:
    """Return a line for each GPU that cannot be used yet, with the driver that it needs."""
    catalogue = rows.load()
    try:
        profile = choose_profile.choose(
            gather(Host(recording.readings), settings, catalogue), catalogue
        )
    except (IncompleteHost, WrongSetting) as failure:  # the recording is worth showing all the same
        return [f"not enough for a plan: {failure.what}"]
    reasons = profile.reasons if isinstance(profile, Reasons) else ()
    return [f"not usable: {reason}" for reason in reasons]

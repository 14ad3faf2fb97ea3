"""`host`: show this host, or what a text tells of one; `-o` writes a recording of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from provision.catalog import rows
from provision.display import terminal
from provision.doors import files
from provision.errors import DONE, IncompleteHost, UnreadableInput, WrongSetting
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
    return _show_this_host(options) if options.file is None else _show_text(options)


def _show_this_host(options: argparse.Namespace) -> int:
    settings = inputs.settings(options)
    recording = record.record(network=False, paths=inputs.paths(settings), sources={})
    _write(recording, options)
    if options.json:
        terminal.out(record.to_json(recording))
    elif options.output is None:
        from provision.host import show

        for part in (
            *(show.warnings(recording) if options.quiet else [*show.table(recording)]),
            *_unusable_gpus(recording, settings),
        ):
            terminal.show(part)
    return DONE


def _show_text(options: argparse.Namespace) -> int:
    from provision.host import from_text, what_was_read
    from provision.host.facts_read import ReadFacts

    text, name = inputs.host_text(options.file), inputs.host_name(options.file)
    told = from_text.read(text, name)
    document = what_was_read.document(told)
    if document.facts == ReadFacts():
        raise UnreadableInput(
            "tells nothing of a host",
            where=name,
            hint="paste the output of `python -m torch.utils.collect_env` and of `nvidia-smi`",
        )
    _write(record.of_text(text), options)
    if options.json:
        terminal.document(document)
    elif options.output is None:
        from provision.host import show_what_was_read

        for part in show_what_was_read.table(document):
            terminal.show(part)
    return DONE


def _write(recording: Recording, options: argparse.Namespace) -> None:
    output = options.output
    if output is None:
        return
    files.write(Path(output), record.to_json(recording), make_folders=False)
    if not options.quiet:
        terminal.note(
            f"recorded in {output}; ./setup.sh plan --host {output} plans for this host anywhere"
        )


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

"""`diagnose`: name the causes of a failure from its log, and the fixes. It never runs a fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.display import terminal
from provision.doors import log_stream
from provision.errors import DONE, UNDECIDED
from provision.session import inputs

if TYPE_CHECKING:
    import argparse

    from provision.diagnose._model import Diagnosis
    from provision.host._model import Host


def run(options: argparse.Namespace) -> int:
    from provision.diagnose import as_text

    diagnosis = _of_host(options) if options.log is None else _of_log(options)
    if options.json:
        terminal.document(diagnosis)
    else:
        show = as_text.in_one_line if options.quiet else as_text.text
        terminal.write(terminal.harmless(show(diagnosis)))
    is_known = any(finding.confidence != "low" for finding in diagnosis.findings)
    return DONE if is_known else UNDECIDED


def _of_log(options: argparse.Namespace) -> Diagnosis:
    from provision.diagnose import diagnose

    chunks = log_stream.chunks(options.log)
    if options.host is None:
        return diagnose.of_log(chunks, here=_recorded(options))
    return diagnose.of_log(chunks, inputs.described_host(options, may_be_empty=True))


def _of_host(options: argparse.Namespace) -> Diagnosis:
    from provision.diagnose import diagnose

    if options.host is None:
        return diagnose.of_host(_recorded(options))
    return diagnose.of_host(inputs.described_host(options, may_be_empty=True))


def _recorded(options: argparse.Namespace) -> Host:
    from provision.host import record
    from provision.host._model import Host

    settings = inputs.settings(options)
    recording = record.record(network=False, paths=inputs.paths(settings), sources={})
    return Host(recording.readings)

"""The pages of tasks/task-results/: one for each task, and an index, ordered for small diffs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from provision.report._markup import plain, section
from provision.report._model import Report
from provision.report._task_page import EARLIER, MOST_PACKAGES, installed, list_of, page, when
from provision.report._task_state import (
    counts,
    headline,
    is_unfinished,
    outcome,
    proofs_of,
    stable_line,
    untried,
)
from provision.report.short import first_line
from provision.tasks import Task

INDEX = "README.md"


def pages(
    report: Report,
    tasks: Sequence[Task],
    before: Report | None = None,
    proving: Mapping[str, Sequence[str]] = {},
) -> dict[str, str]:
    """Return every page by its file name.

    Text of the report is escaped; a task's own text is Markdown of its author. `before` is the
    report that verified this environment; it proves what this run did not try. `proving` names
    by the label of a task all checks that prove it.
    """
    if before and before.generation == report.generation:
        report = _merged(report, before)
    texts = {f"{task.label}.md": page(task, tasks, report, proving) for task in tasks}
    texts[INDEX] = _index(report, tasks, proving)
    lists = {list_of(task): installed(task, report) for task in tasks}
    texts |= {name: iter(lines) for name, lines in lists.items() if len(lines) > MOST_PACKAGES}
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def _merged(report: Report, before: Report) -> Report:
    tried = {check.name for check in report.checks}
    earlier = tuple(check for check in before.checks if check.name not in tried)
    names = ", ".join(check.name for check in earlier)
    note = (f"tried in run {before.run}: {names}",) if names else ()
    return msgspec.structs.replace(
        report,
        checks=(*earlier, *report.checks),
        figures=(
            *(figure for figure in before.figures if figure.check not in tried),
            *report.figures,
        ),
        notes={**before.notes, **report.notes, EARLIER: note},
        gpus=report.gpus or before.gpus,
        promised=tuple(dict.fromkeys((*before.promised, *report.promised))),
    )


def _index(
    report: Report, tasks: Sequence[Task], proving: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    yield from ("# What was done to this host, and what proves it", "")
    if report.doubt:
        yield from (f"**This report {stable_line(report.doubt, report)}.**", "")
    yield f"The run of these pages ended **{report.verdict}** (exit code {report.exit_code})."
    yield "Every run rewrites them, except a partial check that finds no problem."
    if report.regressions:
        yield from ("", "The new environment is **not current**: the old one did better.", "")
        yield from (f"* {stable_line(reason, report)}" for reason in report.regressions)
    rows = [_row(task, report, proving) for task in tasks]
    yield from section("Tasks", ["| task | | outcome | checks |", "|---|---|---|---|", *rows])
    unproved = [*_unproved(report), *_unfinished(tasks, report)]
    yield from section(
        "What was not proved", unproved, "Nothing: every promised check passed or warned."
    )
    without = [task for task in tasks if not proofs_of(task, report)]
    if without:
        names = ", ".join(f"{task.number} {plain(task.title)}" for task in without)
        yield from section("", [f"No check of these tasks was tried: {names}."])
    notes = [
        f"* {stable_line(note, report)}"
        for label, notes in report.notes.items()
        if label != EARLIER
        for note in notes
    ]
    yield from section("Notes of the run", notes, "Nothing.")
    yield from section(
        "What the target host must prove",
        [f"* {plain(name)}: to be proved on the target host" for name in report.owed],
        "Nothing.",
    )
    yield from section("When and where", when(None, (), report))


def _row(task: Task, report: Report, proving: Mapping[str, Sequence[str]]) -> str:
    proofs = proofs_of(task, report)
    tried = counts(proofs, untried(task, proofs, proving))
    link = f"[{task.number}]({task.label}.md)"
    return f"| {link} | {plain(task.title)} | {headline(task, report)} | {tried} |"


def _unproved(report: Report) -> list[str]:
    if report.verdict == "not provisioned":
        why = "this host has no plan" if report.unsupported else "the checks did not run"
        return [
            f"* nothing was proved: {why}",
            *(f"* {stable_line(reason, report)}" for reason in report.unsupported),
        ]
    lines = [f"* {stable_line(reason, report)}" for reason in report.conclusion.against]
    tried = {*report.promised, *(check.name for check in report.checks)}
    lines += [
        f"* {plain(name)} was not tried"
        for name in (report.plan.checks if report.plan and report.part else ())
        if name not in tried
    ]
    return lines + [
        f"* {plain(check.name)} warns: {stable_line(first_line(check.summary), report)}"
        for check in report.checks
        if check.outcome == "warn"
    ]


def _unfinished(tasks: Sequence[Task], report: Report) -> list[str]:
    if report.verdict == "not provisioned":
        return []
    return [
        f"* {task.number} {plain(task.title)}: {outcome(task, report)}"
        for task in tasks
        if is_unfinished(task, report)
    ]

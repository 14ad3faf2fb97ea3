"""The pages of tasks/task-results/: one a task, and an index, from a report alone, in an order that diffs well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from provision.engine.check_results import CheckResult
from provision.engine.events import StepResult
from provision.plan import serve
from provision.report._markup import plain
from provision.report._model import Left, Report
from provision.report._task_ends import NOT_DONE, is_unfinished, labels, outcome, result_of, unended, wrong
from provision.report._task_proofs import (
    counted,
    figure,
    figures,
    not_tried,
    proof,
    proofs_of,
    said,
    seen,
    stable,
    untried,
)
from provision.report.short import first_line, printable
from provision.tasks import Task

INDEX = "README.md"
_EARLIER = "earlier"  # no label of a step
_DECIDED = {"flash_attn": "flash-attn"}  # subjects of decisions that have another name than their setting


def pages(
    report: Report, tasks: Sequence[Task], before: Report | None = None, proving: Mapping[str, Sequence[str]] = {}
) -> dict[str, str]:
    """Every page by the name of its file.

    What a report holds is text in them; what a task says of itself is Markdown, as its author wrote it.
    `before`: with which this environment was verified; what this run did not try was proved there. `proving`: all
    checks that are about a task, by its label, also those that nobody tried.
    """
    report = _with(report, before) if before and before.generation == report.generation else report
    found = {f"{task.label}.md": "\n".join(_page(task, tasks, report, proving)) + "\n" for task in tasks}
    return {**found, INDEX: "\n".join(_index(report, tasks, proving)) + "\n"}


def _with(report: Report, before: Report) -> Report:
    tried = {one.name for one in report.checks}
    earlier = tuple(one for one in before.checks if one.name not in tried)
    names = ", ".join(one.name for one in earlier)
    return msgspec.structs.replace(
        report,
        checks=(*earlier, *report.checks),
        figures=(*(one for one in before.figures if one.check not in tried), *report.figures),
        notes={**before.notes, **report.notes, _EARLIER: (f"tried in run {before.run}: {names}",) if names else ()},
        gpus=report.gpus or before.gpus,
        promised=tuple(dict.fromkeys((*before.promised, *report.promised))),
    )


def _page(task: Task, tasks: Sequence[Task], report: Report, proving: Mapping[str, Sequence[str]]) -> Iterator[str]:
    result, proofs = result_of(task, report), proofs_of(task, report)
    yield from (
        f"# {task.number} {plain(task.title)}",
        "",
        f"**{_headline(task, report)}**",
        "",
        "## What was asked",
        "",
    )
    yield task.why or "Its file gives no reason."
    yield from _section("", _asked(task, report))
    ran = [line for command in _commands(task, report) for line in stable(command, report).splitlines()]
    commands = [f"    {printable(line)}" for line in ran]
    yield from _section("What was done", commands, _nothing(task, report))
    if lines := wrong(task, report):
        yield from _section("What went wrong", lines)
    yield from _section("What was measured", [figure(one) for one in figures(proofs, report)], "Nothing.")
    yield from _section("What deviates from the plan", _deviations(task, proofs, report), "Nothing.")
    yield from _section("What was observed", _observed(task, proofs, report), "Nothing out of the ordinary.")
    unproved = "No check was tried that is about it: nothing here proves that it holds."
    yield from _section("What proves it", [proof(one, report) for one in proofs], unproved)
    if missing := untried(task, proofs, proving):
        yield from _section("", [not_tried(missing, report)])
    yield from _section("What it left", _left(task, report), "What it leaves is known to whoever wrote it.")
    yield from _section("If it fails", [task.if_it_fails or "The same command goes on from here."])
    yield from _section("How to undo it", [task.undo or "Its file does not say."])
    yield from _section("What comes next", [_next(task, tasks, report)])
    yield from _section("When and where", _when(result, proofs, report))


def _index(report: Report, tasks: Sequence[Task], proving: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield from ("# What was done to this host, and what proves it", "")
    if report.doubt:
        yield from (f"**This report {said(report.doubt, report)}.**", "")
    yield f"The run that these pages are of ended **{report.verdict}** (exit code {report.exit_code})."
    yield "Each run writes them anew, but one that tries a part of the checks and finds nothing against it."
    if report.regressions:
        yield from ("", "What it built is **not current: the old one stays**, which does better:", "")
        yield from (f"* {said(one, report)}" for one in report.regressions)
    rows = []
    for task in tasks:
        proofs = proofs_of(task, report)
        tried = counted(proofs, untried(task, proofs, proving))
        rows.append(f"| [{task.number}]({task.label}.md) | {plain(task.title)} | {_headline(task, report)} | {tried} |")
    yield from _section("Tasks", ["| task | | outcome | checks |", "|---|---|---|---|", *rows])
    unproved = [*_unproved(report), *_unfinished(tasks, report)]
    yield from _section("What was not proved", unproved, "All that was promised is proved.")
    if bare := [f"{task.number} {plain(task.title)}" for task in tasks if not proofs_of(task, report)]:
        yield from _section("", [f"No check that was tried is about these: {', '.join(bare)}."])
    notes = [f"* {said(note, report)}" for label, of in report.notes.items() if label != _EARLIER for note in of]
    yield from _section("What came up on the way", notes, "Nothing.")
    owed = [f"* {plain(name)}: only the host can try it for which this was built" for name in report.owed]
    yield from _section("What is owed", owed, "Nothing.")
    yield from _section("When and where", _when(None, (), report))


def _unproved(report: Report) -> list[str]:
    if report.verdict == "not provisioned":
        why = "there is no plan for this host" if report.unsupported else "the environment did not get to its checks"
        return [f"* anything: {why}", *(f"* {said(one, report)}" for one in report.unsupported)]
    lines = [f"* {said(one, report)}" for one in report.concluded.against]
    tried = {*report.promised, *(one.name for one in report.checks)}
    planned = report.plan.checks if report.plan and report.part else ()
    lines += [f"* {plain(name)} was not tried" for name in planned if name not in tried]
    return lines + [
        f"* {plain(one.name)}: warns: {said(first_line(one.summary), report)}"
        for one in report.checks
        if one.outcome == "warn"
    ]


def _unfinished(tasks: Sequence[Task], report: Report) -> list[str]:
    """What did not get to its end has not done what it is for, whatever was promised of the environment."""
    if report.verdict == "not provisioned":
        return []
    return [f"* {one.number} {plain(one.title)}: {outcome(one, report)}" for one in tasks if is_unfinished(one, report)]


def _headline(task: Task, report: Report) -> str:
    """Where a check is against it, what was done does not stand."""
    failed = [one.name for one in proofs_of(task, report) if one.outcome == "fail"]
    ended = outcome(task, report)
    return f"{ended.partition(',')[0]}, and checks FAILED: {plain(', '.join(failed))}" if failed else ended


def _nothing(task: Task, report: Report) -> str:
    """Why there are no commands."""
    if outcome(task, report) == NOT_DONE:
        return "Nothing: it was not reached."
    if unended(task, report):
        return "It did not get to its end, and left no note of its commands."
    left = report.left.get(task.label)
    result = result_of(task, report)
    if (result is None or result.outcome == "kept") and left and not left.run:
        return "It was done in an earlier run, which has left no note of its commands."
    return "Nothing had to be run."


def _section(title: str, lines: Sequence[str], none: str = "") -> Iterator[str]:
    if title:
        yield from ("", f"## {title}")
    if lines or none:
        yield ""
    yield from lines or ([none] if none else [])


def _asked(task: Task, report: Report) -> list[str]:
    lines = []
    for name in task.settings:
        if name not in report.settings:
            continue
        value = report.settings[name]
        lines.append(f"* {plain(name)}: {plain(value if isinstance(value, str) else json.dumps(value))}")
        subject = _DECIDED.get(name, name)
        decisions = report.plan.decisions if report.plan else ()
        lines += [
            f"  * chosen: {plain(one.chosen or 'none')}: {plain(one.because)}"
            for one in decisions
            if one.subject == subject
        ]
    return lines


def _commands(task: Task, report: Report) -> list[str]:
    return [command for label in labels(task, report) for command in report.commands.get(label, ())]


def _deviations(task: Task, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    subjects = {_DECIDED.get(name, name) for name in task.settings}
    decisions = [one for one in (report.plan.decisions if report.plan else ()) if one.subject in subjects]
    lines = [
        f"* not taken: {plain(f'{one.subject} {other.candidate}: {other.reason}')}"
        for one in decisions
        for other in one.rejected
    ]
    notes = [note for label in labels(task, report) for note in report.notes.get(label, ())]
    lines += [f"* {said(note, report)}" for note in notes]
    result = result_of(task, report)
    if result and result.outcome == "kept":
        lines.append("* kept from an earlier run, whose commands these are")
    return lines + [
        f"* {plain(one.name)} was not decided: {said(first_line(one.summary), report)}"
        for one in proofs
        if one.outcome in ("skip", "error")
    ]


def _observed(task: Task, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    lines = [f"* {plain(warning)}" for warning in (report.plan.warnings if report.plan and task.number == 10 else ())]
    for one in proofs:
        if one.outcome not in ("pass", "skip"):
            lines += seen(one, report)
    return lines


def _left(task: Task, report: Report) -> list[str]:
    left = report.left.get(task.label, Left())
    lines = [f"* $ENV/{plain(path)}" if path[:1] != "/" else f"* {said(path, report)}" for path in left.files]
    names = [f"{name} {report.packages[name].version}" for name in left.distributions if name in report.packages]
    if names:
        lines.append(f"* {len(names)} distributions: {plain(', '.join(sorted(names)))}")
    if not lines and unended(task, report):
        return ["Unknown: it did not get to its end."]
    return lines or (["Nothing of its own in the environment."] if task.is_step else [])


def _next(task: Task, tasks: Sequence[Task], report: Report) -> str:
    later = tasks[tasks.index(task) + 1 :]
    if later:
        return f"[{later[0].number} {plain(later[0].title)}]({later[0].label}.md)"
    if report.plan and report.exit_code == 0:
        return f"Serve a model: `{stable(serve.command(report.plan, str(report.settings.get('prefix', ''))), report)}`"
    return "Nothing: this was the last one."


def _when(result: StepResult | None, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    """All that is another with every run."""
    prefix = str(report.settings.get("prefix", ""))
    began = plain(f"{report.run}, started {report.started}")
    lines = [f"* run: {began}, {report.seconds:.1f} s, by vllm-ready {plain(report.tool)}"]
    lines += [f"* in this run: {result.seconds:.1f} s"] if result and result.outcome != "kept" else []
    lines += [f"* checks: {plain(', '.join(f'{one.name} {one.seconds:.1f} s' for one in proofs))}"] if proofs else []
    lines += [f"* {plain(one)}" for one in report.notes.get(_EARLIER, ())]
    env = f"* ENV={plain(f'{prefix}/{report.generation}')}" if report.generation else "* ENV: none"
    return [*lines, f"* PREFIX={plain(prefix)}", env]

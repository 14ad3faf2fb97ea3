"""The pages of tasks/task-results/: one a task, and an index, from a report alone, in an order that diffs well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from provision.engine.events import StepResult
from provision.engine.tried import CheckResult, Figure
from provision.plan import serve
from provision.report import short
from provision.report._model import Left, Report
from provision.tasks import Task

INDEX = "README.md"
_NOT_DONE = "not done"
_EARLIER = "earlier"  # no label of a step
_MOST = 30  # lines of what a check has seen
_NOTHING = {_NOT_DONE: "Nothing: it was not reached."}
_DECIDED = {"flash_attn": "flash-attn"}  # subjects of decisions that have another name than their setting


def pages(report: Report, tasks: Sequence[Task], before: Report | None = None) -> dict[str, str]:
    """Every page by the name of its file.

    `before`: with which this environment was verified; what this run did not try was proved there.
    """
    report = _with(report, before) if before and before.generation == report.generation else report
    found = {f"{task.label}.md": "\n".join(_page(task, tasks, report)) + "\n" for task in tasks}
    return {**found, INDEX: "\n".join(_index(report, tasks)) + "\n"}


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


def _page(task: Task, tasks: Sequence[Task], report: Report) -> Iterator[str]:
    result, proofs = result_of(task, report), proofs_of(task, report)
    yield from (f"# {task.number} {task.title}", "", f"**{outcome(task, report)}**", "", "## What was asked", "")
    yield task.why or "Its file gives no reason."
    yield from _section("", _asked(task, report))
    commands = [f"    {_stable(command, report)}" for command in _commands(task, report)]
    yield from _section("What was done", commands, _NOTHING.get(outcome(task, report), "Nothing had to be run."))
    if result and result.problem:
        yield from _section("What went wrong", [f"    {_stable(line, report)}" for line in result.problem.splitlines()])
    yield from _section("What was measured", [_figure(one) for one in _figures(proofs, report)], "Nothing.")
    yield from _section("What deviates from the plan", _deviations(task, proofs, report), "Nothing.")
    yield from _section("What was observed", _observed(task, proofs, report), "Nothing out of the ordinary.")
    unproved = "No check was tried that is about it: nothing here proves that it holds."
    yield from _section("What proves it", [_proof(one, report) for one in proofs], unproved)
    yield from _section("What it left", _left(task, report), "What it leaves is known to whoever wrote it.")
    yield from _section("If it fails", [task.if_it_fails or "The same command goes on from here."])
    yield from _section("How to undo it", [task.undo or "Its file does not say."])
    yield from _section("What comes next", [_next(task, tasks, report)])
    yield from _section("When and where", _when(result, proofs, report))


def _index(report: Report, tasks: Sequence[Task]) -> Iterator[str]:
    yield from ("# What was done to this host, and what proves it", "")
    yield f"The newest run ended **{report.verdict}** (exit code {report.exit_code}). Each run writes these pages anew."
    rows = []
    for task in tasks:
        proofs = proofs_of(task, report)
        good = sum(one.outcome in ("pass", "warn") for one in proofs)
        proved = f"{good} of {len(proofs)} checks" if proofs else "no check"
        rows.append(f"| [{task.number}]({task.label}.md) | {task.title} | {outcome(task, report)} | {proved} |")
    yield from _section("Tasks", ["| task | | outcome | proved by |", "|---|---|---|---|", *rows])
    yield from _section("What was not proved", _unproved(report), "All that was promised is proved.")
    notes = [f"* {_stable(note, report)}" for label, said in report.notes.items() if label != _EARLIER for note in said]
    yield from _section("What came up on the way", notes, "Nothing.")
    owed = [f"* {name}: only the host can try it for which this was built" for name in report.owed]
    yield from _section("What is owed", owed, "Nothing.")
    yield from _section("When and where", _when(None, (), report))


def _unproved(report: Report) -> list[str]:
    if report.verdict == "not provisioned":
        return ["* anything: the environment did not get to its checks"]
    said = [f"* {_stable(one, report)}" for one in report.concluded.against]
    return said + [
        f"* {one.name}: warns: {_stable(one.summary, report)}" for one in report.checks if one.outcome == "warn"
    ]


def result_of(task: Task, report: Report) -> StepResult | None:
    """How it ended; what a part of it failed in (61 and 62 belong to 60) it has failed in."""
    there = [one for one in report.steps if f"{one.number}-{one.name}" in _labels(task, report)]
    failed = (one for one in there if one.outcome == "failed")
    return next(failed, next((one for one in there if one.number == task.number), None))


def outcome(task: Task, report: Report) -> str:
    """In words: of this run, or of the one in which it was done."""
    result = result_of(task, report)
    done = report.left.get(task.label)
    if result:
        return {"done": "done", "failed": "FAILED"}.get(result.outcome, "kept as it was")
    return "done before, and stands" if done else _NOT_DONE


def proofs_of(task: Task, report: Report) -> list[CheckResult]:
    if task.is_step:
        return [one for one in report.checks if one.step == task.number]
    return [one for one in report.checks if one.name in task.checks]


def _labels(task: Task, report: Report) -> list[str]:
    """Its own, and of a step those of its parts."""
    parts = {f"{one.number}-{one.name}" for one in report.steps} | report.commands.keys()
    tens = {
        one
        for one in parts
        if task.is_step and one[:1] == task.label[:1] and one[1:2] in "12" and task.number % 10 == 0
    }
    return [task.label, *sorted(tens - {task.label})]


def _section(title: str, lines: Sequence[str], none: str = "") -> Iterator[str]:
    if title:
        yield from ("", f"## {title}")
    if lines or none:
        yield ""
    yield from lines or ([none] if none else [])


def _stable(text: str, report: Report) -> str:
    """What changes with every run has one place; `$ENV` and `$PREFIX` are said there."""
    prefix = str(report.settings.get("prefix", ""))
    places = {f"{prefix}/{report.generation}": "$ENV"} if report.generation and prefix else {}
    for old, new in ({**places, prefix: "$PREFIX"} if prefix else {}).items():
        text = text.replace(old, new)
    return text.replace(report.run, "$RUN")


def _asked(task: Task, report: Report) -> list[str]:
    lines = []
    for name in task.settings:
        if name not in report.settings:
            continue
        value = report.settings[name]
        lines.append(f"* {name}: {value if isinstance(value, str) else json.dumps(value)}")
        subject = _DECIDED.get(name, name)
        decisions = report.plan.decisions if report.plan else ()
        lines += [f"  * chosen: {one.chosen or 'none'}: {one.because}" for one in decisions if one.subject == subject]
    return lines


def _commands(task: Task, report: Report) -> list[str]:
    return [command for label in _labels(task, report) for command in report.commands.get(label, ())]


def _figures(proofs: Sequence[CheckResult], report: Report) -> list[Figure]:
    names = {one.name for one in proofs}
    return [one for one in report.figures if one.check in names]


def _figure(one: Figure) -> str:
    of = f" ({short.of(one)})" if one.of else ""
    more = f", spread {short.spread(one)} over {one.repeats} repeats" if short.spread(one) else ""
    return f"* {one.check}: {one.name}{of}: {short.with_unit(one)}{more}{f'; {one.method}' if one.method else ''}"


def _deviations(task: Task, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    subjects = {_DECIDED.get(name, name) for name in task.settings}
    decisions = [one for one in (report.plan.decisions if report.plan else ()) if one.subject in subjects]
    lines = [
        f"* not taken: {one.subject} {other.candidate}: {other.reason}" for one in decisions for other in one.rejected
    ]
    notes = [note for label in _labels(task, report) for note in report.notes.get(label, ())]
    lines += [f"* {_stable(note, report)}" for note in notes]
    result = result_of(task, report)
    if result and result.outcome == "kept":
        lines.append("* kept from an earlier run, whose commands these are")
    return lines + [
        f"* {one.name} was not decided: {one.summary}" for one in proofs if one.outcome in ("skip", "error")
    ]


def _observed(task: Task, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    lines = [f"* {warning}" for warning in (report.plan.warnings if report.plan and task.number == 10 else ())]
    for one in proofs:
        if one.outcome in ("pass", "skip"):
            continue
        lines.append(f"* {one.name}: {_stable(one.summary, report)}{f' ({one.hint})' if one.hint else ''}")
        lines += [f"    {line}" for line in _evidence(one.evidence, report)]
    return lines


def _evidence(evidence: dict[str, Any], report: Report) -> list[str]:
    lines = _stable(json.dumps(evidence, indent=1, sort_keys=True, ensure_ascii=False), report).splitlines()
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"and {len(lines) - _MOST} lines more, in report.json"]


def _proof(one: CheckResult, report: Report) -> str:
    proves = f" Proves: {one.proves.rstrip('.')}." if one.proves else ""
    return f"* **{one.name}: {one.outcome}.**{proves} {_stable(one.summary, report)}".rstrip()


def _left(task: Task, report: Report) -> list[str]:
    left = report.left.get(task.label, Left())
    lines = [f"* $ENV/{path}" if path[:1] != "/" else f"* {_stable(path, report)}" for path in left.files]
    names = [f"{name} {report.packages[name].version}" for name in left.distributions if name in report.packages]
    if names:
        lines.append(f"* {len(names)} distributions: {', '.join(sorted(names))}")
    return lines or (["Nothing of its own in the environment."] if task.is_step else [])


def _next(task: Task, tasks: Sequence[Task], report: Report) -> str:
    later = tasks[tasks.index(task) + 1 :]
    if later:
        return f"[{later[0].number} {later[0].title}]({later[0].label}.md)"
    if report.plan and report.exit_code == 0:
        return f"Serve a model: `{_stable(serve.command(report.plan, str(report.settings.get('prefix', ''))), report)}`"
    return "Nothing: this was the last one."


def _when(result: StepResult | None, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    """All that is another with every run."""
    prefix = str(report.settings.get("prefix", ""))
    lines = [f"* run: {report.run}, started {report.started}, {report.seconds:.1f} s, by vllm-ready {report.tool}"]
    lines += [f"* in this run: {result.seconds:.1f} s"] if result and result.outcome != "kept" else []
    lines += [f"* checks: {', '.join(f'{one.name} {one.seconds:.1f} s' for one in proofs)}"] if proofs else []
    lines += [f"* {said}" for said in report.notes.get(_EARLIER, ())]
    return [*lines, f"* PREFIX={prefix}", f"* ENV={prefix}/{report.generation}" if report.generation else "* ENV: none"]

"""The pages of tasks/task-results/: one for each task, and an index, ordered for small diffs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from provision.engine.check_results import CheckResult
from provision.engine.events import StepResult
from provision.plan import serve
from provision.plan._model import Decision
from provision.report._markup import plain
from provision.report._model import Left, Report
from provision.report._task_ends import (
    NOT_DONE,
    is_unfinished,
    labels,
    outcome,
    problem,
    result_of,
    unfinished_attempt,
)
from provision.report._task_proofs import (
    counts,
    details,
    figure_line,
    figures,
    not_tried,
    proof,
    proofs_of,
    stable,
    stable_line,
    untried,
)
from provision.report.short import first_line, printable
from provision.tasks import Task

INDEX = "README.md"
_EARLIER = "earlier"  # a key of notes that cannot be the label of a step
_SUBJECTS = {"flash_attn": "flash-attn"}  # decisions whose subject differs from their setting


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
    texts = {f"{task.label}.md": _page(task, tasks, report, proving) for task in tasks}
    texts[INDEX] = _index(report, tasks, proving)
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def _merged(report: Report, before: Report) -> Report:
    tried = {check.name for check in report.checks}
    earlier = tuple(check for check in before.checks if check.name not in tried)
    names = ", ".join(check.name for check in earlier)
    note = (f"tried in run {before.run}: {names}",) if names else ()
    figures_before = (figure for figure in before.figures if figure.check not in tried)
    return msgspec.structs.replace(
        report,
        checks=(*earlier, *report.checks),
        figures=(*figures_before, *report.figures),
        notes={**before.notes, **report.notes, _EARLIER: note},
        gpus=report.gpus or before.gpus,
        promised=tuple(dict.fromkeys((*before.promised, *report.promised))),
    )


def _page(
    task: Task, tasks: Sequence[Task], report: Report, proving: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    result, proofs = result_of(task, report), proofs_of(task, report)
    yield from (f"# {task.number} {plain(task.title)}", "", f"**{_headline(task, report)}**")
    yield from _section("What was asked", [task.why or "The task's file gives no reason."])
    yield from _section("", _asked(task, report))
    yield from _section("What was done", _commands(task, report), _no_commands(task, report))
    yield from _section("What went wrong", problem(task, report))
    measured = [figure_line(figure) for figure in figures(proofs, report)]
    yield from _section("What was measured", measured, "Nothing.")
    deviations = _deviations(task, proofs, report)
    yield from _section("What deviates from the plan", deviations, "Nothing.")
    observed = _observed(task, proofs, report)
    yield from _section("What was observed", observed, "Nothing unusual.")
    unproved = "No check of this task was tried, so nothing here proves its result."
    yield from _section("What proves it", [proof(check, report) for check in proofs], unproved)
    if missing := untried(task, proofs, proving):
        yield from _section("", [not_tried(missing, report)])
    yield from _section("What it left", _left(task, report), "Not known to vllm-ready.")
    yield from _section("If it fails", [task.if_it_fails or "Retry with the same command."])
    yield from _section("How to undo it", [task.undo or "The task's file does not say."])
    yield from _section("What comes next", [_next(task, tasks, report)])
    yield from _section("When and where", _when(result, proofs, report))


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
    yield from _section("Tasks", ["| task | | outcome | checks |", "|---|---|---|---|", *rows])
    unproved = [*_unproved(report), *_unfinished(tasks, report)]
    yield from _section("What was not proved", unproved, "Every promised check is proved.")
    without = [task for task in tasks if not proofs_of(task, report)]
    if without:
        names = ", ".join(f"{task.number} {plain(task.title)}" for task in without)
        yield from _section("", [f"No check of these tasks was tried: {names}."])
    notes = [
        f"* {stable_line(note, report)}"
        for label, notes in report.notes.items()
        if label != _EARLIER
        for note in notes
    ]
    yield from _section("What came up on the way", notes, "Nothing.")
    owed = [f"* {plain(name)}: to be proved on the target host" for name in report.owed]
    yield from _section("What is owed", owed, "Nothing.")
    yield from _section("When and where", _when(None, (), report))


def _row(task: Task, report: Report, proving: Mapping[str, Sequence[str]]) -> str:
    proofs = proofs_of(task, report)
    tried = counts(proofs, untried(task, proofs, proving))
    link = f"[{task.number}]({task.label}.md)"
    return f"| {link} | {plain(task.title)} | {_headline(task, report)} | {tried} |"


def _unproved(report: Report) -> list[str]:
    if report.verdict == "not provisioned":
        why = "this host has no plan" if report.unsupported else "the checks did not run"
        reasons = [f"* {stable_line(reason, report)}" for reason in report.unsupported]
        return [f"* nothing was proved: {why}", *reasons]
    lines = [f"* {stable_line(reason, report)}" for reason in report.conclusion.against]
    tried = {*report.promised, *(check.name for check in report.checks)}
    planned = report.plan.checks if report.plan and report.part else ()
    lines += [f"* {plain(name)} was not tried" for name in planned if name not in tried]
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


def _headline(task: Task, report: Report) -> str:
    """Return the outcome and the failed checks; a failure contradicts "still in place"."""
    failed = [check.name for check in proofs_of(task, report) if check.outcome == "fail"]
    text = outcome(task, report)
    if not failed:
        return text
    return f"{text.partition(',')[0]}, but checks FAILED: {plain(', '.join(failed))}"


def _commands(task: Task, report: Report) -> list[str]:
    commands = [
        command for label in labels(task, report) for command in report.commands.get(label, ())
    ]
    lines = [line for command in commands for line in stable(command, report).splitlines()]
    return [f"    {printable(line)}" for line in lines]


def _no_commands(task: Task, report: Report) -> str:
    """Return why the page has no commands."""
    if outcome(task, report) == NOT_DONE:
        return "Nothing: the run did not reach this task."
    if unfinished_attempt(task, report):
        return "It did not finish, and its commands were not recorded."
    left = report.left.get(task.label)
    result = result_of(task, report)
    if (result is None or result.outcome == "kept") and left and not left.run:
        return "It was done in an earlier run, which did not record its commands."
    return "No command was needed."


def _section(title: str, lines: Sequence[str], none: str = "") -> Iterator[str]:
    """Yield a section; one without lines says `none`, or is left out."""
    lines = lines or ([none] if none else [])
    if title and lines:
        yield from ("", f"## {title}")
    if lines:
        yield from ("", *lines)


def _asked(task: Task, report: Report) -> list[str]:
    lines = []
    for name in task.settings:
        if name not in report.settings:
            continue
        value = report.settings[name]
        text = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"* {plain(name)}: {plain(text)}")
        lines += [
            f"  * chosen: {plain(decision.chosen or 'none')}: {plain(decision.because)}"
            for decision in _decisions(report, [name])
        ]
    return lines


def _decisions(report: Report, settings: Sequence[str]) -> list[Decision]:
    subjects = {_SUBJECTS.get(name, name) for name in settings}
    decisions = report.plan.decisions if report.plan else ()
    return [decision for decision in decisions if decision.subject in subjects]


def _deviations(task: Task, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    lines = [
        f"* rejected: {plain(f'{decision.subject} {other.candidate}: {other.reason}')}"
        for decision in _decisions(report, task.settings)
        for other in decision.rejected
    ]
    notes = [note for label in labels(task, report) for note in report.notes.get(label, ())]
    lines += [f"* {stable_line(note, report)}" for note in notes]
    result = result_of(task, report)
    if result and result.outcome == "kept":
        lines.append("* kept from an earlier run, whose commands these are")
    return lines + [
        f"* {plain(check.name)} was not decided: {stable_line(first_line(check.summary), report)}"
        for check in proofs
        if check.outcome in ("skip", "error")
    ]


def _observed(task: Task, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    # Warnings of the plan are about the host, and preflight (10) is the step about the host.
    warnings = report.plan.warnings if report.plan and task.number == 10 else ()
    lines = [f"* {plain(warning)}" for warning in warnings]
    for check in proofs:
        if check.outcome not in ("pass", "skip"):
            lines += details(check, report)
    return lines


def _left(task: Task, report: Report) -> list[str]:
    left = report.left.get(task.label, Left())
    lines = [
        f"* {stable_line(path, report)}" if path[:1] == "/" else f"* $ENV/{plain(path)}"
        for path in left.files
    ]
    names = [name for name in left.distributions if name in report.packages]
    if names:
        versions = sorted(f"{name} {report.packages[name].version}" for name in names)
        lines.append(f"* {len(versions)} packages: {plain(', '.join(versions))}")
    if not lines and unfinished_attempt(task, report):
        return ["Unknown: it did not finish."]
    return lines or (["Nothing of its own in the environment."] if task.is_step else [])


def _next(task: Task, tasks: Sequence[Task], report: Report) -> str:
    later = tasks[tasks.index(task) + 1 :]
    if later:
        return f"[{later[0].number} {plain(later[0].title)}]({later[0].label}.md)"
    if report.plan and report.exit_code == 0:
        command = serve.command(report.plan, str(report.settings.get("prefix", "")))
        return f"Serve a model: `{stable(command, report)}`"
    return "Nothing: this was the last task."


def _when(result: StepResult | None, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    """Return the lines that change with every run; no other section has any."""
    prefix = str(report.settings.get("prefix", ""))
    start = plain(f"{report.run}, started {report.started}")
    lines = [f"* run: {start}, {report.seconds:.1f} s, by vllm-ready {plain(report.tool)}"]
    if result and result.outcome != "kept":
        lines.append(f"* in this run: {result.seconds:.1f} s")
    if proofs:
        times = ", ".join(f"{check.name} {check.seconds:.1f} s" for check in proofs)
        lines.append(f"* checks: {plain(times)}")
    lines += [f"* {plain(note)}" for note in report.notes.get(_EARLIER, ())]
    env = plain(f"{prefix}/{report.generation}")
    env_line = f"* ENV={env}" if report.generation else "* ENV: none"
    return [*lines, f"* PREFIX={plain(prefix)}", env_line]

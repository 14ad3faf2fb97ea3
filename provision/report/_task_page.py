"""The page of one task: its settings, commands, problems, measurements, proofs and files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from provision.events import StepResult
from provision.plan import serve
from provision.plan._model import Decision
from provision.report._markup import plain, section, without_html
from provision.report._model import Left, Report
from provision.report._task_state import (
    NOT_DONE,
    details,
    figure_line,
    figures,
    headline,
    labels,
    not_tried,
    outcome,
    problem,
    proof,
    proofs_of,
    result_of,
    stable,
    stable_line,
    unfinished_attempt,
    untried,
)
from provision.report.short import first_line, printable
from provision.results import CheckResult
from provision.tasks import Task

MOST_PACKAGES = 10  # on a page
EARLIER = "earlier"  # a key of notes that cannot be the label of a step
_SUBJECTS = {"flash_attn": "flash-attn"}  # decisions whose subject differs from their setting


def page(
    task: Task, tasks: Sequence[Task], report: Report, proving: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    result, proofs = result_of(task, report), proofs_of(task, report)
    yield from (f"# {task.number} {plain(task.title)}", "", f"**{headline(task, report)}**")
    # The text of a task is its author's Markdown, so only HTML is escaped.
    yield from section(
        "Purpose and settings", [without_html(task.why) or "The task's file gives no reason."]
    )
    yield from section("", _asked(task, report))
    yield from section("What was done", _commands(task, report), _no_commands(task, report))
    yield from section("What went wrong", problem(task, report))
    yield from section(
        "What was measured", [figure_line(figure) for figure in figures(proofs, report)], "Nothing."
    )
    yield from section("What deviates from the plan", _deviations(task, proofs, report), "Nothing.")
    yield from section("What was observed", _observed(task, proofs, report), "Nothing unusual.")
    yield from section(
        "What proves it",
        [proof(check, report) for check in proofs],
        "No check of this task was tried, so nothing here proves its result.",
    )
    if missing := untried(task, proofs, proving):
        yield from section("", [not_tried(missing, report)])
    yield from section("What it installed", _left(task, report), "Not known to vllm-ready.")
    yield from section(
        "If it fails", [without_html(task.if_it_fails or "Retry with the same command.")]
    )
    yield from section(
        "How to undo it", [without_html(task.undo or "The task's file does not say.")]
    )
    yield from section("What comes next", [_next(task, tasks, report)])
    yield from section("When and where", when(result, proofs, report))


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
    return [
        decision
        for decision in (report.plan.decisions if report.plan else ())
        if decision.subject in subjects
    ]


def _commands(task: Task, report: Report) -> list[str]:
    return [
        f"    {printable(line)}"
        for label in labels(task, report)
        for command in report.commands.get(label, ())
        for line in stable(command, report).splitlines()
    ]


def _no_commands(task: Task, report: Report) -> str:
    if outcome(task, report) == NOT_DONE:
        return "Nothing: the run did not reach this task."
    if unfinished_attempt(task, report):
        return "It did not finish, and its commands were not recorded."
    left = report.left.get(task.label)
    result = result_of(task, report)
    if (result is None or result.outcome == "kept") and left and not left.run:
        return "It was done in an earlier run, which did not record its commands."
    return "No command was needed."


def _deviations(task: Task, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    lines = [
        f"* rejected: {plain(f'{decision.subject} {other.candidate}: {other.reason}')}"
        for decision in _decisions(report, task.settings)
        for other in decision.rejected
    ]
    lines += [
        f"* {stable_line(note, report)}"
        for label in labels(task, report)
        for note in report.notes.get(label, ())
    ]
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
    lines = [
        f"* {plain(warning)}"
        for warning in (report.plan.warnings if report.plan and task.number == 10 else ())
    ]
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
    versions = installed(task, report)
    if len(versions) > MOST_PACKAGES:
        lines.append(f"* [{len(versions)} packages]({list_of(task)})")
    elif versions:
        noun = "package" if len(versions) == 1 else "packages"
        lines.append(f"* {len(versions)} {noun}: {plain(', '.join(versions))}")
    if not lines and unfinished_attempt(task, report):
        return ["Unknown: it did not finish."]
    return lines or (["Nothing of its own in the environment."] if task.is_step else [])


def installed(task: Task, report: Report) -> list[str]:
    """Return the packages that a task has left in the environment, with their versions."""
    left = report.left.get(task.label, Left())
    names = [name for name in left.distributions if name in report.packages]
    return sorted(f"{name} {report.packages[name].version}" for name in names)


def list_of(task: Task) -> str:
    """Return the name of the file with a task's packages; its page would be too long with them."""
    return f"{task.label}-packages.txt"


def _next(task: Task, tasks: Sequence[Task], report: Report) -> str:
    later = tasks[tasks.index(task) + 1 :]
    if later:
        return f"[{later[0].number} {plain(later[0].title)}]({later[0].label}.md)"
    if report.plan and report.exit_code == 0:
        command = serve.command(report.plan, str(report.settings.get("prefix", "")))
        return f"Serve a model: `{stable(command, report)}`"
    return "Nothing: this was the last task."


def when(result: StepResult | None, proofs: Sequence[CheckResult], report: Report) -> list[str]:
    """Return the lines that change with every run; no other section has any."""
    prefix = str(report.settings.get("prefix", ""))
    start = plain(f"{report.run}, started {report.started}")
    lines = [f"* run: {start}, {report.seconds:.1f} s, by vllm-ready {plain(report.tool)}"]
    if result and result.outcome != "kept":
        lines.append(f"* in this run: {result.seconds:.1f} s")
    if proofs:
        times = ", ".join(f"{check.name} {check.seconds:.1f} s" for check in proofs)
        lines.append(f"* checks: {plain(times)}")
    lines += [f"* {plain(note)}" for note in report.notes.get(EARLIER, ())]
    env = plain(f"{prefix}/{report.generation}")
    env_line = f"* ENV={env}" if report.generation else "* ENV: none"
    return [*lines, f"* PREFIX={plain(prefix)}", env_line]

"""Pages of tasks: made from a report alone, ordered for small diffs, claiming nothing unproved."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from provision.engine.discover_tasks import discover
from provision.events import StepResult
from provision.plan._model import Decision, Rejected
from provision.report import read, task_pages
from provision.report._markup import without_html
from provision.report._model import Left, Package, Report
from provision.results import CheckResult, Figure
from provision.tasks import Task
from tests.plan.described import plan

PREFIX, RUN, GENERATION = "/data/envs", "20261120T000000Z-0000", "20261101T000000Z-aaaa"
OWN = Task(
    number=85,
    name="models",
    title="Models",
    commands=(("hf", "x"),),
    checks=("vllm_serves",),
    undo="delete",
)
TASKS = (*discover(), OWN)
CHECKS = (
    CheckResult(
        name="matmul",
        step=40,
        outcome="pass",
        summary="right",
        proves="products are right",
        measured=1,
    ),
    CheckResult(
        name="sdpa",
        step=40,
        outcome="warn",
        summary="slow",
        hint="look",
        evidence={"b": 2, "a": [1]},
    ),
    CheckResult(name="gpus_seen", step=40, outcome="skip", summary="no GPU"),
    CheckResult(
        name="vllm_serves", step=80, outcome="fail", summary=f"see {PREFIX}/{GENERATION}/x"
    ),
)
FIGURE = Figure(
    check="matmul",
    name="rate",
    of={"gpu": "0"},
    value=12.3456,
    unit="TFLOP/s",
    samples=(12.0, 12.5),
    repeats=2,
    method="m",
)
ENDS: tuple[Literal["fail", "warn", "error"], ...] = ("fail", "warn", "error")
TORCH = Decision(
    subject="torch",
    chosen="2.13.0",
    because="vLLM pins it",
    rejected=(Rejected(candidate="2.14.0", reason="too new"),),
)


def report(**changes: object) -> Report:
    original = Report(
        run=RUN,
        started="2026-11-20T00:00:00Z",
        seconds=7.5,
        verdict="not verified",
        exit_code=1,
        host={},
        settings={"prefix": PREFIX, "torch": "auto", "sources": {"pypi": True}},
        plan=msgspec.structs.replace(plan(), decisions=(TORCH,)),
        generation=GENERATION,
        packages={"torch": Package(version="2.13.0")},
        steps=(
            StepResult(number=40, name="torch", outcome="done", seconds=6.4),
            StepResult(number=50, name="vllm", outcome="kept"),
            StepResult(number=60, name="flash-attn", outcome="done"),
            StepResult(number=61, name="toolkit", outcome="done"),
            StepResult(
                number=62,
                name="compile",
                outcome="failed",
                problem=f"no memory\nlog: logs/{RUN}/62.log",
            ),
        ),
        commands={
            "40-torch": (f"uv --python {PREFIX}/{GENERATION}/bin/python x",),
            "62-compile": ("nvcc y",),
        },
        notes={"40-torch": ("numpy is torn and is installed anew",)},
        left={
            "40-torch": Left(run=RUN, files=("pip.conf",), distributions=("torch",)),
            "70-huggingface": Left(run="r"),
        },
        promised=tuple(check.name for check in CHECKS),
        checks=CHECKS,
        owed=("matmul",),
        figures=(FIGURE,),
    )
    return msgspec.structs.replace(original, **changes)


PROVING = {
    "40-torch": ("matmul", "sdpa", "gpus_seen", "cuda_graphs"),
    "30-python": ("matmul_of_old",),
}


def pages(source: Report, before: Report | None = None) -> dict[str, str]:
    return task_pages.pages(source, TASKS, before, PROVING)


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip()


def test_every_task_has_a_page_beside_an_index() -> None:
    assert list(pages(report())) == [*(f"{task.label}.md" for task in TASKS), "README.md"]


def test_the_page_of_a_step() -> None:
    page = pages(report())["40-torch.md"]
    assert "* torch: auto\n  * chosen: 2.13.0: vLLM pins it" in section(
        page, "Purpose and settings"
    )
    assert section(page, "What was done") == "uv --python $ENV/bin/python x"
    assert section(page, "What was measured") == (
        "* matmul: rate (gpu 0): 12.35 TFLOP/s, spread 3.3% over 2 repeats; m"
    )
    assert section(page, "What deviates from the plan").splitlines() == [
        "* rejected: torch 2.14.0: too new",
        "* numpy is torn and is installed anew",
        "* gpus_seen was not decided: no GPU",
    ]
    assert "* sdpa: slow (look)" in section(page, "What was observed")
    assert '"a": [' in section(page, "What was observed")
    assert "* **matmul: pass.** Proves: products are right. right" in section(
        page, "What proves it"
    )
    assert "* **gpus_seen: skip.**" in section(page, "What proves it")
    assert section(page, "What it installed") == "* $ENV/pip.conf\n* 1 package: torch 2.13.0"
    assert section(page, "What comes next") == "[50 vLLM](50-vllm.md)"
    assert f"ENV={PREFIX}/{GENERATION}" in section(page, "When and where")


def test_a_failed_part_fails_its_step() -> None:
    page = pages(report())["60-flash-attn.md"]
    assert "**FAILED**" in page
    assert section(page, "What went wrong") == "no memory\n    log: logs/$RUN/62.log"
    assert section(page, "What was done") == "nvcc y"
    assert "nvcc" not in pages(report())["50-vllm.md"]


def test_unreached_and_earlier_tasks_differ() -> None:
    texts = pages(report())
    assert "**not done**" in texts["10-preflight.md"]
    assert (
        section(texts["10-preflight.md"], "What was done")
        == "Nothing: the run did not reach this task."
    )
    assert "**done in an earlier run, still in place**" in texts["70-huggingface.md"]
    assert "**kept from an earlier run**" in texts["50-vllm.md"]
    assert "nothing here proves its result" in texts["30-python.md"]


def test_an_earlier_failure_is_not_called_unreached() -> None:
    left = {
        "85-models": Left(run="r", outcome="failed"),
        "70-huggingface": Left(run=RUN, outcome="interrupted"),
    }
    texts = pages(report(left=left))
    assert "**FAILED in an earlier run; checks FAILED: vllm_serves**" in texts["85-models.md"]
    assert "logs/r/85-models.log" in section(texts["85-models.md"], "What went wrong")
    assert "did not reach" not in texts["85-models.md"] + texts["70-huggingface.md"]
    assert "**interrupted**" in texts["70-huggingface.md"]
    assert section(texts["70-huggingface.md"], "What it installed") == "Unknown: it did not finish."
    unproved = section(texts["README.md"], "What was not proved").splitlines()
    assert {"* 85 Models: FAILED in an earlier run", "* 70 Hugging Face hub: interrupted"} < {
        *unproved
    }


def test_the_index_names_unproved_and_owed_checks() -> None:
    index = pages(report())["README.md"]
    assert "**not verified** (exit code 1)" in index
    assert (
        "| [40](40-torch.md) | PyTorch | done | 1 skipped, 1 warned, 1 passed, 1 not tried |"
        in index
    )
    assert (
        "| [80](80-launchers.md) | The vllm command | not done; checks FAILED: vllm_serves | 1 FAILED |"
        in index
    )
    assert "| [20](20-toolchain.md) | Compiler and Python headers | not done | none |" in index
    assert section(index, "What was not proved").splitlines()[:3] == [
        "* vllm_serves failed",
        "* gpus_seen was skipped",
        "* sdpa warns: slow",
    ]
    assert "No check of these tasks was tried: 10 Preflight, 20 Compiler" in section(
        index, "What was not proved"
    )
    assert "40 PyTorch" not in section(index, "What was not proved")
    assert "matmul: to be proved on the target host" in section(
        index, "What the target host must prove"
    )
    assert section(index, "Notes of the run") == "* numpy is torn and is installed anew"
    broken = pages(report(verdict="not provisioned", checks=(), generation=""))["README.md"]
    assert "nothing was proved: the checks did not run" in section(broken, "What was not proved")


def test_the_index_starts_with_regressions_and_doubts() -> None:
    regressed = report(
        checks=CHECKS[:1],
        promised=("matmul",),
        owed=(),
        verdict="verified",
        regressions=("rate: slower by 12 %",),
    )
    head = pages(regressed)["README.md"].partition("\n## ")[0]
    assert "**not current**: the old one did better" in head
    assert "* rate: slower by 12 %" in head
    assert "did better" not in pages(report())["README.md"].partition("\n## ")[0]
    lie = pages(report(verdict="verified", exit_code=0))["README.md"].splitlines()
    assert lie[2].startswith(
        "**This report says verified, but its contents do not support that: vllm_serves failed"
    )


def test_untried_checks_are_named_and_prove_nothing() -> None:
    text = section(pages(report())["30-python.md"], "What proves it")
    assert text.startswith("No check of this task was tried")
    assert "Not tried: matmul_of_old (the plan of this host does not promise it)." in text
    promising = msgspec.structs.replace(plan(), checks=("cuda_graphs", "vllm_serves"))
    texts = pages(
        report(steps=(), promised=("vllm_serves",), checks=CHECKS[3:], figures=(), plan=promising)
    )
    assert "Not tried: cuda_graphs (the plan promises it)" in section(
        texts["40-torch.md"], "What proves it"
    )
    assert "* cuda_graphs was not tried" in section(texts["README.md"], "What was not proved")


def test_many_packages_are_in_a_file_beside_the_page() -> None:
    names = [f"package-{number:02}" for number in range(12)]
    many = report(
        packages={name: Package(version="1.0") for name in names},
        left={"40-torch": Left(run="r", distributions=tuple(names))},
    )
    texts = pages(many)
    assert "* [12 packages](40-torch-packages.txt)" in texts["40-torch.md"]
    assert texts["40-torch-packages.txt"].splitlines() == [f"{name} 1.0" for name in names]


def test_a_failed_check_is_in_the_headline() -> None:
    left = {"80-launchers": Left(run="r")}
    page = pages(report(steps=(), left=left))["80-launchers.md"]
    assert "**done in an earlier run; checks FAILED: vllm_serves**" in page


def test_unrecorded_commands_are_not_called_none() -> None:
    page = pages(report(steps=(), left={"50-vllm": Left()}))["50-vllm.md"]
    assert (
        section(page, "What was done")
        == "It was done in an earlier run, which did not record its commands."
    )


def test_a_summary_of_many_lines_breaks_no_page() -> None:
    text = "\n".join(
        ["InductorError: no compiler", "", "# deep", *(f"| line {n}" for n in range(200))]
    )
    outcomes: dict[str, Literal["fail", "warn", "error"]] = {"a": "fail", "b": "warn", "c": "error"}
    checks = tuple(
        CheckResult(name=name, step=40, outcome=outcome, summary=text, hint="look\n# there")
        for name, outcome in outcomes.items()
    )
    texts = pages(report(checks=checks, figures=(), promised=("a", "b", "c"), owed=()))
    for page in (texts["40-torch.md"], texts["README.md"]):
        assert "InductorError: no compiler" in page
        assert not [
            line for line in page.splitlines() if line.startswith(("# deep", "# there", "| line"))
        ]
        assert len(page.splitlines()) < 200
    assert "    # deep" in texts["40-torch.md"]


HARM = "<img src=x onerror=alert(1)> [l](javascript:a) **b** `c` | d &lt; \x1b[2J\u202e_e_"


def test_no_text_of_a_report_is_markup() -> None:
    checks = tuple(
        CheckResult(
            name=f"{outcome} {HARM}", step=40, outcome=outcome, summary=HARM, proves=HARM, hint=HARM
        )
        for outcome in ENDS
    )
    checks = (
        *checks,
        msgspec.structs.replace(checks[0], summary=f"more\n{HARM}", evidence={HARM: HARM}),
    )
    figure = msgspec.structs.replace(
        FIGURE, check=checks[0].name, name=HARM, of={HARM: HARM}, method=HARM
    )
    left = {"40-torch": Left(run=RUN, files=(HARM, f"/{HARM}"), distributions=("torch",))}
    texts = pages(
        report(
            checks=checks,
            figures=(figure,),
            promised=(HARM,),
            owed=(HARM,),
            notes={"40-torch": (HARM,)},
            settings={"prefix": PREFIX, "torch": HARM},
            left=left,
            steps=(StepResult(number=40, name="torch", outcome="failed", problem=HARM),),
            regressions=(HARM,),
            tool=HARM,
        )
    )
    markup = re.compile(r"(?<!\\)(?:<img|\[l|\]\(javascript|`c|\*\*b|\| d|&lt|\b_e_)")
    for page in (texts["40-torch.md"], texts["README.md"]):
        assert "onerror" in page
        assert not {"\x1b", "\u202e"} & {*page}
        for line in page.splitlines():
            assert line.startswith("    ") or not markup.search(line), line


def test_evidence_is_shown_as_code() -> None:
    checks = (
        CheckResult(name="a", step=40, outcome="warn", summary="one\ntwo"),
        CheckResult(name="b", step=40, outcome="warn", summary="three", evidence={"x": 1}),
        CheckResult(name="c", step=40, outcome="warn", summary="four"),
        CheckResult(name="d", step=40, outcome="warn", summary="five"),
    )
    text = section(
        pages(report(checks=checks, figures=(), owed=()))["40-torch.md"], "What was observed"
    )
    code = (
        '* a: one\n\n      two\n* b: three\n\n      {\n       "x": 1\n      }\n* c: four\n* d: five'
    )
    assert text == code


def test_earlier_proofs_are_shown_for_untried_checks() -> None:
    kept = report(checks=(), figures=(), promised=(), owed=())
    page = pages(kept, report(run="20261119T000000Z-1111"))["40-torch.md"]
    assert "matmul: pass." in section(page, "What proves it")
    assert "rate" in section(page, "What was measured")
    assert "tried in run 20261119T000000Z-1111: matmul" in section(page, "When and where")
    elsewhere = pages(kept, report(generation="another"))["40-torch.md"]
    assert "nothing here proves" in section(elsewhere, "What proves it")


def test_only_the_last_section_changes_with_every_run() -> None:
    again = report(
        run="20261121T000000Z-1111",
        started="2026-11-21T00:00:00Z",
        seconds=9.0,
        generation="20261102T-b",
    )
    text = (
        msgspec.json.encode(again)
        .decode()
        .replace(GENERATION, "20261102T-b")
        .replace(RUN, again.run)
    )
    second = pages(read.report(text.encode(), "r"))
    for name, page in pages(report()).items():
        stable, mark, changing = page.partition("\n## When and where\n")
        assert mark
        assert second[name].startswith(stable + mark)
        assert second[name] != page
        assert RUN not in stable
        assert RUN in changing


def test_pages_can_be_rendered_from_the_report_file() -> None:
    assert pages(read.report(msgspec.json.encode(report()), "r")) == pages(report())


def test_the_last_page_shows_the_command_that_serves() -> None:
    good = report(exit_code=0, verdict="verified")
    assert "`$PREFIX/current/bin/vllm serve MODEL" in section(
        pages(good)["85-models.md"], "What comes next"
    )
    assert "the last task" in section(pages(report())["85-models.md"], "What comes next")


def test_the_reason_of_a_task_keeps_its_markdown_and_not_its_html() -> None:
    assert without_html("**bold** a < b <img src=x> </p> <!-- c -->") == (
        r"**bold** a < b \<img src=x> \</p> \<!-- c -->"
    )

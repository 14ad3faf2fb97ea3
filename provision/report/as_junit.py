"""A report as JUnit XML for CI systems: the verdict, every step and every check is a test case."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from provision.events import StepResult
from provision.report import short
from provision.report._model import Report
from provision.results import CheckResult

# XML 1.0 has no way to write these characters, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(report: Report) -> str:
    """Return the document; a verdict other than "verified" is a failure, "undecided" an error."""
    root = ET.Element("testsuites", name="vllm-ready")
    suites = [_add_suite(root, name, report) for name in ("verdict", "steps", "checks")]
    _add_verdict(suites[0], report)
    for step in report.steps:
        _add_step(suites[1], step)
    for check in report.checks:
        _add_check(suites[2], check)
    for suite in suites:
        _count(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add_suite(root: ET.Element, name: str, report: Report) -> ET.Element:
    suite = ET.SubElement(root, "testsuite", name=f"vllm-ready.{name}")
    # The schema of JUnit allows no time zone.
    suite.set("timestamp", _legal(report.started.removesuffix("Z")))
    properties = ET.SubElement(suite, "properties")
    values = {
        "doubt": report.doubt,
        "part": report.part,
        "run": report.run,
        "verdict": report.verdict,
        "exit code": str(report.exit_code),
        "generation": report.generation,
    }
    for key, value in values.items():
        if value:
            ET.SubElement(properties, "property", name=key, value=_legal(value))
    return suite


def _count(suite: ET.Element) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _add_case(suite: ET.Element, name: str, seconds: float) -> ET.Element:
    return ET.SubElement(
        suite,
        "testcase",
        classname=suite.get("name", ""),
        name=_legal(name),
        time=f"{max(seconds, 0):.3f}",
    )


def _add_verdict(suite: ET.Element, report: Report) -> None:
    case = _add_case(suite, "verified", report.seconds)
    if report.doubt:
        _add_problem(case, "failure", f"the report {report.doubt}", "")
    elif report.verdict != "verified" or report.regressions:
        kind = "error" if report.verdict == "undecided" else "failure"
        not_current = ", but not made current" if report.regressions else ""
        owed = [f"still to be proved on the target host: {name}" for name in report.owed]
        details = "\n".join([*report.problems, *owed])
        _add_problem(case, kind, f"{report.verdict}{not_current}", details)


def _add_step(suite: ET.Element, step: StepResult) -> None:
    case = _add_case(suite, f"{step.number} {step.name}", step.seconds)
    if step.outcome == "failed":
        _add_problem(case, "failure", short.first_line(step.problem), step.problem)


def _add_check(suite: ET.Element, check: CheckResult) -> None:
    case = _add_case(suite, check.name, check.seconds)
    log = f"log: {check.log}" if check.log else ""
    evidence = short.evidence(check.evidence)
    details = "\n".join(filter(None, (check.summary, check.hint, *check.lines, log, evidence)))
    if check.outcome == "skip":
        ET.SubElement(case, "skipped", message=_legal(check.summary))
    elif check.outcome == "warn":
        # JUnit has no outcome between pass and failure.
        ET.SubElement(case, "system-out").text = _legal(f"warning: {details}")
    elif check.outcome in ("fail", "error"):
        _add_problem(
            case, "failure" if check.outcome == "fail" else "error", check.summary, details
        )


def _add_problem(case: ET.Element, kind: str, message: str, details: str) -> None:
    ET.SubElement(case, kind, message=_legal(message), type=kind).text = _legal(details)


def _legal(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

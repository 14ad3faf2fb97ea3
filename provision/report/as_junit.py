"""A report as JUnit XML, for what shows test results: the verdict, every step and every check is a test case."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

from provision.engine.check_results import CheckResult
from provision.engine.events import StepResult
from provision.report import short
from provision.report._model import Report

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(report: Report) -> str:
    """A verdict that is not "verified" is a failure or, where it was not decided, an error."""
    root = ET.Element("testsuites", name="vllm-ready")
    suites = [_suite(root, name, report) for name in ("verdict", "steps", "checks")]
    _verdict(suites[0], report)
    for step in report.steps:
        _step(suites[1], step)
    for check in report.checks:
        _check(suites[2], check)
    for suite in suites:
        _count(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, name: str, report: Report) -> ET.Element:
    suite = ET.SubElement(root, "testsuite", name=f"vllm-ready.{name}")
    suite.set("timestamp", _legal(report.started.removesuffix("Z")))
    properties = {"run": report.run, "verdict": report.verdict, "exit code": str(report.exit_code)}
    said = ET.SubElement(suite, "properties")
    for key, value in {
        "doubt": report.doubt,
        "part": report.part,
        **properties,
        "generation": report.generation,
    }.items():
        if value:
            ET.SubElement(said, "property", name=key, value=_legal(value))
    return suite


def _count(suite: ET.Element) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _case(suite: ET.Element, name: str, seconds: float) -> ET.Element:
    time = f"{max(seconds, 0):.3f}"
    return ET.SubElement(suite, "testcase", classname=suite.get("name", ""), name=_legal(name), time=time)


def _verdict(suite: ET.Element, report: Report) -> None:
    case = _case(suite, "verified", report.seconds)
    if report.doubt:
        _told(case, "failure", f"the report {report.doubt}", "")
    elif report.verdict != "verified" or report.regressions:
        kind = "error" if report.verdict == "undecided" else "failure"
        message = f"{report.verdict}, and not made current" if report.regressions else report.verdict
        _told(case, kind, message, "\n".join([*report.against, *(f"owed: {name}" for name in report.owed)]))


def _step(suite: ET.Element, step: StepResult) -> None:
    case = _case(suite, f"{step.number} {step.name}", step.seconds)
    if step.outcome == "failed":
        _told(case, "failure", short.first_line(step.problem), step.problem)


def _check(suite: ET.Element, check: CheckResult) -> None:
    case = _case(suite, check.name, check.seconds)
    evidence = json.dumps(check.evidence, indent=1, ensure_ascii=False) if check.evidence else ""
    said = "\n".join(part for part in (check.summary, check.hint, evidence) if part)
    if check.outcome == "skip":
        ET.SubElement(case, "skipped", message=_legal(check.summary))
    elif check.outcome == "warn":
        ET.SubElement(case, "system-out").text = _legal(f"warning: {said}")
    elif check.outcome in ("fail", "error"):
        _told(case, "failure" if check.outcome == "fail" else "error", check.summary, said)


def _told(case: ET.Element, kind: str, message: str, said: str) -> None:
    ET.SubElement(case, kind, message=_legal(message), type=kind).text = _legal(said)


def _legal(text: str) -> str:
    """XML has no way to write most control characters."""
    return _NOT_XML.sub("\ufffd", text)

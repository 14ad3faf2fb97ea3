"""Measure which statements of the checks run in their tests, in every process.

`python benchmarks/coverage.py [PYTEST ARGUMENTS...]`; without arguments: tests/checks and the tests
of the launcher. VLLM_READY_TEST_ENV=PYTHON names a vLLM that exists. The tests run in a copy of
this tree, in which each file of checks/ starts a tracer in the process that imports it: bodies run
in forks and under `python -I`, which reads no variable of ours.

Not seen: code in strings that a child gets by -c, such as that of flashinfer_compiles, and code
whose process cannot write to the folder of temporary files. A traced process is slower, so a test
with a deadline may fail: pytest's last lines are printed.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv*", "envs", "logs", "__pycache__", ".*_cache", "task-results")
FUTURE = "from __future__ import annotations"
# Stands behind the import from __future__, so that the numbers of the lines stay as they are.
HOOK = (
    "exec(__import__('pathlib').Path({tracer!r}).read_text(), "
    "{{'frame': __import__('sys')._getframe(), 'out': {out!r}}})"
)
TESTS = ("tests/checks", "tests/engine/test_launch_checks.py")
TRACER = """
import os, sys, threading

def trace(out):
    files, seen = set(), set()

    def on_call(frame, event, argument):
        return on_line if frame.f_code.co_filename in files else None

    def on_line(frame, event, argument):
        line = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and line not in seen:
            seen.add(line)
            write(f"{os.path.basename(line[0])} {line[1]}\\n")
        return on_line

    def write(text):
        # At once, since a check may be killed; and by another user in some tests.
        try:
            file = os.open(out, os.O_WRONLY | os.O_APPEND)
            os.write(file, text.encode())
            os.close(file)
        except OSError:
            pass

    sys.settrace(on_call)
    threading.settrace(on_call)
    return files, on_line

if not hasattr(sys, "trace_of_checks"):
    sys.trace_of_checks = trace(out)
files, on_line = sys.trace_of_checks
files.add(frame.f_code.co_filename)
frame.f_trace = on_line
"""
GOAL = 95.0  # percent of the statements, in all files together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", metavar="FILE", help="also write the lines that ran to FILE")
    options, arguments = parser.parse_known_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="coverage-") as place:
        ran, last = run_tests(Path(place), arguments or list(TESTS))
        if options.keep:
            shutil.copy(Path(place) / "lines", options.keep)
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {time.monotonic() - began:.0f} s")
    print(*last, "", "| file | statements | ran | % |", "|---|---|---|---|", sep="\n")
    never: list[str] = []
    counts = [0, 0]
    for path in sorted((ROOT / "checks").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        first_of = statements(ast.parse(text))
        every = set(first_of.values())
        reached = {first_of[line] for line in ran.get(path.name, ()) if line in first_of}
        counts = [counts[0] + len(every), counts[1] + len(reached)]
        print(row(path.name, len(every), len(reached)))
        lines = text.splitlines()
        never += [
            f"checks/{path.name}:{line}: {lines[line - 1].strip()}"
            for line in sorted(every - reached)
        ]
    print(row("all", *counts))
    print(f"\nThe goal is {GOAL:g} %. Never run, {len(never)} statements:\n", *never, sep="\n")


def row(name: str, every: int, reached: int) -> str:
    return f"| {name} | {every} | {reached} | {100 * reached / every if every else 100:.1f} |"


def run_tests(place: Path, arguments: list[str]) -> tuple[dict[str, set[int]], list[str]]:
    """Return the lines of each file that ran, and the last lines of pytest."""
    tree, tracer, out = place / "tree", place / "tracer.py", place / "lines"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    tracer.write_text(TRACER, encoding="utf-8")
    out.touch()
    place.chmod(0o755)  # some tests are another user's
    out.chmod(0o666)
    hook = HOOK.format(tracer=str(tracer), out=str(out))
    for path in (tree / "checks").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(FUTURE, f"{FUTURE}; {hook}", 1), encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(argv, cwd=tree, stdout=subprocess.PIPE, text=True, check=False)
    ran: dict[str, set[int]] = {}
    for line in out.read_text(encoding="utf-8").splitlines():
        name, _, number = line.partition(" ")
        ran.setdefault(name, set()).add(int(number))
    return ran, done.stdout.splitlines()[-8:]


def statements(tree: ast.Module) -> dict[int, int]:
    """Return for each line of a statement the line that the innermost one begins with."""
    first_of: dict[int, int] = {}
    for node in walk(tree):
        first = min([node.lineno, *(line.lineno for line in getattr(node, "decorator_list", ()))])
        first_of.update(dict.fromkeys(range(first, (node.end_lineno or first) + 1), first))
    return first_of


def walk(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements that are executed, each before those inside it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and not is_silent(child):
            yield child
        yield from walk(child)


def is_silent(node: ast.stmt) -> bool:
    """Return whether a statement is a docstring or runs before the tracer starts."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


if __name__ == "__main__":
    main()

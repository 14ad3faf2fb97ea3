"""Print the figures of how the code reads: sizes, docstrings, comments, words, long lines.

`python benchmarks/language.py [FOLDER...]`; without arguments: provision and checks.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELATIVE = ("what", "where", "who", "whose", "whom", "whether", "whatever", "whoever", "wherever")
VAGUE = re.compile(r"\b(no|some|any)body\b|\bwho(m|so)?ever\b|\bwhatever\b", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
LONGEST_LINE = 100

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="*", default=["provision", "checks"])
    folders = [ROOT / folder for folder in parser.parse_args().folders]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    print("| figure | value | goal |\n|---|---|---|")
    for name, value, goal in figures(paths):
        print(f"| {name} | {value} | {goal} |")
    print("\n| room | files | statements |\n|---|---|---|")
    for room, inside in by_room(paths).items():
        print(f"| {room} | {len(inside)} | {sum(map(statements, inside))} |")
    print(f"| all | {len(paths)} | {sum(map(statements, paths))} |")


def figures(paths: list[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield each figure with its value and its goal."""
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    lines = [line for text in texts.values() for line in text.splitlines()]
    sizes = [text.count("\n") for text in texts.values()]
    functions = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    docstrings = [text for tree in trees.values() for text in docstrings_of(tree)]
    relative = [text for text in docstrings if text.split()[0].lower().strip("`,:") in RELATIVE]
    comments = [comment for text in texts.values() for comment in comments_of(text)]
    prose = " ".join(
        [*docstrings, *comments, *(text for tree in trees.values() for text in strings_of(tree))]
    )
    long = [line for line in lines if len(line) > LONGEST_LINE]
    code = sum(1 for line in lines if line.strip())
    yield "files / lines", f"{len(paths)} / {len(lines)}", ""
    yield "lines per file: median / max", f"{statistics.median(sizes):.0f} / {max(sizes)}", ""
    ninth = functions[len(functions) * 9 // 10]
    yield (
        "lines per function: median / p90 / max",
        f"{statistics.median(functions):.0f} / {ninth} / {functions[-1]}",
        "",
    )
    yield (
        "docstrings that begin with a relative word",
        share(len(relative), len(docstrings)),
        "at most 1 %",
    )
    yield (
        "vague subjects in 1,000 words",
        f"{1000 * len(VAGUE.findall(prose)) / len(WORD.findall(prose)):.2f}",
        "0.2",
    )
    yield f"lines over {LONGEST_LINE} columns", share(len(long), len(lines)), "at most 1 %"
    yield "comment lines in 100", f"{100 * len(comments) / code:.1f}", "4 to 9"
    yield (
        "README words",
        str(len((ROOT / "README.md").read_text(encoding="utf-8").split())),
        "at most 1,200",
    )


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)"


def docstrings_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield text


def strings_of(tree: ast.Module) -> Iterator[str]:
    """Yield every text of several words except docstrings: messages, hints, help."""
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, Documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documented
        ):
            yield from [node.value] * (" " in node.value)


def comments_of(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def statements(path: Path) -> int:
    return sum(
        isinstance(node, ast.stmt) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def by_room(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Group files by folder; a file directly in `provision` is a group of its own."""
    rooms: dict[str, list[Path]] = {}
    for path in paths:
        parts = path.relative_to(ROOT).parts
        rooms.setdefault("/".join(parts[:2]) if parts[0] == "provision" else parts[0], []).append(
            path
        )
    return rooms


if __name__ == "__main__":
    main()

"""Mutants of functions: each differs by one small change, such as a slip of the pen would make."""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

_OTHERWISE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.LtE: ast.Gt,
    ast.Lt: ast.GtE,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_PARTS = {
    ast.List: "elts",
    ast.Tuple: "elts",
    ast.Set: "elts",
    ast.BoolOp: "values",
    ast.Call: "keywords",
}
Change = Callable[[Any], "ast.AST | None"]


class Mutant(NamedTuple):
    """A change, its line, and the names of the module with the changed functions among them."""

    line: int
    what: str
    names: dict[str, Any]


def mutants(module: ModuleType, names: Iterable[str] = ()) -> Iterator[Mutant]:
    """Return all mutants of the named functions, or of a whole module, which stays as it is."""
    tree = ast.parse(inspect.getsource(module))
    chosen = set(names)
    definitions = [
        _bare(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (not chosen or node.name in chosen)
    ]
    functions = ast.Module(body=list(definitions), type_ignores=[])
    for at, node in enumerate(ast.walk(functions)):
        for change in _changes(node):
            other = copy.deepcopy(functions)
            place = list(ast.walk(other))[at]
            before = ast.unparse(place)
            after = change(place)
            if after is not None:
                _put(other, place, after)
            ast.fix_missing_locations(other)
            names_ = {**vars(module)}
            code = compile(
                other, f"mutant of {module.__name__}", "exec", dont_inherit=True, flags=_FLAGS
            )
            exec(code, names_)
            what = f"{before}  ->  {ast.unparse(after or place)}"
            yield Mutant(getattr(node, "lineno", 0), what, names_)


_FLAGS = __import__("__future__").annotations.compiler_flag


def _bare(function: ast.FunctionDef) -> ast.FunctionDef:
    """Remove decorators, annotations and the docstring: they change no result."""
    function.decorator_list, function.returns = [], None
    for argument in (*function.args.args, *function.args.kwonlyargs):
        argument.annotation = None
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Name("object", ast.Load())
    if ast.get_docstring(function):
        function.body = function.body[1:]
    return function


def _put(tree: ast.AST, place: ast.AST, other: ast.AST) -> None:
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if value is place:
                setattr(node, name, other)
            elif isinstance(value, list):
                setattr(node, name, [other if item is place else item for item in value])


def _changes(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        yield _negated
    if isinstance(node, ast.BoolOp):
        yield _swapped
    if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.BoolOp, ast.Call)):
        field = _PARTS[type(node)]
        loaded = not isinstance(getattr(node, "ctx", None), ast.Store)
        yield from (_without(field, at) for at in range(len(getattr(node, field))) if loaded)
    if isinstance(node, ast.Dict):
        yield from (_without_key(at) for at in range(len(node.keys)))
    if isinstance(node, ast.comprehension):
        yield from (_without("ifs", at) for at in range(len(node.ifs)))
    if isinstance(node, ast.Constant):
        yield _another
    if isinstance(node, (ast.If, ast.IfExp)):
        yield from (_always(so) for so in (True, False))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda place: place.operand
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.args
        and node.func.id in _LESS
    ):
        yield lambda place: place.args[0]
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        yield lambda _: ast.Pass()
    if isinstance(node, ast.Return):
        yield lambda _: ast.Return(ast.Constant(None))
    if isinstance(node, ast.FunctionDef):
        yield from (_ends_after(at) for at in range(len(node.body) - 1))


_LESS = {"sorted", "bool", "any", "all", "set", "list", "tuple", "len"}


def _negated(place: ast.Compare) -> None:
    place.ops[0] = _OTHERWISE[type(place.ops[0])]()


def _swapped(place: ast.BoolOp) -> None:
    place.op = ast.And() if isinstance(place.op, ast.Or) else ast.Or()


def _without(field: str, at: int) -> Change:
    def change(place: ast.AST) -> ast.AST | None:
        left = getattr(place, field)
        left.pop(at)
        return left[0] if isinstance(place, ast.BoolOp) and len(left) == 1 else None

    return change


def _without_key(at: int) -> Change:
    def change(place: ast.Dict) -> None:
        del place.keys[at], place.values[at]

    return change


def _another(place: ast.Constant) -> None:
    value: Any = place.value
    place.value = (
        f"{value}?"
        if isinstance(value, str)
        else not value
        if isinstance(value, bool)
        else (value or 0) + 1
    )


def _always(so: bool) -> Change:
    def change(place: ast.If) -> None:
        place.test = ast.Constant(so)

    return change


def _ends_after(at: int) -> Change:
    """Return too early."""

    def change(place: ast.FunctionDef) -> None:
        place.body.insert(at, ast.Return(ast.List([], ast.Load())))

    return change

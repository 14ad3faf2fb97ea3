"""What became another of a host: its facts laid side by side, without what moves by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from provision.host._model import ALL
from provision.report._comparison import Change, change
from provision.report._gpu_names import Facts, labels

Moving = Mapping[str, tuple[str, ...]]
_Found = tuple[tuple[str, ...], str, str]  # where, before, after

_SAY_WHICH = ("bus_id", "id", "path", "kernel", "name")  # the first that tells the elements of a list apart
# Another driver brings its library, its CUDA and its fabric manager; another kernel was installed before it was booted.
_COMES_WITH = {"driver": ("driver", "nvml", "fabric_manager"), "kernel": ("kernel_modules",)}
_BESIDE_VERSION = ("library", "on_disk", "flavour")
_EMPTY = (None, ...)  # a field that an older recording does not have yet says no more than an empty one
_NOTHING = {"limits": "unlimited"}  # what None means, where it is not "none"


def host_changes(before: Facts, after: Facts, moving: Moving) -> list[Change]:
    """Of the facts that both have; one change for what is one, on however many GPUs it shows."""
    found = _without_followers(list(_found(before, after, moving)))
    return [_change(*one) for one in _over_gpus(_of_one_thing(found))]


def unrecorded(before: Facts, after: Facts) -> list[str]:
    """The facts that only one of them has."""
    return sorted(set(before) ^ set(after))


def _found(before: Facts, after: Facts, moving: Moving) -> Iterator[_Found]:
    old = labels(before, {})
    new = labels(after, old)
    lone = set(old.values()) ^ set(new.values())  # GPUs that only one of them has
    for name in sorted(set(before) & set(after)):
        what_moves = moving.get(name, ())
        if what_moves == ALL:
            continue
        sides = (_tree(_still(side[name], what_moves), name, who) for side, who in ((before, old), (after, new)))
        for where, one, other in _walk((name,), *sides):
            if name == "gpus" or not lone & {gpu for each in where for gpu in each.split(" - ")}:
                yield where, _said(one, name), _said(other, name)


def _still(value: Any, moving: tuple[str, ...]) -> Any:  # noqa: ANN401 - plain JSON
    if isinstance(value, dict):
        if value.get("type") == "Missing":
            return f"({value.get('why')})"
        return {key: _still(one, moving) for key, one in value.items() if key not in moving}
    if isinstance(value, (list, tuple)):
        return [_still(one, moving) for one in value if not (isinstance(one, str) and one in moving)]
    return value


def _tree(value: Any, name: str, labels: dict[str, str]) -> Any:  # noqa: ANN401 - plain JSON
    """Lists become objects: their elements have names, and no order that means anything."""
    if isinstance(value, dict):
        return {key: _tree(one, name, labels) for key, one in value.items()}
    if not isinstance(value, list):
        return value
    if not value or not all(isinstance(one, dict) for one in value):
        return {_said(one, name): _said(one, name) for one in value}
    if all({"a", "b"} <= set(one) for one in value):
        return {" - ".join(sorted(labels.get(str(one[end]), str(one[end])) for end in "ab")): one for one in value}
    field = next((each for each in _SAY_WHICH if _tells_apart(value, each)), None)
    if field is None:
        return {json.dumps(one, sort_keys=True): _said(one, name) for one in value}
    is_gpu = name.startswith("gpu") and "id" in value[0]
    named = {labels.get(str(one[field]), str(one[field])): one for one in value}
    return {
        key: {part: _tree(inner, name, {}) for part, inner in one.items() if not (is_gpu and part in ("id", "bus_id"))}
        for key, one in named.items()
    }


def _tells_apart(elements: list[Any], field: str) -> bool:
    return len({str(one[field]) for one in elements if one.get(field) is not None}) == len(elements)


def _walk(where: tuple[str, ...], before: Any, after: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:  # noqa: ANN401
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _walk((*where, key), before.get(key, ...), after.get(key, ...))
    elif before != after and not (before in _EMPTY and after in _EMPTY):
        yield where, before, after


def _said(value: Any, name: str) -> str:  # noqa: ANN401 - plain JSON
    if value is ...:
        return ""
    if value is None:
        return _NOTHING.get(name, "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if value and all(isinstance(one, dict) for one in value.values()):  # what was a list
            return ", ".join(value)
        named = next(
            (value[key] for key in ("name", "version", "model", "kind", "state", "profile") if value.get(key)), None
        )
        return str(named) if named else json.dumps(value, sort_keys=True)[:80]
    return str(value) or '""'


def _without_followers(found: list[_Found]) -> list[_Found]:
    heads = {where[0] for where, *_ in found if where in (("driver",), ("driver", "version"), ("kernel",))}
    led = {follower for head in heads for follower in _COMES_WITH[head]} - heads
    kept = [one for one in found if one[0][0] not in led]
    return [one for one in kept if not ("driver" in heads and one[0][0] == "driver" and one[0][-1] in _BESIDE_VERSION)]


def _of_one_thing(found: list[_Found]) -> list[_Found]:
    """Soft and hard of one limit, MIG and its slices: what has one parent below a fact is one thing."""
    by_parent: dict[tuple[str, ...], list[_Found]] = {}
    for one in found:
        by_parent.setdefault(one[0][:2] if len(one[0]) > 2 else one[0], []).append(one)
    return [of[0] if len(of) == 1 else _together(parent, of) for parent, of in by_parent.items()]


def _together(parent: tuple[str, ...], parts: list[_Found]) -> _Found:
    sides = ([f"{' '.join(one[0][len(parent) :])} {one[side]}" for one in parts if one[side]] for side in (1, 2))
    before, after = (", ".join(said) for said in sides)
    return parent, before, after


def _over_gpus(found: list[_Found]) -> list[tuple[tuple[str, ...], str, str, tuple[str, ...]]]:
    """The same change on several GPUs is one."""
    same: dict[tuple[Any, ...], list[str]] = {}
    for where, before, after in found:
        on = where[1] if len(where) > 1 and where[1].startswith("GPU ") else ""
        rest = (where[0], *where[2:]) if on else where
        same.setdefault((rest, before, after, bool(on)), []).append(on.removeprefix("GPU "))
    return [(where, before, after, tuple(filter(None, on))) for (where, before, after, _), on in same.items()]


def _change(where: tuple[str, ...], before: str, after: str, gpus: tuple[str, ...]) -> Change:
    fact, *rest = where
    named = [f"GPU {', '.join(gpus)}"] if gpus else [] if fact == "driver" else [fact.replace("_", " ")]
    if gpus and fact not in ("gpus", "gpu_clocks"):
        named.append(fact.removeprefix("gpu_").replace("_", " "))
    if where == ("driver", "version"):
        named, rest = ["driver"], []
    elif fact == "driver":
        named = ["driver"]
    one_of = tuple(gpu.partition(" ")[0] for one in gpus for gpu in one.split(" - GPU "))
    return change("host", " ".join([*named, *rest]), before, after, one_of, f"{fact} {' '.join(rest)}")

"""Differences between the facts of two hosts, without values that change by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from provision.host._model import ALL
from provision.report._comparison import Change, change
from provision.report._gpu_names import Facts, labels

Moving = Mapping[str, tuple[str, ...]]
_Path = tuple[str, ...]
_Difference = tuple[_Path, str, str]  # path, before, after

_KEYS = ("bus_id", "id", "path", "kernel", "name")  # the first that identifies list elements
# A new driver brings its library, its CUDA and its fabric manager. A kernel is installed before
# it is booted.
_FOLLOWERS = {"driver": ("driver", "nvml", "fabric_manager"), "kernel": ("kernel_modules",)}
_BESIDE_VERSION = ("library", "on_disk", "flavour")
_EMPTY = (None, ...)  # an older recording lacks a field (...) where a newer one has None
_NONE = {"limits": "unlimited"}  # facts in which None means more than "none"


def host_changes(before: Facts, after: Facts, moving: Moving) -> list[Change]:
    """Return the changes of facts that both have; one on several GPUs is one change."""
    differences = _without_followers(list(_differences(before, after, moving)))
    return [_change(*row) for row in _over_gpus(_joined(differences))]


def unrecorded(before: Facts, after: Facts) -> list[str]:
    """Return the names of facts that only one of them has."""
    return sorted(set(before) ^ set(after))


def _differences(before: Facts, after: Facts, moving: Moving) -> Iterator[_Difference]:
    old = labels(before, {})
    new = labels(after, old)
    lone = set(old.values()) ^ set(new.values())  # GPUs that only one of them has
    for name in sorted(set(before) & set(after)):
        unstable = moving.get(name, ())
        if unstable == ALL:
            continue
        sides = (
            _tree(_without(side[name], unstable), name, gpu_labels)
            for side, gpu_labels in ((before, old), (after, new))
        )
        for path, was, is_ in _walk((name,), *sides):
            # A lost GPU is one change, not one in every fact about GPUs.
            if name == "gpus" or not lone & {gpu for part in path for gpu in part.split(" - ")}:
                yield path, _text(was, name), _text(is_, name)


def _without(value: Any, unstable: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        if value.get("type") == "Missing":
            return f"({value.get('why')})"
        return {key: _without(item, unstable) for key, item in value.items() if key not in unstable}
    if isinstance(value, (list, tuple)):
        return [
            _without(item, unstable)
            for item in value
            if not (isinstance(item, str) and item in unstable)
        ]
    return value


def _tree(value: Any, name: str, labels: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """Return the value with lists as objects: elements get a name, and their order is dropped."""
    if isinstance(value, dict):
        return {key: _tree(member, name, labels) for key, member in value.items()}
    if not isinstance(value, list):
        return value
    if not value or not all(isinstance(element, dict) for element in value):
        return {_text(element, name): _text(element, name) for element in value}
    if all({"a", "b"} <= set(element) for element in value):
        return {_pair(element, labels): element for element in value}
    field = next((key for key in _KEYS if _is_key(value, key)), None)
    if field is None:
        return {json.dumps(element, sort_keys=True): _text(element, name) for element in value}
    # The label of a GPU stands for both of these.
    dropped = ("id", "bus_id") if name.startswith("gpu") and "id" in value[0] else ()
    named = {labels.get(str(element[field]), str(element[field])): element for element in value}
    return {
        label: {
            key: _tree(member, name, {}) for key, member in element.items() if key not in dropped
        }
        for label, element in named.items()
    }


def _pair(link: dict[str, Any], labels: dict[str, str]) -> str:
    return " - ".join(sorted(labels.get(str(link[end]), str(link[end])) for end in "ab"))


def _is_key(elements: list[Any], field: str) -> bool:
    values = {str(element[field]) for element in elements if element.get(field) is not None}
    return len(values) == len(elements)


def _walk(path: _Path, before: object, after: object) -> Iterator[tuple[_Path, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _walk((*path, key), before.get(key, ...), after.get(key, ...))
    elif before != after and not (before in _EMPTY and after in _EMPTY):
        yield path, before, after


def _text(value: Any, name: str) -> str:  # noqa: ANN401 - any JSON
    if value is ...:
        return ""
    if value is None:
        return _NONE.get(name, "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if value and all(isinstance(member, dict) for member in value.values()):  # was a list
            return ", ".join(value)
        keys = ("name", "version", "model", "kind", "state", "profile")
        # The first of these keys names an object best.
        title = next((value[key] for key in keys if value.get(key)), None)
        return str(title) if title else json.dumps(value, sort_keys=True)[:80]
    return str(value) or '""'


def _without_followers(differences: list[_Difference]) -> list[_Difference]:
    heads = {
        path[0]
        for path, *_ in differences
        if path in (("driver",), ("driver", "version"), ("kernel",))
    }
    followers = {follower for head in heads for follower in _FOLLOWERS[head]} - heads

    def follows(path: _Path) -> bool:
        is_beside = "driver" in heads and path[0] == "driver" and path[-1] in _BESIDE_VERSION
        return path[0] in followers or is_beside

    return [difference for difference in differences if not follows(difference[0])]


def _joined(differences: list[_Difference]) -> list[_Difference]:
    """Return one difference for each thing: soft and hard of a limit, MIG and its slices."""
    by_parent: dict[_Path, list[_Difference]] = {}
    for difference in differences:
        path = difference[0]
        by_parent.setdefault(path[:2] if len(path) > 2 else path, []).append(difference)
    return [
        parts[0] if len(parts) == 1 else _join(parent, parts) for parent, parts in by_parent.items()
    ]


def _join(parent: _Path, parts: list[_Difference]) -> _Difference:
    before, after = (
        ", ".join(
            f"{' '.join(part[0][len(parent) :])} {part[side]}" for part in parts if part[side]
        )
        for side in (1, 2)
    )
    return parent, before, after


def _over_gpus(differences: list[_Difference]) -> list[tuple[_Path, str, str, tuple[str, ...]]]:
    """Return each difference with its GPUs; the same one on several GPUs comes once."""
    gpus_by_row: dict[tuple[_Path, str, str, bool], list[str]] = {}
    for path, before, after in differences:
        gpu = path[1] if len(path) > 1 and path[1].startswith("GPU ") else ""
        rest = (path[0], *path[2:]) if gpu else path
        gpus = gpus_by_row.setdefault((rest, before, after, bool(gpu)), [])
        gpus.append(gpu.removeprefix("GPU "))
    return [
        (path, before, after, tuple(filter(None, gpus)))
        for (path, before, after, _), gpus in gpus_by_row.items()
    ]


def _change(path: _Path, before: str, after: str, gpus: tuple[str, ...]) -> Change:
    fact, *rest = path
    if fact == "driver":
        names = ["driver"]
    elif gpus:
        names = [f"GPU {', '.join(gpus)}"]
        if fact not in ("gpus", "gpu_clocks"):
            names.append(fact.removeprefix("gpu_").replace("_", " "))
    else:
        names = [fact.replace("_", " ")]
    if path == ("driver", "version"):
        rest = []
    ids = tuple(gpu.partition(" ")[0] for text in gpus for gpu in text.split(" - GPU "))
    return change("host", " ".join([*names, *rest]), before, after, ids, f"{fact} {' '.join(rest)}")

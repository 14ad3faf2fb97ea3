"""Find and read a model: a folder, a config.json, the cache of Hugging Face, or the hub."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from provision.doors import files
from provision.doors.addresses import Connection, origin
from provision.errors import SourceFailed, UnreadableInput, WrongUsage
from provision.fit import describe, headers, weights
from provision.fit._model import Model

_CONFIG = "config.json"
_LONGEST = 16 * 1024 * 1024
_HUB = "https://huggingface.co"
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_SHORT = 12  # letters of a revision in messages
_DEADLINE_S = 15.0
_GIVE = "give a folder with a config.json, the file itself, or the id of a model on the hub"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A model, where it was found, its pinned revision, the text of its config, and remarks."""

    model: Model
    source: str
    revision: str = ""
    config: str = ""
    said: tuple[str, ...] = ()


def find(name: str, revision: str = "", *, network: bool = True) -> Found:
    """Return the model of this name; raise UnreadableInput where there is none."""
    if not name.strip():
        raise WrongUsage("the name of the model is empty", hint=_GIVE)
    path = Path(name)
    if path.is_dir():
        return _folder(path, name)
    if path.exists() or name.endswith(".json") or name.startswith((".", "/", "~")):
        if name.endswith(".gguf"):
            raise UnreadableInput("is a GGUF file", where=name, hint=_GGUF)
        text = files.read_text(path, _LONGEST)
        model = describe.parse(text, _name_of(path), name)
        if path.name == _CONFIG:
            return _with_headers(model, path.parent, text, source=name)
        return Found(model=model, source=name, config=text)
    if not _ID.fullmatch(name):
        raise UnreadableInput("is neither a file nor the id of a model", where=name, hint=_GIVE)
    return _cached(name, revision) or _on_hub(name, revision, network=network)


_GGUF = "vLLM reads GGUF only beside the original model: give the config.json of that one"


def _name_of(path: Path) -> str:
    """Return the folder of a config.json as the name of its model."""
    folder = path.resolve().parent
    return str(path.parent) if path.name == _CONFIG and folder.name else str(path)


def _folder(path: Path, name: str) -> Found:
    config = path / _CONFIG
    if not config.exists():
        names = os.listdir(path)
        if any(entry.endswith(".gguf") for entry in names):
            raise UnreadableInput("has only GGUF files", where=name, hint=_GGUF)
        if "params.json" in names:
            raise UnreadableInput(
                "has Mistral's params.json and no config.json",
                where=name,
                hint="give the config.json of the same model in the format of Hugging Face",
            )
        raise UnreadableInput("has no config.json", where=name, hint=_GIVE)
    text = files.read_text(config, _LONGEST)
    model = _with_other_format(describe.parse(text, name, str(config)), path)
    return _with_headers(model, path, text, source=str(config))


def _with_other_format(model: Model, path: Path) -> Model:
    """Read the format of the weights from ModelOpt's own file, where config.json lacks it."""
    other = path / "hf_quant_config.json"
    if model.quantisation is not None or not other.exists():
        return model
    from provision.fit import quantisation

    document = _object(files.read_text(other, _LONGEST))
    inner = document.get("quantization")
    algorithm = inner.get("quant_algo") if isinstance(inner, dict) else ""
    read = quantisation.read(
        {"quantization_config": {"quant_method": f"modelopt {algorithm}".lower(), **document}},
        str(other),
        model.model_type,
    )
    return msgspec.structs.replace(model, quantisation=read)


def _object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _with_headers(model: Model, folder: Path, text: str, source: str, revision: str = "") -> Found:
    """Count the tensors of local safetensors files; only their headers are read."""
    found: dict[str, tuple[str, int]] = {}
    try:
        names = headers.shards(os.listdir(folder))
    except OSError:
        names = []
    for name in names:
        found |= headers.tensors(_header(folder / name))
    said: tuple[str, ...] = ()
    if found:
        dtype = model.dtype if model.dtype in ("float16", "bfloat16") else "bfloat16"
        model, said = headers.applied(model, headers.counted(model, found, dtype), dtype)
    return Found(model=model, source=source, revision=revision, config=text, said=said)


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            size = headers.length(stream.read(8))
            return stream.read(size) if size else b""
    except OSError:
        return b""


def _cache() -> Path:
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface"
    )
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub"))


def _cached(name: str, revision: str) -> Found | None:
    """Return a model of the local cache; no network is needed."""
    place = _cache() / f"models--{name.replace('/', '--')}"
    wanted = revision or "main"
    try:
        commit = (place / "refs" / wanted).read_text().strip()
    except OSError:
        commit = wanted
    snapshot = place / "snapshots" / commit
    if "/" in commit or not (snapshot / _CONFIG).exists():
        return None
    text = files.read_text(snapshot / _CONFIG, _LONGEST)
    model = _with_other_format(describe.parse(text, name, f"{name}/{_CONFIG}"), snapshot)
    source = f"the local cache of Hugging Face, revision {commit[:_SHORT]}"
    return _with_headers(model, snapshot, text, source, commit)


def _on_hub(name: str, revision: str, *, network: bool) -> Found:
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    if offline or not network:
        raise UnreadableInput(
            "is not in the local cache, and HF_HUB_OFFLINE forbids to ask the hub",
            where=name,
            hint=_GIVE,
        )
    hub = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    url = f"{hub}/{name}/resolve/{revision or 'main'}/{_CONFIG}"
    content = _page(url, hub, name)
    if content is None:
        raise UnreadableInput(
            "is not on the hub, or has no config.json", where=name, hint="check its spelling"
        )
    text = files.as_text(content)
    model = describe.parse(text, name, f"{name}/{_CONFIG}")
    said = (_download(model),)
    return Found(model=model, source=url, revision=revision, config=text, said=said)


def _download(model: Model) -> str:
    """Return the size of the download, beside the space where it would lie."""
    size = weights.on_disk(model, "bfloat16")
    place = _cache()
    existing = next((folder for folder in (place, *place.parents) if folder.exists()), Path("/"))
    free = shutil.disk_usage(existing).free
    enough = "" if free > size else ", and that is not enough"
    return (
        f"download: about {size / 1e9:.1f} GB; {free / 1e9:.0f} GB are free where the cache"
        f" lies{enough}"
    )


def _page(url: str, hub: str, name: str) -> bytes | None:
    """Return the content at an address of the hub; None if it says that there is none."""
    from provision.doors import network

    token = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or ""
    connection = Connection(tokens={origin(hub): token.strip()} if token.strip() else {})
    try:
        return network.page(url, connection, _DEADLINE_S)
    except SourceFailed as failure:
        if failure.what.endswith((" 401", " 403")):
            raise UnreadableInput(
                "is gated, private or missing: the hub does not hand it out",
                where=name,
                hint="accept its conditions on the hub and set HF_TOKEN, or give a local folder",
            ) from None
        raise UnreadableInput(
            f"the hub cannot be asked: {failure.what} ({hub})",
            where=name,
            hint="give a folder or a config.json, or name a mirror in HF_ENDPOINT",
        ) from None

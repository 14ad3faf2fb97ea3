"""How uv is called here: a clean environment that says where packages come from; credentials travel only in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from provision import package_sources
from provision.doors import certificates, sessions
from provision.host._word_list import words
from provision.plan._model import Package, Plan
from provision.settings import Settings

# All that a child of ours inherits. Whatever else steers installers on this host (PIP_CONSTRAINT, UV_TARGET,
# PYTHONPATH, LD_PRELOAD) was meant for other environments.
_KEPT = (
    *("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "NETRC"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT"),
    "CC",  # Triton takes it at run time, and so the compiler that is looked for is that one
)
# FlashAttention 3 lies in these folders of the PyTorch index; its stable ABI serves every torch of a CUDA major.
_STABLE_ABI: Final = {"12": "cu126", "13": "cu130"}
_DEFAULT_INDEX: Final = "UV_DEFAULT_INDEX"


def environment(
    settings: Settings,
    plan: Plan,
    installers: Mapping[str, Mapping[str, str]],
    prefix: str,
) -> dict[str, str]:
    """The whole environment of every uv that works on this plan; `installers` is how pip and uv are set up here."""
    env = {name: value for name, value in os.environ.items() if name in _KEPT or _is_credential(name)}
    env |= {
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_INSTALL_DIR": f"{prefix}/pythons",
    }
    # uv has no variable for --no-index; an index in a folder that is not there has nothing.
    nothing = f"file://{quote(prefix)}/no-index"
    return env | _connection(installers) | _sources(settings, plan, installers, nothing)


def _is_credential(name: str) -> bool:
    """uv takes the user and password of a named index from UV_INDEX_NAME_USERNAME and _PASSWORD."""
    return name.startswith("UV_INDEX_") and name.endswith(("_USERNAME", "_PASSWORD"))


def _connection(installers: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    pip, uv = installers["pip"], installers["uv"]
    bundle = certificates.bundle()
    found = {
        "SSL_CERT_FILE": uv.get("cert") or pip.get("cert") or (bundle if isinstance(bundle, str) else ""),
        "SSL_CLIENT_CERT": pip.get("client-cert", ""),
        "UV_INSECURE_HOST": " ".join(words(uv.get("allow-insecure-host", "") or pip.get("trusted-host", ""))),
        "ALL_PROXY": pip.get("proxy", ""),
    }
    return {name: value for name, value in found.items() if value}


def _sources(
    settings: Settings, plan: Plan, installers: Mapping[str, Mapping[str, str]], nothing: str
) -> dict[str, str]:
    pip, uv = installers["pip"], installers["uv"]
    own = _indexes(settings, plan)
    from_uv = words(uv.get("index", "") + " " + uv.get("extra-index-url", ""))
    theirs = from_uv or words(pip.get("extra-index-url", ""))
    env = {"UV_INDEX": " ".join((*own, *theirs)), "UV_FIND_LINKS": ",".join(_links(settings, plan, pip, uv))}
    if own or not from_uv:
        # The PyTorch index also carries old copies of what lies on PyPI (certifi, requests, numpy). uv's own way,
        # the first index that knows a name, would hold those at the old copies; the best match over all indexes
        # takes torch from there, since its local part (+cu129, +cpu) is asked for, and the rest at its newest.
        # pip, whose extra indexes these may be, does the same. Who set up uv with indexes of their own gets uv's way.
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    env[_DEFAULT_INDEX] = _default(settings, dict(pip), dict(uv), own, nothing)
    if _is_on(uv.get("offline", "")):
        env["UV_OFFLINE"] = "1"
    return {name: value for name, value in env.items() if value}


def _default(settings: Settings, pip: dict[str, str], uv: dict[str, str], own: list[str], nothing: str) -> str:
    wish = settings.sources.pypi
    if isinstance(wish, str):
        return wish
    if wish is False or _is_on(uv.get("no-index") or pip.get("no-index", "")):
        return own[0] if own else nothing
    return package_sources.configured({"pip": pip, "uv": uv}) or ""


def _is_on(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "no", "off", "false")


def _indexes(settings: Settings, plan: Plan) -> list[str]:
    """The PyTorch and vLLM indexes, each only where the plan takes something from it."""
    at = package_sources.addresses(settings, "")
    torch, vllm = planned(plan, "torch"), planned(plan, "vllm")
    found = []
    if vllm.source == "vllm":
        release, _, variant = vllm.version.partition("+")
        found.append(f"{at['vllm'].rstrip('/')}/{release}/{variant}".rstrip("/"))
    if torch.source == "pytorch":
        found.append(f"{at['pytorch'].rstrip('/')}/{torch.version.partition('+')[2]}".rstrip("/"))
    if plan.optional and plan.optional.source == "pytorch":
        variant = _STABLE_ABI[(plan.cuda or "").partition(".")[0]]
        found.append(f"{at['pytorch'].rstrip('/')}/{variant}")
    return list(dict.fromkeys(found))


def _links(settings: Settings, plan: Plan, pip: Mapping[str, str], uv: Mapping[str, str]) -> list[str]:
    links = words(uv.get("find-links", "")) or words(pip.get("find-links", ""))
    vllm = planned(plan, "vllm")
    if vllm.source == "github":
        # The page that lists a release's files is an index of wheels to uv.
        at = package_sources.addresses(settings, "")["github"].rstrip("/")
        links.append(f"{at}/vllm-project/vllm/releases/expanded_assets/v{vllm.version.partition('+')[0]}")
    return [str(Path(link).expanduser()) if link.startswith("~") else link for link in links]


def planned(plan: Plan, name: str) -> Package:
    """A package that every plan has: torch or vllm."""
    package = plan.packages[name]
    assert package is not None  # noqa: S101 - the planner's own promise
    return package


def connection(environment: Mapping[str, str]) -> sessions.Connection:
    """How our own door reaches what uv reaches with this environment."""
    return sessions.Connection(
        proxy=environment.get("ALL_PROXY", ""),
        certificates=environment.get("SSL_CERT_FILE", ""),
        client_certificate=environment.get("SSL_CLIENT_CERT", ""),
        unverified=tuple(environment.get("UV_INSECURE_HOST", "").split()),
        logins=_logins(environment),
    )


def _logins(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By host: what stands in an index's address, or in the variables of an index that has a name."""
    found: dict[str, tuple[str, str]] = {}
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"):
        for each in re.split(r"[ ,]", environment.get(variable, "")):
            name = re.match(r"[\w.-]+(?==)", each)  # an index may be named: corp=https://…
            address = urlsplit(each[name.end() + 1 :] if name else each)
            own = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name[0].upper())}" if name else ""
            user = environment.get(f"{own}_USERNAME") or unquote(address.username or "")
            password = environment.get(f"{own}_PASSWORD") or unquote(address.password or "")
            if user or password:
                found[address.hostname or ""] = (user, password)
    return found

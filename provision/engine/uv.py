"""The environment of uv: package sources, proxies, credentials, and little else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from provision import package_sources
from provision.doors import addresses, certificates
from provision.host._word_list import words
from provision.plan._model import Plan
from provision.settings import Settings

# The only variables that uv inherits. Others that steer installers (PIP_CONSTRAINT, UV_TARGET,
# PYTHONPATH, LD_PRELOAD) were set for other environments.
_INHERITED = (
    *("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "NETRC"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT"),
    "CC",  # Triton uses it at run time, so the check for a compiler must use it too
)
# The folder of FlashAttention 3 in the PyTorch index by CUDA major: its ABI is stable across torch.
_STABLE_ABI: Final = {"12": "cu126", "13": "cu130"}
_DEFAULT_INDEX: Final = "UV_DEFAULT_INDEX"


def environment(
    settings: Settings,
    plan: Plan,
    installers: dict[str, dict[str, str]],
    prefix: str,
) -> dict[str, str]:
    """Return the environment for uv; `installers` are the settings of pip and uv here."""
    env = {
        name: value
        for name, value in os.environ.items()
        # The logins of indexes are inherited, too: UV_INDEX_NAME_USERNAME and _PASSWORD.
        if name in _INHERITED
        or (name.startswith("UV_INDEX_") and name.endswith(("_USERNAME", "_PASSWORD")))
    }
    env |= {
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_INSTALL_DIR": f"{prefix}/pythons",
    }
    # uv has no variable for --no-index. A folder that does not exist is an empty index.
    empty_index = f"file://{quote(prefix)}/no-index"
    return env | _connection(installers) | _sources(settings, plan, installers, empty_index)


def _connection(installers: dict[str, dict[str, str]]) -> dict[str, str]:
    pip, uv = installers["pip"], installers["uv"]
    bundle = certificates.bundle()
    default = bundle if isinstance(bundle, str) else ""
    insecure = uv.get("allow-insecure-host", "") or pip.get("trusted-host", "")
    env = {
        "SSL_CERT_FILE": uv.get("cert") or pip.get("cert") or default,
        "SSL_CLIENT_CERT": pip.get("client-cert", ""),
        "UV_INSECURE_HOST": " ".join(words(insecure)),
        "ALL_PROXY": pip.get("proxy", ""),
    }
    return {name: value for name, value in env.items() if value}


def _sources(
    settings: Settings,
    plan: Plan,
    installers: dict[str, dict[str, str]],
    empty_index: str,
) -> dict[str, str]:
    pip, uv = installers["pip"], installers["uv"]
    planned_indexes = _indexes(settings, plan)
    uv_indexes = words(uv.get("index", "") + " " + uv.get("extra-index-url", ""))
    configured = uv_indexes or words(pip.get("extra-index-url", ""))
    env = {
        "UV_INDEX": " ".join((*planned_indexes, *configured)),
        "UV_FIND_LINKS": ",".join(_links(settings, plan, pip, uv)),
    }
    if planned_indexes or not uv_indexes:
        # The PyTorch index also has old copies of packages on PyPI (certifi, requests, numpy).
        # uv's default strategy takes a package from the first index that knows it, and would take
        # the old copies. The best match over all indexes takes torch from the PyTorch index,
        # because the plan asks for its local version (+cu129, +cpu), and the newest of the rest.
        # pip does the same with extra indexes. A user who configured indexes for uv gets uv's
        # default strategy.
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    env[_DEFAULT_INDEX] = _default(settings, installers, planned_indexes, empty_index)
    if _is_on(uv.get("offline", "")):
        env["UV_OFFLINE"] = "1"
    return {name: value for name, value in env.items() if value}


def _default(
    settings: Settings,
    installers: dict[str, dict[str, str]],
    planned_indexes: list[str],
    empty_index: str,
) -> str:
    choice = settings.sources.pypi
    if isinstance(choice, str):
        return choice
    if choice is False or _is_on(
        installers["uv"].get("no-index") or installers["pip"].get("no-index", "")
    ):
        return planned_indexes[0] if planned_indexes else empty_index
    return package_sources.configured(installers) or ""


def _is_on(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "no", "off", "false")


def _indexes(settings: Settings, plan: Plan) -> list[str]:
    addresses = package_sources.addresses(settings, "")
    torch, vllm = plan.package("torch"), plan.package("vllm")
    indexes = []
    if vllm.source == "vllm":
        release, _, variant = vllm.version.partition("+")
        indexes.append(f"{addresses['vllm'].rstrip('/')}/{release}/{variant}".rstrip("/"))
    if torch.source == "pytorch":
        variant = torch.version.partition("+")[2]
        indexes.append(f"{addresses['pytorch'].rstrip('/')}/{variant}".rstrip("/"))
    if plan.optional and plan.optional.source == "pytorch":
        variant = _STABLE_ABI[(plan.cuda or "").partition(".")[0]]
        indexes.append(f"{addresses['pytorch'].rstrip('/')}/{variant}")
    return list(dict.fromkeys(indexes))


def _links(
    settings: Settings, plan: Plan, pip: Mapping[str, str], uv: Mapping[str, str]
) -> list[str]:
    links = words(uv.get("find-links", "")) or words(pip.get("find-links", ""))
    vllm = plan.package("vllm")
    if vllm.source == "github":
        # uv reads the page that lists the files of a release like an index of wheels.
        github = package_sources.addresses(settings, "")["github"].rstrip("/")
        release = vllm.version.partition("+")[0]
        links.append(f"{github}/vllm-project/vllm/releases/expanded_assets/v{release}")
    return [str(Path(link).expanduser()) if link.startswith("~") else link for link in links]


def connection(environment: Mapping[str, str]) -> addresses.Connection:
    """Return the connection settings that make our own requests reach what uv reaches."""
    return addresses.Connection(
        proxy=environment.get("ALL_PROXY", ""),
        certificates=environment.get("SSL_CERT_FILE", ""),
        client_certificate=environment.get("SSL_CLIENT_CERT", ""),
        unverified=tuple(environment.get("UV_INSECURE_HOST", "").split()),
        logins=_logins(environment),
    )


def _logins(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    logins: dict[str, tuple[str, str]] = {}
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"):
        for entry in re.split(r"[ ,]", environment.get(variable, "")):
            name = re.match(r"[\w.-]+(?==)", entry)  # an index may have a name: corp=https://…
            address = urlsplit(entry[name.end() + 1 :] if name else entry)
            stem = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name[0].upper())}" if name else ""
            user = environment.get(f"{stem}_USERNAME") or unquote(address.username or "")
            password = environment.get(f"{stem}_PASSWORD") or unquote(address.password or "")
            if user or password:
                logins[addresses.origin(address.geturl())] = (user, password)
    return logins

"""Facts of the host of a log: from --host, from an environment section, and from the log."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from provision.catalog.rows import Catalogue
from provision.errors import Failure
from provision.host import driver, from_paste, glibc, gpus, machine, packages, pythons, wsl
from provision.host._model import Host
from provision.plan import identify


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one property, and a sentence about them for people.

    `is_own`: it is of this host, from which the log may come or not. It supports causes, and
    excludes none.
    """

    values: tuple[str, ...]
    text: str
    is_own: bool = False


Facts = dict[str, Fact]

_PROFESSIONAL = re.compile(
    r"RTX (?:PRO|A)? ?\d{4}(?: Ada| Blackwell|\b.*\bAda)|RTX PRO|RTX A\d{4}|\bA\d{4}\b|Quadro|6000",
    re.IGNORECASE,
)
_GEFORCE = re.compile(r"GeForce|GTX|RTX ?\d{4}|TITAN", re.IGNORECASE)
# Names of GPUs that are clear in running text.
_GPU = re.compile(
    r"\b(?:(?:GeForce )?(?:RTX|GTX) ?(?:PRO ?)?\d{4}(?: ?Ti\b| ?SUPER\b)?(?: ?Ada\b| Blackwell\b)?"
    r"|RTX ?A\d{4}|(?:Tesla |NVIDIA )[KMPVTAL]\d{1,3}S?\b|[VA]100\b|[HB][123]00\b|H800\b|H20\b|A800\b|A40\b|L40S?\b|A10G\b"
    r"|G[HB]\d{2,3}\b|DGX Spark\b|Jetson \w+(?: \w+)?)",
    re.IGNORECASE,
)  # fmt: skip
_ARM = re.compile(
    r"aarch64|arm64|\b(?:GH200|GB200|GB300|GB10|DGX Spark|Jetson|Orin|Thor)\b", re.IGNORECASE
)
_FROM_LOG: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "cc": (
        (r"GPU has compute capability (\d{1,2}\.\d)\b", "{}"),
        (r"of cuda capability (\d{1,2}\.\d)\b", "{}"),
        (r"with CUDA capability sm_(\d{1,2})(\d)\b", "{}.{}"),
    ),
    "torch": ((r"\btorch(?:==|-| version:? |\.__version__ ?= ?|\.__version__\)? ?['\"])(\d\.\d+\.\d+[\w.+]*)", "{}"),),
    "torch_cuda": ((r"\btorch\S{0,20}\d\.\d+\.\d+\w*\+cu(\d\d)(\d)\b", "{}.{}"), (r"CUDA used to build PyTorch\s*: (\d\d\.\d)", "{}")),
    "torch_build": ((r"\btorch\S{0,20}[ =:-]\d\.\d+\.\d+\+(cpu)\b", "{}"), (r"PyTorch version\s*: \S+\+(cpu)\b", "{}"), (r"['\"]\d\.\d+\.\d+\+(cpu)['\"]", "{}")),
    "vllm": ((r"\bvllm(?:==|-| version:? |/vllm-openai:v)(\d+\.\d+\.\d+[\w.]*)", "{}"), (r"vLLM Version\s*: (\d+\.\d+\.\d+\S*)", "{}")),
    "toolkit": ((r"release \d+\.\d+, V(\d+\.\d+(?:\.\d+)?)", "{}"), (r"CUDA runtime version\s*: (\d+\.\d+(?:\.\d+)?)", "{}")),
    "driver": ((r"driver version:? (\d{3}\.\d+(?:\.\d+)?)", "{}"),),
    "glibc": ((r"ldd \(.{1,40}\) (\d\.\d+)", "{}"),),
    "python": ((r"/python(3\.\d+)/(?:site|dist)-packages", "{}"), (r"\bPython (3\.\d+(?:\.\d+)?)\b", "{}")),
}  # fmt: skip
_SYSTEMS: Final = (
    (
        "windows",
        r"(?<![A-Za-z])[A-Z]:\\|win_amd64|\bWindows 1[01]\b|PowerShell|\.pyd\b|\bWinError\b",
    ),
    ("wsl", r"microsoft-standard|\bWSL ?2?\b"),
    ("macos", r"macosx_|\bdarwin\b|/Users/\w|\bmacOS\b"),
    (
        "linux",
        r"/usr/(?:local|lib|bin)|/home/|/opt/|x86_64-linux-gnu|/root/|\bUbuntu\b|Debian|CentOS",
    ),
)
_CONTAINER = re.compile(
    r"\bdocker\b|\bcontainers?\b|kubectl|kubernetes|\bpods?\b|vllm-openai|nvcr\.io|podman|/dist-packages/vllm",
    re.IGNORECASE,
)
_OPERATORS: Final[dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def gather(host: Host | None, text: str, catalogue: Catalogue, here: Host | None = None) -> Facts:
    """Return the facts of the host of a log. What --host says wins over what the log says."""
    facts = of_log(text, catalogue)
    facts |= of_host(_section(text), catalogue, "the log")
    if host:
        return facts | of_host(host, catalogue, "the host")
    own = of_host(here, catalogue, "this host") if here else {}
    # Without a GPU here, or with another machine in the log, the log is not of this host.
    if "cc" not in own or facts.keys() & own.keys():
        return facts
    return facts | {name: msgspec.structs.replace(fact, is_own=True) for name, fact in own.items()}


def _section(text: str) -> Host:
    """Return the host of the environment section of a log; an empty one if it has none."""
    try:
        found = from_paste.read(text, "the log")
    except (Failure, ValueError):
        return Host(described={})
    return Host(described={fact: told.value for fact, told in found.items()})


def of_host(host: Host, catalogue: Catalogue, who: str) -> Facts:
    installed = host.known(packages.FACT) or {}
    known_driver, libc = host.known(driver.FACT), host.known(glibc.FACT)
    processor, several = host.known(machine.FACT), host.known(pythons.FACT)
    values: dict[str, Iterable[str | None]] = {
        "driver": [known_driver.version if known_driver else None],
        "python": [python.version for python in several or ()],
        "glibc": [libc],
        "machine": [processor],
        "torch": [installed.get("torch")],
        "vllm": [installed.get("vllm")],
        "torch_build": ["cpu" if "+cpu" in installed.get("torch", "") else None],
    }
    if host.known(wsl.FACT):
        values["system"] = ["wsl"]
    elif libc:
        values["system"] = ["linux"]
    elif (kind := str(processor or "").lower()) in {"windows", "macos"}:
        values["system"] = [kind]
    facts = {
        name: Fact(values=known, text=f"{who} has {name} {', '.join(known)}")
        for name, several in values.items()
        if (known := tuple(value for value in several if value))
    }
    listed = host.known(gpus.FACT)
    return facts if listed is None else facts | _of_gpus(listed, catalogue)


def of_log(text: str, catalogue: Catalogue) -> Facts:
    facts: Facts = {}
    for name, patterns in _FROM_LOG.items():
        for pattern, form in patterns:
            if match := re.search(pattern, text, re.IGNORECASE):
                value = form.format(*match.groups())
                facts[name] = Fact(values=(value,), text=f"the log shows {name} {value}")
                break
    names = dict.fromkeys(" ".join(match[0].split()) for match in _GPU.finditer(text))
    facts = _of_gpus([gpus.Gpu(id="0", name=name) for name in names], catalogue) | facts
    systems = tuple(name for name, pattern in _SYSTEMS if re.search(pattern, text))
    if systems:
        facts["system"] = Fact(values=systems[:1], text=f"the log shows {systems[0]}")
    if _CONTAINER.search(text):
        facts["container"] = Fact(values=("yes",), text="the log shows a container")
    if arm := _ARM.search(text):
        facts["machine"] = Fact(values=("aarch64",), text=f"the log shows {arm[0]}")
    return facts


def _of_gpus(listed: Iterable[gpus.Gpu], catalogue: Catalogue) -> Facts:
    known = [identify.completed(gpu, catalogue.gpus) for gpu in listed]
    facts: Facts = {}
    if not known:
        return facts
    texts = dict.fromkeys(f"{gpu.name} ({gpu.cc})" if gpu.cc else gpu.name for gpu in known)
    text = f"GPUs: {', '.join(texts)}"
    if capabilities := tuple(dict.fromkeys(gpu.cc for gpu in known if gpu.cc)):
        facts["cc"] = Fact(values=capabilities, text=text)
    facts["gpu"] = Fact(
        values=tuple(dict.fromkeys(_kind(gpu, catalogue) for gpu in known)), text=text
    )
    facts["gpus"] = Fact(values=(str(len(known)),), text=text)
    if any(_ARM.search(gpu.name) for gpu in known):
        facts["machine"] = Fact(values=("aarch64",), text=text)
    return facts


def _kind(gpu: gpus.Gpu, catalogue: Catalogue) -> str:
    model = identify.find(gpu.name, catalogue.gpus)
    if gpus.is_integrated(gpu.name):
        return "integrated"
    if _PROFESSIONAL.search(gpu.name):
        return "professional"
    if _GEFORCE.search(gpu.name):
        return "geforce"
    return "data-center" if model and model.data_center else "professional"


def holds(condition: str, fact: Fact | None) -> bool | None:
    """Return whether any value meets `OPERATOR VALUE`; None if the fact is not known."""
    sign, _, wanted = condition.partition(" ")
    if sign in {"known", "unknown"}:
        return (fact is not None) == (sign == "known")
    if fact is None:
        return None
    if sign in _OPERATORS:
        met = any(_OPERATORS[sign](_numbers(value), _numbers(wanted)) for value in fact.values)
    else:
        met = any(value in wanted.split("|") for value in fact.values) == (sign == "is")
    return met or (None if fact.is_own else False)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])

"""The man page, made from the verbs and their parsers."""

from __future__ import annotations

from provision.completion import Verb, verbs
from provision.options import GROUPS, HELP
from provision.version import VERSION


def manual() -> str:
    """Return the man page in roff."""
    codes = HELP.partition("exit codes:\n")[2].splitlines()
    lines = [
        f'.TH VLLM-READY 1 "" "vllm-ready {VERSION}"',
        ".SH NAME",
        r"vllm-ready \- get a GPU host ready for vLLM, and prove that it is",
        ".SH SYNOPSIS",
        r".B ./setup.sh",
        r"[\fIVERB\fR] [\fIOPTIONS\fR]",
        ".SH DESCRIPTION",
        "Records the host, plans the newest vLLM that it can run, installs it into an environment",
        "of its own, checks kernels, tokens and a server, and switches to it by one rename.",
        "Without a verb it runs",
        ".BR up .",
    ]
    known = {verb.name: verb for verb in verbs()}
    for title, group in GROUPS.items():
        lines.append(f'.SH "{title.upper()}"')
        for name in group:
            lines += [f".SS {name}", _roff(known[name].text + "."), *_roff_options(known[name])]
    lines.append('.SH "EXIT STATUS"')
    for line in codes:
        code, _, text = line.strip().partition(" ")
        lines += [".TP", rf"\fB{code}\fR", _roff(text)]
    lines += [
        ".SH FILES",
        *(".TP", r"\fBconfig.yaml\fR", "every setting with its default and a reason"),
        *(".TP", r"\fBenvs/current\fR", "the verified environment"),
        *(".TP", r"\fBlogs/\fR", "a folder for each run, with its report"),
    ]
    return "\n".join([*lines, ""])


def _roff_options(verb: Verb) -> list[str]:
    lines = []
    for option in verb.options:
        value = rf" \fI{_roff(option.value)}\fR" if option.value else ""
        names = ", ".join(rf"\fB{_roff(name)}\fR{value}" for name in option.names)
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        lines += [".TP", names, _roff(option.text + choices)]
    return lines


def _roff(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped

"""The failures that users see: what happened, where, what to do, and the exit code."""

from __future__ import annotations

TYPE_CHECKING = False  # `from typing import` would cost a tenth of the time of `--help`
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import ClassVar, Final

DONE: Final = 0
CHECK_FAILED: Final = 1
UNSUPPORTED: Final = 3
UNDECIDED: Final = 5
BUG: Final = 70
INTERRUPTED: Final = 130


class Failure(Exception):  # noqa: N818 - reads better than FailureError
    """A failure that the user can understand and fix; any other exception is a bug."""

    exit_code: ClassVar[int]

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint

    @property
    def text(self) -> str:
        """Return place, message and hint, without the leading word `error:`."""
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{first}\n hint: {self.hint}" if self.hint else first

    def __str__(self) -> str:
        return f"error: {self.text}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean" for a mistyped word, or ""."""
    import difflib

    names = list(known)
    # difflib does not match swapped letters (pipy for pypi) in short words.
    swapped = [name for name in names if sorted(name) == sorted(word)]
    close = swapped or difflib.get_close_matches(word, names, n=1)
    return f"did you mean `{close[0]}`?" if close else ""


class WrongUsage(Failure):
    """A command line that cannot be understood."""

    exit_code = 2


class WrongSetting(Failure):
    """A setting in config.yaml or --set that does not exist or has a wrong value."""

    exit_code = 2


class UnreadableInput(Failure):
    """A file of the user that cannot be read, or is not what it should be."""

    exit_code = 2


class IncompleteHost(Failure):
    """A host description without a value that a plan needs."""

    exit_code = 2


class NotWritable(Failure):
    """A path of the user that cannot be written."""

    exit_code = 2


class Interrupted(Failure):
    """An interruption by Ctrl-C, SIGTERM or SIGHUP."""

    exit_code = INTERRUPTED


class SourceFailed(Failure):
    """A network source that does not answer, or sends something else.

    `silent` lists the sources that a plan needs, where they are known.
    """

    exit_code = 4
    silent: tuple[dict[str, str], ...] = ()


class StepFailed(Failure):
    """A step that failed; its results so far stay, and the same command continues there.

    `reason` is one sentence without commands and paths, `output` the last lines of the command that
    failed, and `step` the number of the step whose action failed (0: none).
    """

    exit_code = 4
    step: int = 0

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        hint: str = "",
        reason: str = "",
        output: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.reason = reason or what.partition("\n")[0]
        self.output = output


class Locked(Failure):
    """A prefix on which another run works."""

    exit_code = 6


class NothingToProve(Failure):
    """A proof that cannot run: there is no environment to run it in."""

    exit_code = UNDECIDED


class GpusInUse(Failure):
    """GPUs whose memory other processes hold."""

    exit_code = UNSUPPORTED


class UnusablePrefix(Failure):
    """A prefix that cannot be written, or whose file system has no locks."""

    exit_code = 3

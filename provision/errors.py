"""The catalogue of user-facing failures: what happened, where, what to do, and the exit code."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is left out: --help needs nothing else of it
if TYPE_CHECKING:
    from typing import ClassVar, Final

DONE: Final = 0
CHECK_FAILED: Final = 1
UNSUPPORTED: Final = 3
UNDECIDED: Final = 5
BUG: Final = 70
INTERRUPTED: Final = 130


class Failure(Exception):  # noqa: N818 - reads better than FailureError in every traceback and message
    """Something the user can understand and mend; everything else that escapes is a bug (exit 70)."""

    exit_code: ClassVar[int]

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    @property
    def said(self) -> str:
        """Where, what and the hint, to go on from other words."""
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.hint:
            lines.append(f" hint: {self.hint}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"error: {self.said}"


class WrongUsage(Failure):
    """The command line does not say what to do."""

    exit_code = 2


class WrongSetting(Failure):
    """config.yaml or --set asks for something that does not exist."""

    exit_code = 2


class UnreadableInput(Failure):
    """A file given by the user cannot be read as what it is given for."""

    exit_code = 2


class IncompleteHost(Failure):
    """A host description lacks what a plan needs."""

    exit_code = 2


class NotWritable(Failure):
    """The place the user named cannot be written."""

    exit_code = 2


class Interrupted(Failure):
    """The user, or whoever ends processes politely, wants it to stop."""

    exit_code = INTERRUPTED


class SourceFailed(Failure):
    """A source on the network did not give what was asked of it."""

    exit_code = 4


class StepFailed(Failure):
    """A step did not end well. What was done stays; the same command resumes.

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
    """Another run works on this prefix."""

    exit_code = 6


class UnusablePrefix(Failure):
    """The prefix cannot be worked in: it is not ours to write, or two runs could not be kept apart there."""

    exit_code = 3

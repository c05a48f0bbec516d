"""Errors that a user can mend: one line that says what, where and how to mend it.

The command line prints exactly ``str(error)`` and exits with code 2; a library user catches `RefineError`.
Anything else that escapes is a defect of refine and shows its traceback.
"""

from __future__ import annotations


class RefineError(Exception):
    """Base of every error that the user can mend.

    Args:
        what: the problem, with the offending value.
        where: file, line, key or step at which it was found; printed first.
        fix: what the user can do about it; printed last.

    >>> print(InputError("12 points are too few", where="yarnell.txt", fix="measure more"))
    yarnell.txt: 12 points are too few; measure more
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        text = f"{where}: {what}" if where else what
        if fix:
            text = f"{text}; {fix}"
        super().__init__(" ".join(text.split()))


class InputError(RefineError):
    """A study file, a measured curve or a structure that cannot be used as it is."""


class ConversionError(RefineError):
    """A conversion between curves that is not defined or lacks information."""


class SimulationError(RefineError):
    """A run whose dynamics failed: not a number, temperature run-away, frozen."""


class ProgramError(RefineError):
    """A program that samples for refine ended before its time; the potential is not to blame."""


class CheckpointError(RefineError):
    """A checkpoint or output folder that cannot be read, written, or is in use."""

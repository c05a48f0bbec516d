"""How a long run says where it stands: the protocol that the tasks call and the command line draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the events of a run. Calls come in order, from one thread."""

    def stage(self, label: str, total: int) -> None:
        """A new piece of work of ``total`` units begins; the one before it has ended."""

    def advance(self, n: int) -> None:
        """``n`` more units of the present stage are done."""

    def doing(self, text: str) -> None:
        """What comes before the next event, where that may take seconds and has no units, such as compiling."""

    def message(self, text: str) -> None:
        """One line that is worth keeping, such as the result of an iteration."""


class NullProgress:
    """Says nothing: the default of the Python API."""

    def stage(self, label: str, total: int) -> None:
        """Ignore the stage."""

    def advance(self, n: int) -> None:
        """Ignore the units."""

    def doing(self, text: str) -> None:
        """Ignore it."""

    def message(self, text: str) -> None:
        """Ignore the line."""

"""How a long run says where it stands: the protocol that the tasks call and the command line draws."""

from __future__ import annotations

import math
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


def duration(seconds: float) -> str:
    """Seconds, in the unit that suits them.

    >>> duration(0.0000012), duration(0.25), duration(12.3), duration(1234.0), duration(40000.0)
    ('1.2 µs', '250 ms', '12 s', '21 min', '11 h')
    """
    limits = (
        (1e-3, 1e6, "µs"),
        (1.0, 1e3, "ms"),
        (100.0, 1.0, "s"),
        (6000.0, 1 / 60, "min"),
        (math.inf, 1 / 3600, "h"),
    )
    factor, unit = next((factor, unit) for limit, factor, unit in limits if seconds < limit)
    return f"{float(f'{factor * seconds:.2g}'):g} {unit}"

"""What a run looks like: in a terminal a bar while it goes on, elsewhere lines with the time; a table at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from refine.progress import Progress

if TYPE_CHECKING:
    from refine.results.schema import Scores, Summary


QUIET, PARTS, SILENT = 10.0, 10, 600.0
"""Between two lines about a stage there are so many seconds at least, and one of so many parts of the stage, or so many
seconds."""

PATIENCE = 5.0
"""Seconds after which a line says what is being done where there is nothing to count."""


@contextmanager
def terminal_progress(console: Console) -> Iterator[Progress]:
    """Progress that suits the console, for the time of a run."""
    if not console.is_terminal:
        lines = LineProgress(console)
        try:
            yield lines
        finally:
            lines.close()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        yield BarProgress(bar)


class Pace:
    """How far a stage has come and how fast it goes.

    total: of its units; zero or less: not known.  now: when it begins, s of any clock.
    """

    def __init__(self, total: int, now: float) -> None:
        self.total, self.done = total, 0
        self._began = self._told = now
        self._done_told = 0
        self._first: tuple[float, int] | None = None

    @property
    def share(self) -> float:
        """Of the stage that is done, zero to one."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def advanced(self, n: int, now: float) -> str | None:
        """Counts `n` more units; what is worth telling then."""
        if n <= 0:
            return None
        before = self.share
        self.done += n
        if self._first is None:
            # what came until here includes compiling, and may be from before an interruption: it is no measure
            self._first = (now, self.done)
        since, more = now - self._told, self.done - self._done_told
        ends = before < 1.0 <= self.share and now - self._began >= QUIET
        few = self.total <= 0 or PARTS * more < self.total
        if not ends and (since < QUIET or (few and since < SILENT) or before >= 1.0):
            return None
        self._told, self._done_told = now, self.done
        if ends:
            return f"done in {_duration(now - self._began)}"
        if self.total <= 0:
            return f"{self.done}"
        left = self.left(now)
        return f"{100 * self.done // self.total} %" + ("" if left is None else f", {_duration(left)} left")

    def left(self, now: float) -> float | None:
        """Seconds, at the pace since the first units; None where there is no pace yet."""
        if self._first is None or self.done <= self._first[1]:
            return None
        then, done = self._first
        return (now - then) / (self.done - done) * max(0, self.total - self.done)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


class LineProgress:
    """Lines with date and time, for a log file: every message, where a stage begins, and how far it is now and then.

    clock: s.  patience: s until it is said what is being done where nothing is counted.
    """

    def __init__(
        self, console: Console, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE
    ) -> None:
        self._console, self._clock, self._patience = console, clock, patience
        self._label, self._pace = "", Pace(0, clock())
        self._waiting: threading.Timer | None = None

    def stage(self, label: str, total: int) -> None:
        """Print the label."""
        self._label, self._pace = label, Pace(total, self._clock())
        self.message(label)

    def advance(self, n: int) -> None:
        """Print how far the stage is and how long it will take, where that was not said lately."""
        self.close()
        told = self._pace.advanced(n, self._clock())
        if told is not None:
            self._print(f"{self._label}: {told}")

    def doing(self, text: str) -> None:
        """Print it where it takes its time."""
        self.close()
        self._waiting = threading.Timer(self._patience, self._print, [text])
        self._waiting.daemon = True  # an error elsewhere ends the process
        self._waiting.start()

    def message(self, text: str) -> None:
        """Print the line, neither wrapped nor styled."""
        self.close()
        self._print(text)

    def close(self) -> None:
        """What was being done has ended."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _print(self, text: str) -> None:
        self._console.print(Text(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}"), soft_wrap=True)


class BarProgress:
    """One bar, for the present stage; messages scroll by above it."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._label, self._described = "", ""

    def stage(self, label: str, total: int) -> None:
        """Put a new bar in the place of the old one."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._label = self._described = label
        self._task = self._bar.add_task(label, total=total)

    def advance(self, n: int) -> None:
        """Move the bar on."""
        if self._task is not None:
            self._describe(self._label)
            self._bar.advance(self._task, n)

    def doing(self, text: str) -> None:
        """Say it beside the label, until the bar moves on."""
        self._describe(f"{self._label}, {text}" if self._label else text)

    def message(self, text: str) -> None:
        """Print the line above the bar, neither wrapped nor styled."""
        self._bar.console.print(Text(text), soft_wrap=True)

    def _describe(self, text: str) -> None:
        if self._task is not None and text != self._described:
            self._described = text
            self._bar.update(self._task, description=text)


def r_chi_table(initial: Scores, final: Scores) -> Table:
    """R_chi of every data set before and after with its standard error; a dash where it is not defined."""

    def text(scores: Scores, name: str) -> str:
        value, error = scores.r_chi.get(name), scores.r_chi_stderr.get(name)
        return "-" if value is None else f"{value:.4f}" + ("" if error is None else f" ± {error:.4f}")

    table = Table("data", box=box.SIMPLE_HEAD)
    table.add_column("R_chi before", justify="right")
    table.add_column("after", justify="right")
    for name in final.r_chi:
        table.add_row(Text(name), text(initial, name), text(final, name))
    return table


def number_lines(summary: Summary) -> list[str]:
    """Measured numbers, and the pressure of every state, before and after."""

    def text(value: float | None, error: float | None) -> str:
        return "-" if value is None else f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")

    lines = []
    for one in summary.numbers:
        change = f"{text(one.initial, one.initial_stderr)} -> {text(one.final, one.final_stderr)} {one.unit}".rstrip()
        lines.append(f"{one.name}: {one.quantity} {change}, measured {text(one.value, one.sigma)}")
    for state in summary.states:
        before = text(state.pressure_initial_GPa, state.pressure_initial_GPa_stderr)
        lines.append(f"{state.name}: pressure {before} -> {text(state.pressure_GPa, state.pressure_GPa_stderr)} GPa")
    return lines

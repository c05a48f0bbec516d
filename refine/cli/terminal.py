"""What a run looks like: in a terminal a bar while it goes on, elsewhere plain lines; a table at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def terminal_progress(console: Console) -> Iterator[Progress]:
    """Progress that suits the console, for the time of a run."""
    if not console.is_terminal:
        yield LineProgress(console)
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


class LineProgress:
    """A line for each stage and message: what a log file wants."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def stage(self, label: str, total: int) -> None:
        """Print the label."""
        self.message(label)

    def advance(self, n: int) -> None:
        """Print nothing."""

    def message(self, text: str) -> None:
        """Print the line, neither wrapped nor styled."""
        self._console.print(Text(text), soft_wrap=True)


class BarProgress(LineProgress):
    """One bar, for the present stage; messages scroll by above it."""

    def __init__(self, bar: Bar) -> None:
        super().__init__(bar.console)
        self._bar = bar
        self._task: TaskID | None = None

    def stage(self, label: str, total: int) -> None:
        """Put a new bar in the place of the old one."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(label, total=total)

    def advance(self, n: int) -> None:
        """Move the bar on."""
        if self._task is not None:
            self._bar.advance(self._task, n)


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

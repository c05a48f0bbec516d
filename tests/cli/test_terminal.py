"""What a log says of the time that remains: lines with date and time, by a clock of the test's own."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from refine import compiled
from refine.cli.terminal import LineProgress, Pace, terminal_progress
from refine.progress import Progress


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> tuple[LineProgress, Clock, Callable[[], list[str]]]:
    """Progress, its clock, and the lines so far without their date and time."""
    clock, console = Clock(), Console(file=io.StringIO(), width=20)

    def lines() -> list[str]:
        written = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        for line in written:
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line)
        return [line[20:] for line in written]

    return LineProgress(console, clock), clock, lines


def steps(progress: Progress, clock: Clock, n: int, seconds: float, times: int) -> None:
    for _ in range(times):
        clock.now += seconds
        progress.advance(n)


def test_a_stage_that_is_short_is_one_line(log: Any) -> None:
    progress, clock, lines = log
    progress.stage("sampling 1", 100)
    steps(progress, clock, 10, 0.9, 10)
    progress.message("iteration 1")
    assert lines() == ["sampling 1", "iteration 1"]


def test_the_time_that_remains_follows_from_the_pace(log: Any) -> None:
    """1000 units at 1 a second, after 30 s for the first ten: the line at each tenth says what is left at that pace."""
    progress, clock, lines = log
    progress.stage("equilibrating", 1000)
    steps(progress, clock, 10, 30.0, 1)
    steps(progress, clock, 10, 10.0, 99)
    assert lines()[:3] == ["equilibrating", "equilibrating: 10 %, 0:15:00 left", "equilibrating: 20 %, 0:13:20 left"]
    assert lines()[-2:] == ["equilibrating: 90 %, 0:01:40 left", "equilibrating: done in 0:17:00"]
    assert len(lines()) == 1 + 9 + 1


def test_a_long_stage_is_told_of_every_ten_minutes(log: Any) -> None:
    """Ten hours: a tenth is an hour."""
    progress, clock, lines = log
    progress.stage("sampling 1", 36000)
    steps(progress, clock, 60, 60.0, 30)
    assert lines() == ["sampling 1"] + [
        f"sampling 1: {k} %, {left} left" for k, left in ((1, "9:50:00"), (3, "9:40:00"), (5, "9:30:00"))
    ]


def test_what_an_earlier_process_did_is_no_pace(log: Any) -> None:
    """A resumed sample begins at 800 of 1000; 100 more take 50 s."""
    progress, clock, lines = log
    progress.stage("sampling 1", 1000)
    progress.advance(800)
    steps(progress, clock, 100, 50.0, 2)
    assert lines() == ["sampling 1", "sampling 1: 90 %, 0:00:50 left", "sampling 1: done in 0:01:40"]


@pytest.mark.parametrize("total", [0, 5])
def test_more_than_was_announced_and_nothing_at_all(log: Any, total: int) -> None:
    progress, clock, lines = log
    progress.stage("fetching", total)
    progress.advance(0)
    steps(progress, clock, 2, 400.0, 6)
    expected = ["fetching: 4", "fetching: 8", "fetching: 12"]
    if total:
        expected = ["fetching: 40 %", "fetching: 80 %, 0:03:20 left", "fetching: done in 0:20:00"]
    assert lines()[1:] == expected


def test_before_two_pieces_nothing_is_foretold() -> None:
    pace = Pace(4, 0.0)
    assert pace.left(5.0) is None
    assert pace.advanced(1, 60.0) == "25 %"
    assert pace.left(61.0) is None
    assert pace.advanced(1, 80.0) == "50 %, 0:00:40 left"
    assert pace.share == 0.5


def test_what_has_no_units_is_said_where_it_takes_long(log: Any) -> None:
    console = Console(file=io.StringIO(), width=80)
    slow, said = LineProgress(console, patience=0.01), threading.Event()
    print_line = console.print
    console.print = lambda *a, **k: (print_line(*a, **k), said.set())  # type: ignore[method-assign, assignment]
    slow.doing("compiling dynamics")
    assert said.wait(10.0)
    assert console.file.getvalue().endswith("compiling dynamics\n")  # type: ignore[attr-defined]

    progress, _, lines = log
    for end in (lambda: progress.advance(1), lambda: progress.message("x"), lambda: progress.doing("y")):
        progress.doing("compiling dynamics")
        waiting = progress._waiting
        end()
        waiting.join(10.0)  # cancelled, it does not wait for its five seconds
    progress.close()
    assert lines() == ["x"]


def test_a_bar_says_it_beside_its_label() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    with terminal_progress(console) as progress, compiled.tell_compilations(progress.doing):
        progress.doing("nothing yet")
        progress.stage("sampling [1]", 10)
        compiled.announce("dynamics")
        progress.message("a line")
        assert progress._described == "sampling [1], compiling dynamics"  # type: ignore[attr-defined]
        progress.advance(4)
        assert progress._described == "sampling [1]"  # type: ignore[attr-defined]
    compiled.announce("nobody listens")

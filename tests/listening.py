"""Progress that remembers, and progress that ends a run from inside, like one that is killed."""

from __future__ import annotations

from refine.progress import NullProgress


class Told(NullProgress):
    """Remembers what it is told: messages, and of each stage its label, its total and the units that were done."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: list[tuple[str, int, int]] = []

    def stage(self, label: str, total: int) -> None:
        self.stages.append((label, total, 0))

    def advance(self, n: int) -> None:
        label, total, done = self.stages.pop()
        self.stages.append((label, total, done + n))

    def message(self, text: str) -> None:
        self.lines.append(text)


class Stop(BaseException):
    """Ends a run like a crash: nothing of refine catches it."""


class StopIn(NullProgress):
    """Progress that ends the run in the n-th piece of stages, or at the n-th message, that begin with the words."""

    def __init__(self, words: str, n: int = 1) -> None:
        self.words, self.left, self.label = words, n, ""

    def stage(self, label: str, total: int) -> None:
        self.label = label

    def advance(self, n: int) -> None:
        if n > 0:
            self.message(self.label)

    def message(self, text: str) -> None:
        self.left -= text.startswith(self.words)
        if self.left == 0:
            self.end()

    def end(self) -> None:
        """What ends it."""
        raise Stop

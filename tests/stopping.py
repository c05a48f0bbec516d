"""A run that ends from inside, like one that is killed."""

from __future__ import annotations

from refine.progress import NullProgress


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

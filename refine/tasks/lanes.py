"""Work on several states at the same time, where they have devices of their own; else one after the other.

Threads do little more here than wait for their devices. What is made of a state follows from nothing but this state, so
that the numbers of a run do not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from refine.progress import NullProgress, Progress

if TYPE_CHECKING:
    from refine.sampling.engine import Engine
    from refine.study.study import Study

T = TypeVar("T")

Work = Callable[[Progress], Iterator[T]]
"""What is done for a state, thing by thing; it tells the progress that it is given how far it is."""


def lanes_of(study: Study, engines: Sequence[Engine[Any]]) -> list[int]:
    """Of the engine of each state of a study; those of different lanes are independent of each other."""
    return [study.engine.lane(engine) for engine in engines]


def longest(lanes: Sequence[int]) -> int:
    """Works in the lane that has most of them: so many one after the other are all of them.

    >>> longest([0, 1, 0])
    2
    """
    return max(map(lanes.count, lanes))


def in_lanes(
    works: Sequence[Work[T]], lanes: Sequence[int], progress: Progress, *, together: tuple[str, int] | None = None
) -> Iterator[tuple[int, T]]:
    """What each of the works yields, in its order, with the work's number; those of one lane one after the other.

    With one lane it is a loop over them. With several, each has a thread, which goes on while others are waited for.
    What a work raises is raised when those before it are done, whatever those behind it have come to by then: of
    several errors it is the one that a loop would have met. Who stops taking things waits until each thread tells its
    progress, or yields, and ends there.

    Args:
        lanes: of each work.
        progress: told by works what they tell theirs; with several lanes, from this thread, only what they advance.
        together: of the stage that all works are then, its label and units; None: it is told by others.
    """
    if len(set(lanes)) < 2:
        for k, work in enumerate(works):
            for thing in work(progress):
                yield k, thing
        return
    if together is not None:
        progress.stage(*together)
    numbers = {lane: [k for k, one in enumerate(lanes) if one == lane] for lane in sorted(set(lanes))}
    found: SimpleQueue[tuple[int, T] | int | None] = SimpleQueue()  # things, units of progress, the end of a lane
    failed: dict[int, BaseException] = {}
    left = Event()

    def carry_out(lane: int) -> None:
        k = -1

        def put(item: tuple[int, T] | int) -> None:
            found.put(item)
            if left.is_set() or k > min(failed, default=k):
                raise _Unwanted

        try:
            for k in numbers[lane]:
                for thing in works[k](_Relay(put)):
                    put((k, thing))
        except _Unwanted:
            pass
        except BaseException as error:  # handed on to who waits
            failed[k] = error
        finally:
            found.put(None)

    threads = [Thread(target=carry_out, args=(lane,), name=f"lane {lane}", daemon=True) for lane in numbers]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            while (item := found.get()) is not None:
                if isinstance(item, int):
                    progress.advance(item)
                else:
                    yield item
    finally:
        left.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[min(failed)]


def in_order(found: Iterator[tuple[int, T]]) -> Iterator[T]:
    """What works yielded that yield one thing each, in the order of the works, as soon as it is known.

    >>> list(in_order(iter([(1, "b"), (0, "a"), (2, "c")])))
    ['a', 'b', 'c']
    """
    waiting: dict[int, T] = {}
    first = 0
    for k, thing in found:
        waiting[k] = thing
        while first in waiting:
            yield waiting.pop(first)
            first += 1


class _Unwanted(Exception):
    """Ends a work that nobody waits for."""


class _Relay(NullProgress):
    """Hands on what is advanced."""

    def __init__(self, advanced: Callable[[int], None]) -> None:
        self._advanced = advanced

    def advance(self, n: int) -> None:
        """See `Progress`."""
        self._advanced(n)

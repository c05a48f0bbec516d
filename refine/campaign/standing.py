"""Where a campaign stands, campaign.json: every point, its tasks, and how they ended."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refine.errors import InputError
from refine.files import is_held, write_text
from refine.progress import duration
from refine.results.schema import read_text

FORMAT = 1
CAMPAIGN = "campaign.json"
MOST_BYTES = 2**28

Ending = Literal["waiting", "done", "input", "machine"]
"""Of a task: it is not over; it did what it should; the input was at fault; something else was, more often than
[run] retries."""


class StepStanding(BaseModel):
    """A task.

    line: why it failed.  code: of its process, the last time.  seconds: that it took, all starts together.
    starts: how often it was started.  faults: of these, how often a machine ended it without its having come further.
    stops: how often its walltime ended it.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    task: str
    ending: Ending = "waiting"
    line: str = ""
    code: int | None = None
    seconds: float = 0.0
    starts: int = 0
    faults: int = 0
    stops: int = 0


class PointStanding(BaseModel):
    """A point.

    name: of its folder.  values: by the keys of the grid.  digest: of what its results follow from.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9+_-][A-Za-z0-9.+_-]{0,99}$")
    values: dict[str, Any] = {}
    digest: str = ""
    steps: list[StepStanding] = []

    @property
    def ending(self) -> Ending:
        """Of all its tasks: that of the one that failed, or done where all are."""
        endings = [step.ending for step in self.steps]
        failed = [one for one in endings if one in ("input", "machine")]
        return failed[0] if failed else "done" if all(one == "done" for one in endings) else "waiting"

    @property
    def failure(self) -> tuple[str, str] | None:
        """The task that failed, and why."""
        return next(((s.task, s.line) for s in self.steps if s.ending in ("input", "machine")), None)


class Standing(BaseModel):
    """A campaign.

    labels: of the keys of the grid.  running: tasks that are being carried out, when this was written; None: nobody
    carries any out.  left: s, at the pace until then; None: there is none.  written: s since 1970.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    format: int = FORMAT
    title: str
    study: str
    tasks: list[str]
    executor: str = ""
    labels: dict[str, str] = {}
    collect: list[str] = []
    running: int | None = None
    left: float | None = None
    written: float = 0.0
    points: list[PointStanding]

    def counts(self) -> dict[str, int]:
        """Points that are done, waiting (those that run among them), and failed."""
        found = Counter(point.ending for point in self.points)
        return {"done": found["done"], "waiting": found["waiting"], "failed": found["input"] + found["machine"]}

    def words(self, *, left: bool = True) -> str:
        """The same in one line, with what runs and, if asked, how long the rest takes.

        >>> points = [PointStanding(name=name, steps=[StepStanding(task="run")]) for name in "abc"]
        >>> Standing(title="", study="", tasks=[], running=2, left=300.0, points=points).words()
        '0 of 3 points done, 2 tasks running, 1 waiting, 0 failed; about 5 min left'
        """
        n, running = self.counts(), self.running or 0
        tasks = f"{running} task{'s' * (running != 1)} running"
        waiting = max(0, n["waiting"] - running)
        told = f"{n['done']} of {len(self.points)} points done, {tasks}, {waiting} waiting, {n['failed']} failed"
        known = left and self.left is not None and n["waiting"] > 0
        return f"{told}; about {duration(self.left or 0.0)} left" if known else told

    def failures(self) -> list[tuple[PointStanding, str, str]]:
        """Points that failed, the task, and the line."""
        return [(point, *why) for point in self.points if (why := point.failure) is not None]

    def write(self, out: Path) -> None:
        """Write campaign.json, atomically."""
        text = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, allow_nan=False, indent=1)
        write_text(out / CAMPAIGN, text.encode("utf-8", "replace").decode("utf-8") + "\n")


def read_standing(out: Path) -> Standing:
    """Where the campaign in a folder stands.

    Raises:
        InputError: there is none, or the file cannot be read, is of a later format, or damaged.
    """
    path, fix = out / CAMPAIGN, "give the folder of a campaign"
    if not path.is_file():
        raise InputError("there is no campaign", where=str(out), fix=fix)
    try:
        tree = json.loads(read_text(path, MOST_BYTES))
        if isinstance(tree, dict) and isinstance(tree.get("format"), int) and tree["format"] > FORMAT:
            raise InputError("is of a later version of refine", where=str(path), fix="use that one")
        return Standing.model_validate(tree)
    except (ValueError, RecursionError, ValidationError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"is damaged ({told})", where=str(path), fix="start the campaign in another folder") from None


def standing_now(out: Path) -> tuple[Standing, bool]:
    """Where the campaign in a folder stands, and whether anybody carries it out now; where nobody does, nothing runs.

    Raises as `read_standing`.
    """
    standing, carried_out = read_standing(out), is_held(out)
    if not carried_out:
        standing.running = standing.left = None
    return standing, carried_out

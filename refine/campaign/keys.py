"""What a campaign file may say. It is read, and refused, before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from refine.tables.explain import shown
from refine.tables.file import File
from refine.tables.table import Table
from refine.tables.values import FileName, Integer, Kind, Line, Number, Switch, refusal

CHAIN = ("prepare", "run", "compare")
"""Tasks that may follow one another in a point, in this order."""

MOST_POINTS = 20_000
"""Of a campaign. A folder and a line of the record each: docs/tutorials/campaigns.md says what that asks for."""

MOST_AXES = 20

Task = Literal["run", "compare", "forward", "prepare", "learn"]


def _flat(value: Any) -> Any:
    """{"system.number_density": [...]} of a table whose keys may be dotted, or tables of tables."""
    if not isinstance(value, Mapping):
        raise refusal("should be a table of keys of the study")
    found: dict[str, Any] = {}
    rest: list[tuple[str, Any]] = list(value.items())
    while rest:
        key, inner = rest.pop(0)
        if isinstance(inner, Mapping) and inner:
            rest[:0] = [(f"{key}.{name}", more) for name, more in inner.items()]
        elif key in found:
            raise refusal(f"has {shown(key)} twice")
        else:
            found[key] = inner
    return found


def _axes(value: Any) -> Any:
    """Lists of values by key."""
    found = _flat(value)
    if len(found) > MOST_AXES:
        raise refusal(f"has {len(found)} keys, and {MOST_AXES} are allowed")
    for key, values in found.items():
        _refuse_key(key)
        if not isinstance(values, list) or not values:
            raise refusal(f"{shown(key)} should be a list of one value or more, and is {shown(values)}")
        for one in values:
            _refuse_value(key, one)
        if any(one in values[:k] for k, one in enumerate(values)):
            raise refusal(f"{shown(key)} has a value twice")
    return {key: tuple(values) for key, values in found.items()}


def _choices(value: Any) -> Any:
    """A value, or a list of them, by key."""
    found = _flat(value)
    for key, values in found.items():
        _refuse_key(key)
        for one in values if isinstance(values, list) else [values]:
            _refuse_value(key, one)
    if not found:
        raise refusal("should name one key or more")
    return {key: tuple(values) if isinstance(values, list) else (values,) for key, values in found.items()}


def _refuse_key(key: str) -> None:
    if len(key) > 120 or "=" in key or not all(part.strip() for part in key.split(".")) or not key.isprintable():
        raise refusal(f"{shown(key)} is no key of a study, such as system.number_density")


def _refuse_value(key: str, value: Any) -> None:
    """What TOML can say but a study's value cannot be, dates, and what is nested deeper than any of its values."""
    depth, level = 0, [value]
    while level:
        if depth > 4 or not all(isinstance(one, str | bool | int | float | list | dict) for one in level):
            raise refusal(f"{shown(key)} has {shown(value)}, which is no value of a study")
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, list | dict)]
        depth, level = depth + 1, [more for one in inner for more in one]


def _tasks(value: Any) -> Any:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not words:
        raise refusal("should be a task, or a list of tasks that follow one another")
    return tuple(words)


def _in_order(tasks: tuple[str, ...]) -> tuple[str, ...]:
    if len(tasks) > 1 and (not set(tasks) <= set(CHAIN) or list(tasks) != [one for one in CHAIN if one in tasks]):
        raise refusal(f"should be one task, or some of {', '.join(CHAIN)} in this order")
    return tasks


def _seconds(value: Any) -> Any:
    """Seconds of HH:MM:SS."""
    found = re.fullmatch(r"([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])", value) if isinstance(value, str) else None
    if found is None or value in ("0:00:00", "00:00:00"):
        raise refusal('should be a time as schedulers write it, "HH:MM:SS", as in "01:30:00"')
    hours, minutes, seconds = map(int, found.groups())
    return 3600 * hours + 60 * minutes + seconds


Axes = Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_axes), Kind("`{ key = list of values, ... }`")]
Values = Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_choices)]
Zipped = Annotated[tuple[Axes, ...], Kind("tables like `[grid]`")]
Chosen = Annotated[tuple[Values, ...], Kind("list of `{ key = value or list of values, ... }`")]
Tasks = Annotated[
    tuple[Task, ...],
    BeforeValidator(_tasks),
    AfterValidator(_in_order),
    Kind('`"run"`, `"compare"`, `"forward"`, `"prepare"`, `"learn"`, or a list of `"prepare"`, `"run"`, `"compare"`'),
]
Walltime = Annotated[int, BeforeValidator(_seconds), Kind('`"HH:MM:SS"`')]
Repeats = Annotated[
    tuple[Annotated[Integer, Field(ge=1, le=999)], ...],
    Field(min_length=3, max_length=3),
    Kind("list of three whole numbers"),
]
Group = Literal["scores", "numbers", "pressures", "parameters", "machine"]


class Select(Table):
    """Which points of the grid are wanted: all, but for these. A point is meant where it has the value of each key."""

    only: Chosen = Field((), description="Points of these alone.")
    leave_out: Chosen = Field((), description="None of these points.")


class Execution(Table):
    """What is done in each point, and what a task may use."""

    task: Tasks = Field(
        ("run",),
        description="The command, or several that follow one another: a run begins from the structures that `prepare` "
        "made, `compare` ranks the base model beside the refined potential.",
    )
    workers: Annotated[Integer, Field(ge=1, le=1024)] | None = Field(
        None,
        description="Tasks at a time on this machine. Default: as many as cores and memory suffice for. A site file "
        "says its own.",
    )
    cores: Annotated[Integer, Field(ge=1, le=1024)] = Field(
        1, description="Cores of a task: it is pinned to them where the system can, and starts so many threads."
    )
    memory: Annotated[Number, Field(gt=0, le=100_000)] | None = Field(
        None,
        description="GiB of memory that a task may take, on Linux with the programs that it starts; one that takes "
        "more is ended and not tried again. Default: no limit.",
    )
    walltime: Walltime | None = Field(
        None,
        description="How long a task may take. A run or a training stops before that at a checkpoint, and is queued "
        "again. Default: as long as it takes.",
    )
    retries: Annotated[Integer, Field(ge=0, le=100)] = Field(
        2,
        description="How often a task is started again that a machine ended without its having come further. What the "
        "input is at fault for is not tried again.",
    )


class Prepare(Table):
    """Of the task prepare."""

    replicate: Repeats = Field((1, 1, 1), description="Copies along the cell's vectors.")
    settle: Annotated[Number, Field(ge=0)] | None = Field(
        None, description="Time in ps after replication. Default: the equilibration."
    )


class Comparing(Table):
    """Of the task compare."""

    models: Annotated[tuple[FileName, ...], Kind("list of paths")] = Field(
        (), description="Files with a [model] table, relative to this file. Default: the study's."
    )
    heads: Line | None = Field(None, description='Heads of a MACE model, a row each: `"all"`, or names with commas.')
    dispersion: Switch = Field(False, description="Each model with its D3 and without.")


class Forward(Table):
    """Of the task forward. As keys of the grid, `forward.trajectory` and the others are of a point."""

    trajectory: FileName | None = Field(None, description="The trajectory, relative to this file. Required.")
    state: Line | None = Field(None, description="State that it stands for, if there are several.")
    species: Line | None = Field(None, description="Element of each atom type of a LAMMPS dump, as in `Si,O`.")
    elements: Line | None = Field(None, description="Elements of labels, as in `OW=O,HW=H`.")
    atoms: FileName | None = Field(
        None, description="Structure that names the atoms of a DCD, XTC or TRR in its order; relative to this file."
    )
    cell: Line | None = Field(None, description="Cell of a file that has none, Å, as in `12.4` or `10,10,20`.")
    format: Line | None = Field(None, description="As ASE calls it. Default: found from the file.")
    first: Annotated[Integer, Field(ge=1)] | None = Field(None, description="First frame that is taken, from 1.")
    last: Annotated[Integer, Field(ge=1)] | None = Field(None, description="Last frame. Default: all.")
    every: Annotated[Integer, Field(ge=1)] | None = Field(None, description="Take every N-th frame.")
    rescale: Switch = Field(False, description="Scale all lengths, by 3 % at most, so that the density is the study's.")


class Collected(Table):
    """What the table holds besides the point, its values and how it ended."""

    collect: Annotated[tuple[Group, ...], Kind("list of words")] = Field(
        ("scores", "numbers", "pressures"),
        description='`"scores"`: R_χ and χ² of every data set; `"numbers"`: measured numbers; `"pressures"`; '
        '`"parameters"`: those of the base that were refined; `"machine"`: seconds, device and version.',
    )


class CampaignConfig(File):
    """A campaign file.

    >>> CampaignConfig.parse({"study": "study.toml", "grid": {"sampling.seed": [1, 2]}}).grid
    {'sampling.seed': (1, 2)}
    """

    word: ClassVar[str] = "campaign"
    kind: ClassVar[str] = "campaign file"
    asked: ClassVar[str] = "give the path of a file with study and [grid]"

    title: Line = Field("A campaign", max_length=300, description="Heading of the page.")
    study: FileName = Field(
        description="The study that the points vary, or the file of refine learn; relative to this file."
    )
    grid: Axes = Field(
        default_factory=dict,
        description="Keys of the study as `--set` takes them, each with a list of values: every combination is a "
        "point. `system.formula` takes compositions, `model` tables or files with a [model] table.",
    )
    zip: Zipped = Field(
        (),
        description="Keys whose lists, of one length, are taken side by side: the first values, the second ones, ...; "
        "each table is crossed with the rest.",
    )
    select: Select = Select()
    run: Execution = Execution()
    prepare: Prepare = Prepare()
    compare: Comparing = Comparing()
    forward: Forward = Forward()
    table: Collected = Collected()

    @model_validator(mode="after")
    def _keys_fit_together(self) -> Self:
        listed = [*self.grid.items(), *(axis for table in self.zip for axis in table.items())]
        axes = [key for key, _ in listed]
        for key in axes:
            if axes.count(key) > 1:
                raise refusal(f"[grid] and [[zip]] have {shown(key)} twice")
        values = dict(listed)
        for table in self.zip:
            lengths = {key: len(values) for key, values in table.items()}
            if len(set(lengths.values())) != 1:
                told = ", ".join(f"{key} has {n}" for key, n in lengths.items())
                raise refusal(f"[[zip]] should have lists of one length, and {told or 'is empty'}")
        for word in ("only", "leave_out"):
            for choice in getattr(self.select, word):
                for key, wanted in choice.items():
                    if key not in values:
                        raise refusal(f"[select] {word} names {shown(key)}, which is not in [grid] or [[zip]]")
                    for value in wanted:
                        if value not in values[key]:
                            told = f"{key} = {shown(value)}, which is none of its values"
                            raise refusal(f"[select] {word} names {told}")
        asks = self.run.task == ("forward",) and "forward.trajectory" not in axes
        if asks and self.forward.trajectory is None:
            raise refusal("[forward] has no 'trajectory'")
        return self

    @property
    def study_path(self) -> Path:
        """Where `study` is."""
        return self._folder / self.study

    @property
    def folder(self) -> Path:
        """The folder that paths are relative to."""
        return self._folder

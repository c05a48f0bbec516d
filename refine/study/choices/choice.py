"""A decision, and all settings of a study with every number known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from refine.study.schema import StudyConfig


@dataclass(frozen=True)
class Choice:
    """What was chosen for a key of the study, and why.

    Attributes:
        key: "table.key", as `--set` takes it.
        value: the number, or the word.
        unit: of it; empty for a plain number.
        reason: one sentence for a reader, without the value.
        doubted: whether the reader should look at it: the report warns.
    """

    key: str
    value: Any
    unit: str
    reason: str
    doubted: bool = False

    def words(self) -> str:
        """The line that a terminal shows.

        >>> Choice("sampling.timestep", 2.0, "fs", "a fifteenth of a period").words()
        'chose sampling.timestep = 2 fs: a fifteenth of a period'
        """
        warning = "warning: " if self.doubted else ""
        return f"{warning}chose {self.key} = {shown_value(self.value, self.unit)}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def shown_value(value: float | str, unit: str) -> str:
    """A number with its unit, or a word, for a reader.

    >>> shown_value(2.0, "fs"), shown_value("jax", "")
    ('2 fs', 'jax')
    """
    number = value if isinstance(value, str) else f"{value:g}"
    return f"{number} {unit}" if unit else number


@dataclass(frozen=True)
class Settings:
    """[sampling], and the splines of [correction], of a study with every number known; keys as there."""

    engine: str
    timestep: float
    thermostat: str
    time_constant: float
    equilibration: float
    reequilibration: float
    frames: int
    stride: int
    final: float
    replicas: int
    seed: int
    precision: str
    processes: int
    threads: int
    devices: int
    bin_width: float
    r_min: float
    knots: int

    @classmethod
    def of(cls, config: StudyConfig, choices: Iterable[Choice]) -> Self:
        """What the study gives, and choices where it gives nothing; KeyError where neither does."""
        chosen = {choice.key: choice.value for choice in choices}
        splines = {"r_min": config.correction.r_min, "knots": config.correction.knots}
        tables = {"sampling": config.sampling.model_dump(exclude={"keep"}), "correction": splines}
        numbers = {
            key: chosen[f"{table}.{key}"] if value == "auto" else value
            for table, keys in tables.items()
            for key, value in keys.items()
        }
        whole = {key: int(numbers[key]) for key in ("frames", "stride", "replicas", "knots")}
        values: dict[str, Any] = {**numbers, **whole}
        return cls(**values)

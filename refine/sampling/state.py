"""States of trajectories between two blocks of work: all that their continuation depends on, on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_THERMOSTAT, _ENGINE = "thermostat.", "engine."

_OF_EXTERNAL = ("positions", "momenta", "step", "displacement", "sampled_steps")


class State(Protocol):
    """What the state of any engine has."""

    @property
    def positions(self) -> NDArray[np.floating[Any]]:
        """(R, N, 3) Å, of R replicas."""

    @property
    def step(self) -> int:
        """Steps since the start, of whatever kind."""

    def to_arrays(self) -> Arrays:
        """Everything as arrays, for a checkpoint; `stored_state` makes it a state again."""


class Moving(State, Protocol):
    """What the state of molecular dynamics has, whatever engine it is of."""

    @property
    def momenta(self) -> NDArray[np.floating[Any]]:
        """(R, N, 3), eV-Å-amu."""

    @property
    def displacement(self) -> NDArray[np.float64]:
        """(R, N, 3) Å that the atoms have moved, unwrapped, in the last `sampled_steps` steps."""

    @property
    def sampled_steps(self) -> int:
        """Steps since the equilibration, later samples and what lies between them included."""


@dataclass(frozen=True)
class MDState:
    """The state of molecular dynamics.

    positions: (R, N, 3) Å, wrapped into the cell.  momenta: (R, N, 3), eV-Å-amu.
    thermostat: variables of the thermostat, each (R, ...).  step: steps since the start.
    capacity: of the neighbour list, neighbours of an atom.  skin: Å; infinite for a list of all pairs.
    displacement: (R, N, 3) Å that the atoms have moved, unwrapped, in the last `sampled_steps` steps, those since the
        equilibration, later samples and what lies between them included. It serves only to tell a frozen system.
    """

    positions: NDArray[np.floating[Any]]
    momenta: NDArray[np.floating[Any]]
    thermostat: Arrays
    step: int
    capacity: int
    skin: float
    displacement: NDArray[np.float64]
    sampled_steps: int

    def to_arrays(self) -> Arrays:
        """Everything as arrays, for a checkpoint; thermostat variables under "thermostat.<name>"."""
        arrays = {
            "positions": self.positions,
            "momenta": self.momenta,
            "step": np.asarray(self.step),
            "capacity": np.asarray(self.capacity),
            "skin": np.asarray(self.skin),
            "displacement": self.displacement,
            "sampled_steps": np.asarray(self.sampled_steps),
        }
        return arrays | {_THERMOSTAT + name: value for name, value in self.thermostat.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of `to_arrays`, bit for bit."""
        thermostat = {name: value for name, value in arrays.items() if name.startswith(_THERMOSTAT)}
        return cls(
            positions=np.asarray(arrays["positions"]),
            momenta=np.asarray(arrays["momenta"]),
            thermostat={name.removeprefix(_THERMOSTAT): np.asarray(value) for name, value in thermostat.items()},
            step=int(arrays["step"]),
            capacity=int(arrays["capacity"]),
            skin=float(arrays["skin"]),
            displacement=np.asarray(arrays["displacement"]),
            sampled_steps=int(arrays["sampled_steps"]),
        )


@dataclass(frozen=True)
class ExternalState:
    """The state of molecular dynamics that another program does.

    engine: its name.  positions: (R, N, 3) Å, wrapped into the cell.  momenta: (R, N, 3), eV-Å-amu.
    thermostat: what continues the thermostat, each (R, ...).  The others are those of `MDState`.
    """

    engine: str
    positions: NDArray[np.float64]
    momenta: NDArray[np.float64]
    thermostat: Arrays
    step: int
    displacement: NDArray[np.float64]
    sampled_steps: int

    def to_arrays(self) -> Arrays:
        """Everything as arrays, for a checkpoint; the name of the engine is that of an empty one."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _OF_EXTERNAL}
        thermostat = {_THERMOSTAT + name: value for name, value in self.thermostat.items()}
        return arrays | thermostat | {_ENGINE + self.engine: np.zeros(0)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of `to_arrays`, bit for bit."""
        values: dict[str, Any] = {name: np.asarray(arrays[name]) for name in _OF_EXTERNAL}
        for name in ("step", "sampled_steps"):
            values[name] = int(values[name])
        (engine,) = (name.removeprefix(_ENGINE) for name in arrays if name.startswith(_ENGINE))
        thermostat = {
            name.removeprefix(_THERMOSTAT): np.asarray(value)
            for name, value in arrays.items()
            if name.startswith(_THERMOSTAT)
        }
        return cls(engine=engine, thermostat=thermostat, **values)


@dataclass(frozen=True)
class MoveState:
    """The state of a Monte Carlo simulation whose moves displace single atoms.

    positions: (R, N, 3) Å, wrapped into the cell.  key: (R, 2) uint32, of the random numbers to come.
    step_length: (R,) Å, the longest displacement along each axis.  step: moves of every atom since the start.
    """

    positions: NDArray[np.floating[Any]]
    key: NDArray[np.uint32]
    step_length: NDArray[np.float64]
    step: int

    def to_arrays(self) -> Arrays:
        """Everything as arrays, for a checkpoint."""
        return {
            "positions": self.positions,
            "key": self.key,
            "step_length": self.step_length,
            "step": np.asarray(self.step),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of `to_arrays`, bit for bit.

        Checkpoints of before had key and step length among the variables of a thermostat.
        """
        prefix = "" if "step_length" in arrays else _THERMOSTAT
        return cls(
            positions=np.asarray(arrays["positions"]),
            key=np.asarray(arrays[prefix + "key"]),
            step_length=np.asarray(arrays[prefix + "step_length"]),
            step=int(arrays["step"]),
        )


def stored_state(arrays: Arrays) -> State:
    """The state whose `to_arrays` these are; KeyError where they are of none.

    >>> state = MoveState(np.zeros((1, 2, 3)), np.zeros((1, 2), np.uint32), np.full(1, 0.1), step=5)
    >>> stored_state(state.to_arrays()).step
    5
    """
    if any(name.startswith(_ENGINE) for name in arrays):
        return ExternalState.from_arrays(arrays)
    moves = any(name.removeprefix(_THERMOSTAT) == "step_length" for name in arrays)
    return MoveState.from_arrays(arrays) if moves else MDState.from_arrays(arrays)

"""The state of a trajectory between two blocks of steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

_THERMOSTAT = "thermostat."


@dataclass(frozen=True)
class MDState:
    """All that the continuation of a trajectory depends on, on the host.

    positions: (R, N, 3) Å, wrapped into the cell.  momenta: (R, N, 3), eV-Å-amu.
    thermostat: variables of the thermostat, each (R, ...).  step: steps since the start.
    capacity: places per atom in the neighbour list.  skin: Å; infinite for a list of all pairs.
    displacement: (R, N, 3) Å that the atoms have moved, unwrapped, in the last `sampled_steps` steps, those since the
        equilibration, later samples and what lies between them included. It serves only to tell a frozen system.
    """

    positions: np.ndarray
    momenta: np.ndarray
    thermostat: dict[str, np.ndarray]
    step: int
    capacity: int
    skin: float
    displacement: np.ndarray
    sampled_steps: int

    def to_arrays(self) -> dict[str, np.ndarray]:
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
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
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

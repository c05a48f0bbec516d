"""A trajectory as the data sets of one state see it: numbers, table, files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refine.files import exclusive
from refine.results.tables import plain
from refine.sampling.frames import Frames
from refine.sampling.trajectories import CountedTrajectory
from refine.study.datasets import Prediction
from refine.study.schema import State, StudyConfig
from refine.system import Box
from refine.tasks.forward.compared import Compared, ComparedNumber
from refine.tasks.forward.seen import FOLDERS, Seen, number_of_frames
from refine.tasks.outputs import clear, refuse_inputs, refuse_taken, write_files

MARK = "forward.json"
"""What a folder of this command is known by."""

OUTPUTS = (*FOLDERS, MARK)
"""What is written to the folder."""


def check_out(config: StudyConfig, folder: Path, trajectory: Path, *, overwrite: bool = False) -> None:
    """Refuses a folder with a run, with files that are read, with outputs that are of something else, or, where they
    are not to be replaced, with earlier ones."""
    refuse_inputs(config, [folder / name for name in OUTPUTS], [trajectory])
    refuse_taken(folder, OUTPUTS, MARK, overwrite=overwrite)


@dataclass(frozen=True)
class Forward:
    """A trajectory as the data sets of one state see it."""

    trajectory: Path
    config: StudyConfig
    counted: CountedTrajectory
    seen: Seen
    factor: float = 1.0

    @property
    def state(self) -> State:
        """The study's state that the trajectory stands for."""
        return self.seen.state

    @property
    def box(self) -> Box:
        """The mean one of the trajectory."""
        return self.seen.box

    @property
    def frames(self) -> Frames:
        """In bins that are `finer` than the study's."""
        return self.seen.frames

    @property
    def finer(self) -> int:
        """Into how many bins each of the study is divided."""
        return self.seen.finer

    @property
    def scores(self) -> tuple[Compared, ...]:
        """Of the measured curves."""
        return self.seen.scores

    @property
    def numbers(self) -> tuple[ComparedNumber, ...]:
        """Of the measured numbers."""
        return self.seen.numbers

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """Curves that nothing is compared with."""
        return self.seen.predictions

    def write(self, folder: Path, *, overwrite: bool = False) -> None:
        """forward.json, and the tables curves/, t_r/ (by data set), g_r/ and s_q/ (by state), in `folder`.

        overwrite: replace those of an earlier call, which is an error without.
        """
        with exclusive(folder):
            check_out(self.config, folder, self.trajectory, overwrite=overwrite)
            clear(folder, OUTPUTS)
            write_files(folder, dict(self.seen.files()))
            write_files(folder, {MARK: json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"})

    def to_json(self) -> dict[str, Any]:
        """What forward.json holds."""
        system = self.counted.system
        table = {
            "title": self.config.title,
            "trajectory": str(self.trajectory),
            "state": self.state.name,
            "frames": self.counted.read,
            "atoms": dict(zip(system.species, system.n_per_species, strict=True)),
            "number_density": system.number_density,
            "cell": system.cell,
            "volumes": self.counted.volumes,
            "rescaled_by": self.factor,
            "r_box": self.box.r_max,
            **self.seen.to_json(),
        }
        return dict(plain(table))

    def table(self) -> str:
        """What the terminal shows."""
        system, low, high = self.counted.system, *self.counted.volumes
        atoms = ", ".join(f"{n} {name}" for name, n in zip(system.species, system.n_per_species, strict=True))
        density = f"{system.number_density:.5f} atoms/Å^3"
        if high > low * (1 + 1e-9):
            density += f" on average (volume {low:.0f} to {high:.0f} Å^3)"
        reach = f"g(r) to {self.box.r_max:.2f} Å"
        lines = [f"{self.trajectory.name}: {number_of_frames(self.counted.read)} of {atoms}, {density}, {reach}"]
        if self.factor != 1.0:
            lines.append(
                f"all lengths times {self.factor:.5f}: the density is the study's, and every bond longer or shorter"
            )
        return "\n".join([*lines, "", *self.seen.lines()])

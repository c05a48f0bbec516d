"""What acts, as LAMMPS takes it: lines of its input script, and the files that these name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from refine.potentials.topology import Topology


@dataclass(frozen=True)
class LammpsPotential:
    """What acts, as text: equal texts are one potential.

    commands: lines of an input script, once box and atoms are there.  files: texts by the names that the lines have.
    paths: files that are read where they are, by the names that the lines have.
    units: of LAMMPS, that the lines are in.
    topology: of the molecules; None: there are none.
    """

    commands: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    units: str = "metal"
    topology: Topology | None = None

    def placed(self, folder: Path) -> list[str]:
        """The lines with whole paths for the names; the files are written into a folder."""
        where = dict(self.paths)
        for name, text in self.files.items():
            where[name] = folder / name
            where[name].write_text(text, encoding="ascii", errors="replace")
        return [
            " ".join(f'"{where[word]}"' if word in where else word for word in line.split(" "))
            for line in self.commands
        ]

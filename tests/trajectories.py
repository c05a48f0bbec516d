"""The same frames in the formats of other programs."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import ase
import ase.io
import numpy as np

from refine.sampling.starts import packed_positions
from refine.system import make_system

CELL = np.array([[11.0, 0.0, 0.0], [2.5, 10.0, 0.0], [-1.5, 2.0, 12.0]])
"""Triclinic, as LAMMPS has it: lower triangular."""


def frames(number: int = 5, species: dict[str, int] | None = None, cell: np.ndarray = CELL) -> list[ase.Atoms]:
    """Packings of three elements, mixed in their order."""
    species = {"Si": 14, "O": 29, "Na": 7} if species is None else species
    system = make_system(species, cell)
    symbols = np.repeat(list(species), list(species.values()))
    order = np.random.default_rng(7).permutation(len(symbols))
    return [
        ase.Atoms(symbols[order], positions=packed_positions(system, seed)[order], cell=cell, pbc=True)
        for seed in range(number)
    ]


def write_extxyz(path: Path, images: Sequence[ase.Atoms]) -> Path:
    ase.io.write(path, images, format="extxyz")
    return path


def write_xdatcar(path: Path, images: Sequence[ase.Atoms]) -> Path:
    """Eleven digits, where ASE writes eight."""
    symbols = np.array(images[0].get_chemical_symbols())
    kinds = list(dict.fromkeys(symbols))
    lines, last = [], None
    for number, atoms in enumerate(images, start=1):
        if last is None or not np.array_equal(last, atoms.cell.array):
            last = atoms.cell.array
            lines += ["frames", "1.0", *(" ".join(f"{x:.12f}" for x in row) for row in last)]
            lines += [" ".join(kinds), " ".join(str((symbols == kind).sum()) for kind in kinds)]
        lines.append(f"Direct configuration= {number:5d}")
        scaled = atoms.get_scaled_positions(wrap=False)
        lines += [" ".join(f"{x:.11f}" for x in row) for kind in kinds for row in scaled[symbols == kind]]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_dump(
    path: Path,
    images: Sequence[ase.Atoms],
    types: Sequence[str] = ("Si", "O", "Na"),
    *,
    ends: str = "\n",
    elements: bool = False,
) -> Path:
    """A LAMMPS text dump; atoms in another order in every frame, as LAMMPS leaves them."""
    rng, lines = np.random.default_rng(3), []
    for step, atoms in enumerate(images):
        (ax, _, _), (bx, by, _), (cx, cy, cz) = atoms.cell.array
        low, high = (f(0.0, bx, cx, bx + cx) for f in (min, max))
        bounds = [(low, ax + high, bx), (min(0.0, cy), by + max(0.0, cy), cx), (0.0, cz, cy)]
        lines += ["ITEM: TIMESTEP", str(1000 * step), "ITEM: NUMBER OF ATOMS", str(len(atoms))]
        lines += ["ITEM: BOX BOUNDS xy xz yz pp pp pp", *(" ".join(f"{x:.12g}" for x in row) for row in bounds)]
        lines.append("ITEM: ATOMS id type x y z" + (" element" if elements else ""))
        for i in rng.permutation(len(atoms)):
            symbol = atoms.symbols[i]
            row = [str(i + 1), str(types.index(symbol) + 1), *(f"{x:.11g}" for x in atoms.positions[i])]
            lines.append(" ".join([*row, *([symbol] if elements else [])]))
    path.write_bytes((ends.join(lines) + ends).encode())
    return path


def write_vasprun(path: Path, images: Sequence[ase.Atoms]) -> Path:
    """The parts of a vasprun.xml that ASE asks for."""

    def rows(name: str, values: np.ndarray) -> str:
        inner = "".join(f"<v>{' '.join(f'{x:.11f}' for x in row)}</v>" for row in values)
        return f'<varray name="{name}">{inner}</varray>'

    def structure(atoms: ase.Atoms, name: str = "") -> str:
        crystal = f"<crystal>{rows('basis', atoms.cell.array)}</crystal>"
        positions = rows("positions", atoms.get_scaled_positions(wrap=False))
        return f"<structure{name}>{crystal}{positions}</structure>"

    energy = '<energy><i name="e_fr_energy">0.0</i><i name="e_0_energy">0.0</i></energy>'
    atoms = "".join(f"<rc><c>{symbol}</c><c>1</c></rc>" for symbol in images[0].get_chemical_symbols())
    steps = (f"<calculation><scstep>{energy}</scstep>{structure(a)}{energy}</calculation>" for a in images)
    points = rows("kpointlist", np.zeros((1, 3))) + rows("weights", np.ones((1, 1)))
    path.write_text(
        f'<?xml version="1.0"?><modeling><kpoints>{points}</kpoints>'
        f'<atominfo><array name="atoms"><set>{atoms}</set></array></atominfo>'
        + structure(images[0], ' name="initialpos"')
        + "".join(steps)
        + "</modeling>\n"
    )
    return path


def write_dcd(
    path: Path,
    images: Sequence[ase.Atoms],
    *,
    order: str = "<",
    marker: int = 4,
    cells: str | None = "cosines",
    fourth: bool = False,
    fixed: int = 0,
    word: bytes = b"CORD",
    title: bytes = b"REMARKS made by nobody",
    first: int = 0,
    every: int = 1,
) -> Path:
    """As the programs write it: cells as "cosines" (LAMMPS, NAMD), "degrees" (CHARMM, OpenMM), "shape" (CHARMM, of a
    symmetric cell), or none; the header counts one frame, as one that a job has not closed."""

    def record(content: bytes) -> bytes:
        count = struct.pack(order + ("i" if marker == 4 else "q"), len(content))
        return count + content + count

    numbers = [1, first, every, 0, 0, 0, 0, 0, fixed, 0, int(cells is not None), int(fourth), *[0] * 7, 24]
    lines = struct.pack(order + "i", 1) + title.ljust(80)
    parts = [record(word + struct.pack(order + "20i", *numbers)), record(lines)]
    parts.append(record(struct.pack(order + "i", len(images[0]))))
    for atoms in images:
        a, b, c, *angles = atoms.cell.cellpar()
        alpha, beta, gamma = angles if cells == "degrees" else np.cos(np.radians(angles))
        six = (a, gamma, b, beta, alpha, c)
        if cells == "shape":
            (xx, xy, xz), (_, yy, yz), (_, _, zz) = atoms.cell.array
            six = (xx, xy, yy, xz, yz, zz)
        parts += [record(struct.pack(order + "6d", *six))] if cells is not None else []
        columns = [*atoms.positions.T, *([np.zeros(len(atoms))] if fourth else [])]
        parts += [record(column.astype(order + "f4").tobytes()) for column in columns]
    path.write_bytes(b"".join(parts))
    return path


def write_trr(
    path: Path, images: Sequence[ase.Atoms], *, width: int = 4, steps: Sequence[int] | None = None, speeds: bool = False
) -> Path:
    """As GROMACS writes it; width: bytes of a number; speeds: also velocities, and every second frame of them alone."""
    parts = []
    for k, atoms in enumerate(images):
        box, x = (np.asarray(a, np.float64) / 10.0 for a in (atoms.cell.array, atoms.positions))
        sizes = {"box": box.size, "x": x.size, "v": x.size * speeds}
        for there in ({"x": 0}, {}) if speeds else ({},):
            counts = [width * (sizes | there).get(name, 0) for name in _OF_TRR]
            head = struct.pack(">3i12s13i", 1993, 13, 12, b"GMX_trn_file", *counts, len(x), (steps or range(99))[k], 0)
            numbers = [np.array([k, 0.0]), box, *([] if there else [x]), *([np.ones_like(x)] if speeds else [])]
            parts += [head, *(one.astype(f">f{width}").tobytes() for one in numbers)]
    path.write_bytes(b"".join(parts))
    return path


_OF_TRR = ("ir", "e", "box", "vir", "pres", "top", "sym", "x", "v", "f")


def write_xtc(
    path: Path, images: Sequence[ase.Atoms], *, precision: float = 1000.0, steps: Sequence[int] | None = None
) -> Path:
    """All atoms one by one, without the small numbers that GROMACS writes: a file that is right, and larger."""
    parts = []
    for k, atoms in enumerate(images):
        box, x = atoms.cell.array / 10.0, np.rint(atoms.positions / 10.0 * precision).astype(int)
        low, high = x.min(axis=0), x.max(axis=0)
        _, wide_y, wide_z = (ranges := (high - low + 1).tolist())
        width, bits = int(np.prod(ranges, dtype=object)).bit_length(), ""
        for a, b, c in (x - low).tolist():
            number = (a * wide_y + b) * wide_z + c
            whole, rest = divmod(width, 8)
            bits += "".join(f"{byte:08b}" for byte in (number % 256**whole).to_bytes(whole, "little"))
            bits += f"{number >> 8 * whole:0{rest}b}" * (rest > 0) + "0"  # no small numbers follow
        content = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
        parts += [
            struct.pack(">3if9fi", 1995, len(x), (steps or range(99))[k], 0.1 * k, *box.ravel(), len(x)),
            struct.pack(">f8i", precision, *low, *high, 9, len(content)),
            content + bytes(-len(content) % 4),
        ]
    path.write_bytes(b"".join(parts))
    return path

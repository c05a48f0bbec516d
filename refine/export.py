"""The refined correction of a finished run for other programs: LAMMPS, ASE, OpenMM, or plain columns.

    refine export OUT --to lammps

Every format holds phi(r) of each corrected pair at `POINTS` equal steps from r_cut/POINTS to r_cut, wall below the
sampled range included. The base is not exported: what it needs in the other program stands beside it, as far as that
program has it. Read are result.json and study.toml of the run's folder.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import refine
from refine.config import StudyConfig
from refine.errors import InputError
from refine.files import make_folder, write_text
from refine.potentials.pair import PairCorrection, SplineBasis

Array = NDArray[np.float64]

POINTS = 5000
"""Of a table, and of the splines that LAMMPS makes of it."""

MAX_BYTES = 2**28
"""Of a result.json."""

TEMPERATURE_TOLERANCE = 1e-6
"""K within which a temperature is that of a state."""


@dataclass(frozen=True)
class Exported:
    """What a finished run says, at one temperature.

    Attributes:
        correction: without dependence on temperature.
        species: in the run's order, which gives LAMMPS types 1, 2, ...
        errors: per active pair r (n,) Å and the standard error of phi there (n,) eV, or None where it is not known.
        study: what was run.
        base_refined: whether parameters of the base were refined as well.
    """

    correction: PairCorrection
    species: tuple[str, ...]
    errors: tuple[tuple[Array, Array] | None, ...]
    study: StudyConfig
    base_refined: bool

    @property
    def radii(self) -> Array:
        """(POINTS,) Å."""
        cutoff = self.correction.cutoff
        return np.linspace(cutoff / POINTS, cutoff, POINTS)

    @property
    def pairs(self) -> list[tuple[int, tuple[str, str]]]:
        """Rows of the corrected pairs, and their species."""
        return [(p, self.correction.pairs[p]) for p in self.correction.active_pairs]

    def column(self, index: int) -> Array:
        """Standard error (POINTS,) eV of the active pair `index`; NaN where it is not known."""
        known = self.errors[index]
        if known is None:
            return np.full(POINTS, np.nan)
        return np.interp(self.radii, *known, left=np.nan, right=np.nan)


def read_correction(folder: str | Path, temperature: float | None = None) -> Exported:
    """The correction that a finished run left.

    Args:
        folder: of the run.
        temperature: K; for a correction that changes with it, and only for such.

    Raises:
        InputError: no finished run, a damaged file, or a temperature that is missing or has no meaning.
    """
    folder = Path(folder)
    path = folder / "result.json"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("larger than any result", where=str(path))
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(
            "there is no finished run", where=str(folder), fix="give the folder of a finished run"
        ) from None
    except ValueError as error:
        raise InputError(f"not JSON ({error})", where=str(path)) from None
    study = StudyConfig.from_toml(folder / "study.toml")
    try:
        if not result["yields_potential"]:
            raise InputError(f"method {study.refinement.method!r} yields no potential to export", where=str(folder))
        species = tuple(result["states"][0]["atoms"])
        if not all(re.fullmatch("[A-Z][a-z]?", symbol) for symbol in species):
            raise ValueError("a species that is no element")  # it would be written into scripts
        rows = _rows_by_temperature(result["correction"])
        refined = result.get("parameters") is not None
        return _exported(rows, species, study, temperature, refined)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"no correction can be read from it ({error!r:.80})",
            where=str(path),
            fix="finish the run with this version",
        ) from None


def _rows_by_temperature(rows: list[dict[str, Any]]) -> dict[float | None, list[dict[str, Any]]]:
    """The correction's tables of each temperature, or of None where it is the same at all of them."""
    found: dict[float | None, list[dict[str, Any]]] = {}
    seen: dict[float, str] = {}
    for row in rows:
        kelvin = row.get("temperature")
        if kelvin is not None and seen.setdefault(kelvin, row["state"]) != row["state"]:
            continue  # a second state at the same temperature
        found.setdefault(kelvin, []).append(row)
    if not found:
        raise ValueError("no pair is corrected")
    return found


def _exported(
    rows: dict[float | None, list[dict[str, Any]]],
    species: tuple[str, ...],
    study: StudyConfig,
    temperature: float | None,
    base_refined: bool,
) -> Exported:
    known = [kelvin for kelvin in rows if kelvin is not None]
    if temperature is None and known:
        span = f"{min(known):g} to {max(known):g} K"
        raise InputError("the correction changes with temperature", fix=f"give --temperature; it was fitted at {span}")
    if temperature is not None and not known:
        raise InputError("the correction is the same at all temperatures", fix="leave --temperature out")
    if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature is {temperature} K; it must be above zero")

    first = rows[None] if temperature is None else rows[min(known)]
    coefficients = _coefficients(first)
    chosen = first
    if temperature is not None:
        low, high = min(known), max(known)
        rise = (_coefficients(rows[high]) - coefficients) / (high - low)  # phi is linear in T
        coefficients = coefficients + (temperature - low) * rise
        chosen = rows[min(known, key=lambda kelvin: abs(kelvin - temperature))]
    at_a_state = temperature is None or min(abs(temperature - kelvin) for kelvin in known) < TEMPERATURE_TOLERANCE

    pairs = tuple((a, b) for i, a in enumerate(species) for b in species[i:])
    order = [pairs.index((row["pair"][0], row["pair"][1])) for row in first]
    if order != sorted(set(order)):
        raise ValueError("pairs out of order")
    knots = first[0]["knots"]
    basis = SplineBasis(float(knots[0]), float(knots[-1]), len(knots) - 1)
    every = np.zeros((len(pairs), basis.size))
    core = np.full(len(pairs), basis.r_min)
    every[order], core[order] = coefficients, [float(row["core"]) for row in first]
    active = tuple(p in order for p in range(len(pairs)))
    correction = PairCorrection(pairs, active, basis, every, core, float(first[0]["stiffness"]))
    if not (np.isfinite(every).all() and np.isfinite(core).all()):
        raise ValueError("a coefficient is not a finite number")
    return Exported(
        correction, species, tuple(_errors(row) if at_a_state else None for row in chosen), study, base_refined
    )


def _coefficients(rows: list[dict[str, Any]]) -> Array:
    return np.array([row["coefficients"] for row in rows], np.float64)


def _errors(row: dict[str, Any]) -> tuple[Array, Array] | None:
    if row["stderr"] is None:
        return None
    return np.array(row["r"], np.float64), np.array(row["stderr"], np.float64)


def export(folder: str | Path, to: str, out: str | Path | None = None, temperature: float | None = None) -> list[Path]:
    """Write the correction of the run in `folder` for another program; the files that were written.

    Args:
        folder: of the run.
        to: one of `FORMATS`.
        out: where to write; default: `export-<to>` in the run's folder.
        temperature: see `read_correction`.
    """
    if to not in FORMATS:
        raise InputError(f"unknown format '{to}'", where="--to", fix=f"one of {', '.join(FORMATS)}")
    exported = read_correction(folder, temperature)
    target = Path(folder) / f"export-{to}" if out is None else Path(out)
    make_folder(target)
    written = []
    for name, text in FORMATS[to](exported).items():
        write_text(target / name, text)
        written.append(target / name)
    return written


# ---- formats: file names -> texts


def csv_files(exported: Exported) -> dict[str, str]:
    """One file a pair, `A-B.csv`: r (Å), phi (eV), dphi_dr (eV/Å), stderr of phi (eV; empty: not known)."""
    r = exported.radii
    energy, slope = exported.correction.energy(r), exported.correction.derivative(r)
    files = {}
    for index, (p, (a, b)) in enumerate(exported.pairs):
        lines = ["r,phi,dphi_dr,stderr"]
        for row in zip(r, energy[p], slope[p], exported.column(index), strict=True):
            lines.append(",".join("" if math.isnan(value) else f"{value:.12g}" for value in row))
        files[f"{a}-{b}.csv"] = "\n".join(lines) + "\n"
    return files


def lammps_files(exported: Exported) -> dict[str, str]:
    """`correction.table` for pair_style table, and `correction.in` with the lines of an input script."""
    r, correction = exported.radii, exported.correction
    energy, slope = correction.energy(r), correction.derivative(r)
    blocks = [
        f"# UNITS: metal  CONTRIBUTOR: refine {refine.__version__}\n"
        f"# {exported.study.title}: pair correction refined against total scattering, on top of base "
        f"{exported.study.model.base!r}; useless without it\n"
        f"# r (Angstrom), phi (eV), -dphi/dr (eV/Angstrom); below the sampled range a harmonic wall"
    ]
    for p, (a, b) in exported.pairs:
        # slope of the force at both ends: of the wall, and none at the cutoff
        head = f"\n{a}-{b}\nN {POINTS} R {r[0]:.12g} {r[-1]:.12g} FPRIME {-correction.stiffness:.12g} 0.0\n"
        rows = (f"{k + 1} {r[k]:.12g} {energy[p, k]:.12g} {-slope[p, k]:.12g}" for k in range(POINTS))
        blocks.append(head + "\n" + "\n".join(rows))
    texts = {"correction.table": "\n".join(blocks) + "\n", "correction.in": _lammps_input(exported)}
    # LAMMPS wants ASCII
    return {name: text.encode("ascii", "replace").decode("ascii") for name, text in texts.items()}


def _lammps_input(exported: Exported) -> str:
    types = {symbol: k + 1 for k, symbol in enumerate(exported.species)}
    styles, coefficients, remarks = _lammps_base(exported, types)
    lines = [
        f"# {exported.study.title}; include it after the box is made, units metal",
        f"# types: {', '.join(f'{k} {s}' for s, k in types.items())}",
        *remarks,
    ]
    lines.append(f"pair_style hybrid/overlay {' '.join([*styles, f'table spline {POINTS}'])}")
    lines += coefficients
    for _, (a, b) in exported.pairs:
        i, j = sorted((types[a], types[b]))
        lines.append(f"pair_coeff {i} {j} table correction.table {a}-{b}")
    return "\n".join(lines) + "\n"


def _lammps_base(exported: Exported, types: dict[str, int]) -> tuple[list[str], list[str], list[str]]:
    """Styles, their coefficients and remarks for the base, as far as LAMMPS has it."""
    model = exported.study.model
    remarks = []
    if model.dispersion != "none":
        remarks.append(
            "# The base has D3(BJ) dispersion (PBE, 40 bohr = 21.167 Angstrom for energies and coordination numbers): "
            "add LAMMPS' own style for it where your LAMMPS has one."
        )
    if model.base == "lennard-jones":
        from refine.potentials.classical.bases import base_potential
        from refine.potentials.classical.forms import SWITCH_WIDTH

        cutoff = model.r_cut or exported.correction.cutoff
        pairs = exported.correction.pairs
        base: Any = base_potential(model.base, exported.species, pairs, model.parameters, cutoff)
        span = f"{cutoff - SWITCH_WIDTH:g} and {cutoff:g} Angstrom"
        remarks.append(f"# refine switches Lennard-Jones off between {span}; lj/cut cuts it there.")
        if exported.base_refined:
            remarks.append(
                "# epsilon and sigma below are where the refinement began: put those of result.json instead."
            )
        coefficients = []
        for (a, b), epsilon, sigma in zip(pairs, base.epsilon, base.sigma, strict=True):
            i, j = sorted((types[a], types[b]))
            coefficients.append(f"pair_coeff {i} {j} lj/cut {epsilon:.12g} {sigma:.12g}")
        return [f"lj/cut {cutoff:g}"], coefficients, remarks
    elements = " ".join(exported.species)
    if exported.base_refined:
        remarks.append("# Parameters of the base were refined: use those beside result.json.")
    if model.base == "mace":
        remarks += [
            f"# The base is the MACE model {model.name or model.path}. Make a LAMMPS model of its file with MACE's own",
            "# create_lammps_model.py, and complete the two lines below, in a LAMMPS that has pair_style mace:",
            "#   pair_style hybrid/overlay mace no_domain_decomposition table spline " + str(POINTS),
            f"#   pair_coeff * * mace MODEL-lammps.pt {elements}",
            "# or, with --format=mliap and a LAMMPS that has ML-IAP:",
            "#   pair_style hybrid/overlay mliap unified MODEL-mliap_lammps.pt 0 table spline " + str(POINTS),
            f"#   pair_coeff * * mliap {elements}",
        ]
    else:
        remarks.append(f"# The base {model.base!r} is not written here: add its style and coefficients.")
    return [], [], remarks


def ase_files(exported: Exported) -> dict[str, str]:
    """The columns and `correction.py` with an ASE calculator that reads them."""
    return csv_files(exported) | {"correction.py": _script(ASE, exported)}


def openmm_files(exported: Exported) -> dict[str, str]:
    """The columns and `correction.py` that makes OpenMM forces of them."""
    return csv_files(exported) | {"correction.py": _script(OPENMM, exported)}


def _script(template: str, exported: Exported) -> str:
    head = f"{exported.study.title}: pair correction on top of base {exported.study.model.base!r}; useless without it."
    pairs = [list(pair) for _, pair in exported.pairs]
    return template.replace("@TITLE@", json.dumps(head)).replace("@PAIRS@", json.dumps(pairs))


ASE = '''"""ASE calculator of a refined pair correction; add it to the base with ase.calculators.mixing.SumCalculator.

    from ase.calculators.mixing import SumCalculator
    atoms.calc = SumCalculator([base, Correction()])
"""

from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.interpolate import CubicHermiteSpline

ABOUT = @TITLE@
PAIRS = @PAIRS@


class Correction(Calculator):
    """Sum of tabulated pair functions (eV, Å), cubic between the rows of the files beside this one."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, folder=Path(__file__).parent):
        super().__init__()
        self.functions = {}
        for a, b in PAIRS:
            table = np.genfromtxt(Path(folder) / f"{a}-{b}.csv", delimiter=",", names=True)
            phi = CubicHermiteSpline(table["r"], table["phi"], table["dphi_dr"])
            self.functions[frozenset((a, b))] = phi, phi.derivative()
            self.cutoff = table["r"][-1]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, j, r, vectors = neighbor_list("ijdD", self.atoms, self.cutoff)
        energies, slopes = np.zeros(len(r)), np.zeros(len(r))
        symbols = np.array(self.atoms.get_chemical_symbols())
        for pair, (phi, slope) in self.functions.items():
            a, b = sorted(pair) if len(pair) == 2 else 2 * list(pair)
            rows = ((symbols[i] == a) & (symbols[j] == b)) | ((symbols[i] == b) & (symbols[j] == a))
            energies[rows], slopes[rows] = phi(r[rows]), slope(r[rows])
        pulls = (slopes / r)[:, None] * vectors  # on i, towards j
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, pulls)
        energy = energies.sum() / 2
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if self.atoms.cell.rank == 3:
            stress = np.einsum("na,nb->ab", pulls, vectors) / 2 / self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
'''

OPENMM = '''"""OpenMM forces of a refined pair correction; add them to a System that holds the base.

    from correction import add_forces
    add_forces(system, [atom.element.symbol for atom in topology.atoms()])
"""

import csv
from pathlib import Path

import openmm

ABOUT = @TITLE@
PAIRS = @PAIRS@
EV, ANGSTROM = 96.48533212, 0.1  # kJ/mol and nm


def add_forces(system, symbols, folder=Path(__file__).parent, periodic=True):
    """One CustomNonbondedForce with a Continuous1DFunction for each pair of elements; the forces."""
    forces = []
    for a, b in PAIRS:
        with open(Path(folder) / f"{a}-{b}.csv", newline="") as file:
            rows = [(float(row["r"]), float(row["phi"])) for row in csv.DictReader(file)]
        r = [ANGSTROM * row[0] for row in rows]
        force = openmm.CustomNonbondedForce("phi(r)")
        force.addTabulatedFunction("phi", openmm.Continuous1DFunction([EV * row[1] for row in rows], r[0], r[-1]))
        for _ in symbols:
            force.addParticle([])
        first, second = ([k for k, symbol in enumerate(symbols) if symbol == name] for name in (a, b))
        force.addInteractionGroup(first, second)
        force.setNonbondedMethod(force.CutoffPeriodic if periodic else force.CutoffNonPeriodic)
        force.setCutoffDistance(r[-1])
        system.addForce(force)
        forces.append(force)
    return forces
'''

FORMATS: dict[str, Callable[[Exported], dict[str, str]]] = {
    "lammps": lammps_files,
    "ase": ase_files,
    "openmm": openmm_files,
    "csv": csv_files,
}
"""What `--to` may name."""

"""`refine init FILE...`: a study that runs, from measured curves and a few words, each value with its reason.

What the curves are is told from their numbers (`refine.curves.inspection`); what is taken for true stands as a comment
behind each value. The study is checked as a run would check it before it is written.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refine.curves.inspection import Candidate, Inspection, inspect
from refine.curves.quantities import is_q_space
from refine.curves.weights import Isotopes
from refine.errors import InputError
from refine.files import write_text
from refine.formula import amounts_of
from refine.sampling.structure_files import read_structure
from refine.study.choices.phase import FAR, melting
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.system import System, number_density_from_mass
from refine.tables.toml import toml_value
from refine.tasks.init.model import Chosen, model_for
from refine.tasks.init.paths import name_of, seen_from

EDGE, COSTLY_EDGE = 20.0, 15.0
"""Å of the box, and of that of a model whose forces are costly."""

R_CUT, COSTLY_R_CUT = 8.0, 6.0
"""Å of the correction, where half of the box is not less."""

HOT, MELTED, COOLING = 3.0, 5.0, 20.0
"""The melt that a glass is cooled from, in units of the melting temperature of its highest melting element; ps there,
and ps of cooling."""

LEAST_FIT = 0.05
"""Of a reading that is taken: less is what one number alone says against it that excludes it."""

SCALE = 0.07
"""How far the low-r slope of a curve may be from the density's before its scale is left free."""


@dataclass(frozen=True)
class Asked:
    """What the user says.

    Attributes:
        formula: of the sample, as a study takes it.
        amounts, isotopes: of its elements.
        temperature: K.
        number_density, mass_density: atoms/Å^3, g/cm^3; at most one of them. None: from the curves.
        radiation: "neutron" or "xray"; None: as the files say.
        model: see `refine.tasks.init.model.model_for`.
        structure: start structure, of a crystal or a glass.
        atoms: in the box; None: so many that it is `EDGE` wide.
        quantity, normalisation: of all curves; None: what their numbers say.
        columns, q_range: of all curves.
        title: of the study.
    """

    formula: str
    amounts: Mapping[str, float]
    isotopes: Isotopes
    temperature: float
    number_density: float | None = None
    mass_density: float | None = None
    radiation: str | None = None
    model: str | None = None
    structure: Path | None = None
    atoms: int | None = None
    quantity: str | None = None
    normalisation: str | None = None
    columns: Sequence[int | str] | None = None
    q_range: tuple[float, float] | None = None
    title: str | None = None


@dataclass(frozen=True)
class Draft:
    """A study, and what its author should look at.

    text: TOML.  remarks: lines.  config: the same, read.
    """

    text: str
    remarks: tuple[str, ...]
    config: StudyConfig

    def write(self, path: Path) -> None:
        """The study file, atomically."""
        write_text(path, self.text)


@dataclass(frozen=True)
class _Read:
    """A curve: its file, the inspection, the reading that was taken, and where its two words are from."""

    file: Path
    inspection: Inspection
    taken: Candidate
    quantity_from: str
    normalisation_from: str


def draft(files: Sequence[Path], asked: Asked, path: Path) -> Draft:
    """A study of measured curves.

    Args:
        files: the curves, of one sample at one temperature.
        asked: the rest.
        path: of the study file, which paths are seen from; nothing is written.

    Raises:
        InputError: what is missing or cannot be; also whatever a run would refuse.
    """
    folder, remarks = path.parent, list[str]()
    _refuse_files(files, asked, path)
    model = model_for(asked.amounts, asked.model, folder)
    structure = None if asked.structure is None else read_structure(asked.structure, stated=asked.amounts)
    density, source = _density(files, asked, structure)
    curves = [_read(file, asked, density) for file in files]
    for one in curves:
        if not one.inspection.clear and asked.quantity is None and asked.normalisation is None:
            others = ", ".join(other.name for other in one.inspection.candidates[1:3])
            remarks.append(f"{one.file}: taken for {one.taken.name}, which its numbers do not settle; or {others}")
        remarks += [f"{one.file}: {note}" for note in one.inspection.notes if not note.startswith("with --")]
    lines = [f"title = {toml_value(asked.title or f'{asked.formula} at {asked.temperature:g} K')}", ""]
    lines += _system(asked, structure, density, source, model, folder)
    lines += _state(asked, structure, remarks)
    taken: list[str] = []
    for one in curves:
        taken.append(name_of(one.file, taken))
        lines += _data(one, taken[-1], asked, density, folder)
    lines += ["[model]", *(_line(*entry) for entry in model.lines), ""]
    lines += [
        "[correction]",
        _line("r_cut", f"{_r_cut(structure, density, asked, model):g}", "Å; at most half the box"),
    ]
    text = "\n".join(lines) + "\n"
    try:
        config = StudyConfig.parse(tomllib.loads(text), folder)
        Study(config)
    except InputError as error:
        raise InputError(f"the study would be refused: {error.what}", where=error.where, fix=error.fix) from None
    return Draft(text, tuple(remarks), config)


def _refuse_files(files: Sequence[Path], asked: Asked, path: Path) -> None:
    """InputError where the study would be written over a file that it reads, or a curve is given twice."""
    read = [*files, *([] if asked.structure is None else [asked.structure])]
    read += [Path(asked.model)] if asked.model is not None and Path(asked.model).is_file() else []
    for file in read:
        if path.exists() and file.exists() and path.samefile(file):
            raise InputError("this is a file that is read", where=str(path), fix="give another --out")
    seen: set[Path] = set()
    for file in files:
        if file.resolve() in seen:
            raise InputError("is given twice, and would count twice", where=str(file), fix="give it once")
        seen.add(file.resolve())


def _line(key: str, value: str, reason: str) -> str:
    """A key, and where its value comes from."""
    return f"{key} = {value}" + (f"  # {reason}" if reason else "")


def _density(files: Sequence[Path], asked: Asked, structure: System | None) -> tuple[float, str]:
    """atoms/Å^3, and where it is from."""
    if structure is not None:
        return structure.number_density, "of the structure"
    if asked.number_density is not None:
        return asked.number_density, "--number-density"
    if asked.mass_density is not None:
        if asked.isotopes.keys() - {"H"}:
            raise InputError(
                "of other isotopes than hydrogen's no atomic weights are known here",
                where="--mass-density",
                fix="give --number-density, in atoms/Å^3",
            )
        counts = {name: round(1e6 * amount) for name, amount in asked.amounts.items()}
        return number_density_from_mass(counts, asked.mass_density, asked.isotopes), "--mass-density"
    for file in files:
        found = _look(file, asked, None)
        first = found.candidates[0]
        if found.clear and first.number_density is not None:
            return first.number_density, f"from the slope of D(r) at low r of {file.name}: check it"
    raise InputError(
        "the density is not known, and the curves do not settle it",
        where="--number-density",
        fix="give it in atoms/Å^3, or --mass-density in g/cm^3",
    )


def _look(file: Path, asked: Asked, density: float | None) -> Inspection:
    return inspect(
        file,
        composition=asked.amounts,
        radiation=asked.radiation,
        number_density=density,
        isotopes=asked.isotopes,
        columns=asked.columns,
        q_range=asked.q_range,
    )


def _read(file: Path, asked: Asked, density: float) -> _Read:
    found = _look(file, asked, density)
    if found.radiation is None:
        raise InputError("the file does not say what was scattered", where=str(file), fix="give --radiation")
    why = "the likeliest by its numbers" + ("" if found.clear else "; not settled")
    if asked.quantity is None and asked.normalisation is None:
        first = found.candidates[0]
        if first.fit < LEAST_FIT:
            raise InputError(
                f"no reading of it fits its own limits; the first would be {first.name}",
                where=str(file),
                fix=f"look at it: refine inspect {file.name}; then give --quantity, and --normalisation",
            )
        if first.unit:
            raise InputError(
                f"its x seems to be in {first.unit}",
                where=str(file),
                fix=f"{'divide' if first.curve.in_q_space else 'multiply'} it by 10; see refine inspect {file.name}",
            )
        return _Read(file, found, first, why, why)
    wanted = [
        one
        for one in found.candidates
        if not one.unit
        and asked.quantity in (None, one.curve.quantity, _twin(one.curve.quantity, one.curve.normalisation))
        and asked.normalisation in (None, one.curve.normalisation)
    ]
    if not wanted:
        raise InputError(
            f"there is no {asked.quantity or 'curve'} in {asked.normalisation or 'any normalisation'}",
            where="--quantity",
            fix="use the names of the reference",
        )
    return _Read(
        file,
        found,
        wanted[0],
        why if asked.quantity is None else "--quantity",
        why if asked.normalisation is None else "--normalisation",
    )


def _twin(quantity: str, normalisation: str) -> str | None:
    """Another name of the same thing."""
    return {("F(Q)", normalisation): "i(Q)", ("G(r)", "faber-ziman"): "D(r)"}.get((quantity, normalisation))


def _system(
    asked: Asked, structure: System | None, density: float, source: str, model: Chosen, folder: Path
) -> list[str]:
    lines = ["[system]"]
    if asked.structure is not None and structure is not None:
        return [*lines, _line("structure", toml_value(seen_from(folder, asked.structure)), "--structure"), ""]
    edge = COSTLY_EDGE if model.costly else EDGE
    wanted = density * edge**3 if asked.atoms is None else asked.atoms
    per_unit = sum(asked.amounts.values())
    whole = next(
        (k for k in range(1, 10_001) if all(abs(n * k - round(n * k)) < 1e-6 for n in asked.amounts.values())), None
    )
    if whole is None:
        raise InputError("no whole number of atoms makes this formula", where="--composition", fix="write it as FeO")
    units = whole * max(1, math.ceil(wanted / (per_unit * whole)))
    why = "--atoms" if asked.atoms is not None else f"so that the box is about {edge:g} Å wide"
    return [
        *lines,
        _line("formula", f'"{asked.formula}"', "--composition"),
        _line("units", str(units), f"{round(units * per_unit)} atoms, {why}"),
        _line("number_density", f"{density:.5g}", f"atoms/Å^3, {source}"),
        "",
    ]


def _state(asked: Asked, structure: System | None, remarks: list[str]) -> list[str]:
    hot = melting(asked.amounts)
    cold = hot is not None and asked.temperature < FAR * hot
    lines = ["[[states]]", _line("name", f'"{asked.temperature:g}K"', "")]
    lines.append(_line("temperature", f"{asked.temperature:g}", "K, --temperature"))
    if structure is not None and hot is not None and asked.temperature < hot:
        lines.append(_line("phase", '"solid"', "it starts from a structure below melting: it need not flow"))
    elif cold and hot is not None and structure is None:
        lines.append(_line("phase", '"solid"', "a glass: it need not flow"))
        top = HOT * hot
        lines += ["", "[[schedule]]", _line("temperature", f"{top:g}", "K: a melt, assumed")]
        lines += [_line("picoseconds", f"{MELTED:g}", "assumed"), "", "[[schedule]]"]
        lines += [_line("temperature", f"{top:g}", ""), _line("to", f"{asked.temperature:g}", "K")]
        lines.append(_line("picoseconds", f"{COOLING:g}", "assumed; a slower quench makes a better glass"))
        remarks.append(
            f"{asked.formula} at {asked.temperature:g} K is taken for a glass, melted at {top:g} K and cooled in "
            f"{COOLING:g} ps; for a crystal, or another glass, give --structure"
        )
    return [*lines, ""]


def _data(one: _Read, name: str, asked: Asked, density: float, folder: Path) -> list[str]:
    taken, found = one.taken, one.inspection
    curve = taken.curve
    said = asked.radiation is None
    lines = ["[[data]]", _line("name", f'"{name}"', ""), _line("file", toml_value(seen_from(folder, one.file)), "")]
    if asked.columns is not None:
        lines.append(_line("columns", toml_value(list(asked.columns)), "--columns"))
    if found.abscissa != "auto":
        lines.append(_line("abscissa", f'"{found.abscissa}"', "of bins, as in the file that the header names"))
    lines.append(_line("quantity", f'"{curve.quantity}"', one.quantity_from))
    if curve.normalisation != "faber-ziman":
        lines.append(_line("normalisation", f'"{curve.normalisation}"', one.normalisation_from))
    lines.append(_line("radiation", f'"{found.radiation}"', "the file's header" if said else "--radiation"))
    called = {"H"} if "D" in amounts_of(asked.formula) else set()  # [system] says it
    isotopes = {element: given for element, given in asked.isotopes.items() if element not in called}
    if isotopes and found.radiation == "neutron":
        table = ", ".join(f"{element} = {_toml(given)}" for element, given in isotopes.items())
        lines.append(_line("isotopes", f"{{ {table} }}", "--isotopes"))
    if not is_q_space(curve.quantity):
        limits = asked.q_range or found.q_range
        if limits[1] is None:
            raise InputError(
                f"the Q range of the transform behind this {curve.quantity} is not known",
                where=str(one.file),
                fix="give --q-range MIN,MAX",
            )
        source = "--q-range" if asked.q_range is not None else "the file's header"
        lines.append(_line("q_range", f"[{limits[0] or 0.0:g}, {limits[1]:g}]", f"1/Å, {source}"))
    if taken.number_density is not None and abs(taken.number_density / density - 1.0) > SCALE:
        share = taken.number_density / density
        lines.append(_line("free_scale", "true", f"its low-r slope is {share:.2f} of what the density demands"))
    return [*lines, ""]


def _toml(given: int | Mapping[int, float]) -> str:
    if isinstance(given, int):
        return str(given)
    return "{ " + ", ".join(f"{number} = {share:g}" for number, share in given.items()) + " }"


def _r_cut(structure: System | None, density: float, asked: Asked, model: Chosen) -> float:
    wanted = COSTLY_R_CUT if model.costly else R_CUT
    if structure is not None:
        half = structure.r_box
    else:
        edge = COSTLY_EDGE if model.costly else EDGE
        half = 0.5 * (edge if asked.atoms is None else (asked.atoms / density) ** (1.0 / 3.0))
    return min(wanted, math.floor(10.0 * half) / 10.0)


__all__ = ["Asked", "Draft", "draft"]

"""What is written for the next sample: of each trajectory its start, the potential, scripts, and words about all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import CheckpointError
from refine.export.columns import columns_files
from refine.export.read import Exported
from refine.export.scripts import ase_files
from refine.files import make_folder, remove
from refine.formula import SITE
from refine.sampling.extended_xyz import frame_text
from refine.sampling.external.mover import Motion
from refine.sampling.files.sampler import FilesPotential
from refine.sampling.files.script import CONTINUE, DATA, DUMP, INPUT, LOG, POTENTIAL, Wanted, lammps_files, lines_of
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.schedule import Stage
from refine.sampling.starts import MELTING
from refine.tasks.run.loop import STEPS
from refine.tasks.sample import frames_per_replica
from refine.tasks.step.scripts import ase_run, submission

if TYPE_CHECKING:
    from refine.tasks.run.loop import Run

Array = NDArray[np.float64]

STRUCTURE = "structure.extxyz"


@dataclass(frozen=True)
class Order:
    """The trajectories of one state that are waited for.

    Attributes:
        state: its name.  folders: of each trajectory, below that of the step.
        wanted: what each is to be; seeds are those of the first.
        missing: what LAMMPS lacks for the potential, in words; None: its scripts run as they are.
    """

    state: str
    folders: tuple[str, ...]
    wanted: Wanted
    missing: str | None


def folder_of(run: Run) -> Path:
    """Of the step that is waited for: 003, and 003-2 where the first potential of that number could not be sampled."""
    again = len(run.record.withdrawn)
    return run.folder / STEPS / (f"{len(run.samples):03d}" + (f"-{again + 1}" if again else ""))


def write_orders(run: Run) -> list[Order]:
    """The folder of the step, as a whole or not at all; there is nothing to do where it is there.

    Raises:
        CheckpointError: it cannot be written.
    """
    texts, copies, orders = _made(run)
    target = folder_of(run)
    if target.is_dir():
        return orders
    part = target.with_name(f".{target.name}.part")
    remove(part)
    try:
        for name, text in texts.items():
            make_folder((part / name).parent)
            (part / name).write_text(text, encoding="utf-8", newline="\n")
        for name, path in copies.items():
            shutil.copyfile(path, part / name)
        part.rename(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise CheckpointError(f"cannot write: {error.strerror or error}", where=str(target)) from error
    return orders


def _made(run: Run) -> tuple[dict[str, str], dict[str, Path], list[Order]]:
    """Texts and files to be copied, by their names in the folder of the step."""
    study, record, settings = run.study, run.record, run.study.settings
    assert record.potential is not None
    correction = record.potential.correction(study.initial_correction())
    number, step = len(run.samples), folder_of(run).name
    texts: dict[str, str] = {}
    copies: dict[str, Path] = {}
    orders: list[Order] = []
    several = len(study.config.states) > 1
    for s, (state, system) in enumerate(zip(study.config.states, study.systems, strict=True)):
        field, _ = run.engines.samplers[s]
        potential: FilesPotential = study.force_field_params(field, s, correction, record.potential.parameters)
        title = f"{study.config.title}, step {step}" + (f", state {state.name}" if several else "")
        lines = lines_of(potential, system, title)
        replicas = settings.replicas
        folders = tuple(f"{state.name}/r{k + 1}" if replicas > 1 else state.name for k in range(replicas))
        seeds = [seed_of_state(settings.seed, s), number, len(record.withdrawn)]
        wanted = [
            Wanted(
                title,
                state.temperature,
                Motion(settings.thermostat, settings.time_constant, settings.timestep),
                settings.stride,
                frames_per_replica(settings.frames * record.frames_factor, replicas),
                _before(run, s),
                relax=number == 0 and system.positions is None,
                seed=int(np.random.SeedSequence([*seeds, k]).generate_state(1)[0]),
            )
            for k in range(replicas)
        ]
        acting = correction.at(state.temperature)
        own = Exported(acting, study.species, (None,) * len(acting.active_pairs), study.config, run.folder, None)
        sites = any(SITE.fullmatch(name) for name in study.species)
        # where the correction leaves pairs of a molecule out, what acts on all pairs is another potential
        apart = lines.topology is not None and study.config.correction.molecules != "all"
        more = columns_files(own) | ({} if apart else ase_files(own))
        if lines.missing is not None and not sites:
            more |= {"run_ase.py": ase_run(wanted[0], run.folder.resolve(), state.name, STRUCTURE)}
        for folder, one, positions in zip(folders, wanted, run.current[s].state.positions, strict=True):
            start = np.asarray(positions, np.float64)
            made = {STRUCTURE: frame_text(system, start, {"state": state.name, "step": step})}
            made |= lammps_files(one, system, start, lines) | {"submit.sh": submission(title, lines.missing)} | more
            texts |= {f"{folder}/{name}": text for name, text in made.items()}
            copies |= {f"{folder}/{name}": path for name, path in lines.paths.items()}
        orders.append(Order(state.name, folders, wanted[0], lines.missing))
    texts["step.json"] = json.dumps({"step": step, "states": [_table(one) for one in orders]}, indent=1) + "\n"
    texts["README.txt"] = _words(run, orders)
    return texts, copies, orders


def _before(run: Run, s: int) -> tuple[Stage, ...]:
    """What comes before the first frame that counts."""
    study, settings = run.study, run.study.settings
    temperature = study.problem.temperatures[s]
    if run.samples:
        stages: tuple[Stage, ...] = (Stage(temperature, settings.reequilibration),)
    elif study.stages:
        stages = (*study.stages, Stage(temperature, settings.equilibration))
    elif study.systems[s].positions is None:
        half = settings.equilibration / 2
        stages = (Stage(MELTING * temperature, half), Stage(temperature, half))
    else:
        stages = (Stage(temperature, settings.equilibration),)
    return tuple(stage for stage in stages if stage.picoseconds > 0)


def _table(order: Order) -> dict[str, Any]:
    wanted, motion = order.wanted, order.wanted.motion
    return {
        "state": order.state,
        "folders": list(order.folders),
        "temperature_K": wanted.temperature,
        "thermostat": motion.thermostat,
        "time_constant_ps": motion.time_constant,
        "timestep_fs": motion.timestep,
        "before": [stage.to_json() for stage in wanted.before],
        "frames": wanted.frames,
        "spacing_fs": wanted.stride * motion.timestep,
        "lammps": "complete" if order.missing is None else f"to be completed: {order.missing}",
    }


def command_of(run: Run) -> str:
    """The command that takes what LAMMPS makes of the orders."""
    step, names = folder_of(run), [state.name for state in run.study.config.states]
    below = "*/" if run.study.settings.replicas > 1 else ""
    words = ["refine", "step", str(run.folder)]
    for option, files in (("--trajectory", f"{DUMP}"), ("--energies", f"{LOG}*")):
        for name in names:
            glob = f"{step / name}/{below}{files}"
            words += [option, f"'{name}={glob}'" if len(names) > 1 else f"'{glob}'"]
    return " ".join(words)


def _words(run: Run, orders: list[Order]) -> str:
    study, settings = run.study, run.study.settings
    lines = [
        f"{study.config.title}: step {folder_of(run).name} waits for frames of {len(orders)} state"
        + ("s" if len(orders) > 1 else ""),
        "",
    ]
    for one in orders:
        wanted, motion = one.wanted, one.wanted.motion
        atoms = study.systems[[state.name for state in study.config.states].index(one.state)]
        each = f" in each of {len(one.folders)} trajectories" if len(one.folders) > 1 else ""
        lines += [
            f"{one.state}: {', '.join(one.folders)}",
            f"  {atoms.n_atoms} atoms at constant volume and {wanted.temperature:g} K, {motion.thermostat} "
            f"({motion.time_constant:g} ps), time step {motion.timestep:g} fs",
            f"  before frames count: {'; '.join(stage.words() for stage in wanted.before) or 'nothing'}",
            f"  {wanted.frames} frames{each}, {wanted.stride * motion.timestep:g} fs apart",
            "",
        ]
    lacking = next((one.missing for one in orders if one.missing is not None), None)
    lines += [
        "With LAMMPS",
        f"  lmp -in {INPUT} -log {LOG}, or submit.sh for a queue. {CONTINUE} goes on where a job was ended; it appends",
        f"  to {DUMP}, and wants a log of its own.",
    ]
    if settings.thermostat == "langevin":
        lines.append('  fix gjf came to LAMMPS in 2025; with an older one set thermostat = "nose-hoover".')
    if lacking is not None:
        lines += [
            f"  The scripts stop at once: LAMMPS lacks {lacking}. {POTENTIAL} says what to complete.",
            "With ASE",
            "  python run_ase.py, where refine is installed: base and correction as refine evaluates them. Or",
            "  correction.py beside the base as your programs have it.",
        ]
    molecules = study.config.model.has_molecules
    within = ["  It acts on pairs within a molecule as special_bonds of the study says, by default not at all."]
    lines += [
        "With anything else",
        f"  Begin from {STRUCTURE}, under the base model of the study and on top of it the correction: A-B.csv has",
        "  r (Å), phi (eV) and dphi/dr (eV/Å) of each pair. The potential has to be the sum of both.",
        *(within if molecules and study.config.correction.molecules != "all" else []),
        *(["  Atoms keep their order: it tells who is bonded to whom."] if molecules else []),
        "",
        "What is to come back",
        "  Text: a LAMMPS dump with id, element or type (1, 2, ... in the order of the study: "
        f"{', '.join(study.species)})",
        "  and x y z, xu yu zu or xs ys zs; extended XYZ; XDATCAR, vasprun.xml, GROMACS gro, PDB or DL_POLY HISTORY.",
        f"  Or DCD, or XTC and TRR of GROMACS, of atoms in the order of {DATA}.",
        "  Every frame with its cell: this one, or another of the same lattice. Several files of a folder are one",
        "  trajectory, in the order of their names.",
        "  Energies are wanted where a pressure or an energy is fitted, and for the pressure in the report: a log of",
        "  LAMMPS, what extended XYZ has, or a table with names: step, energy (eV), virial (eV) or pressure (GPa),",
        "  temperature (K).",
        "",
        "Then",
        f"  {command_of(run)}",
        f"  or, where the potential cannot be sampled: refine step {run.folder} --failed 'what happened'",
        "",
    ]
    return "\n".join(lines)

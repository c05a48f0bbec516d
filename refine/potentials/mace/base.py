"""MACE models as a base."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.keys import Example, Model
from refine.potentials.lammps import Part, Script
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.catalogue import find, published, recognised, resolve
from refine.potentials.mace.reader import load
from refine.potentials.mace.reader.neutral import MODEL_FILE
from refine.potentials.protocols import Array, Base, CorrectedForceField, Finished, Pairs, SiteModel, Terms
from refine.tables.values import FileName, Integer, Line, refusal

if TYPE_CHECKING:  # with jax, which reading a study does without
    from refine.potentials.mace.model import Mace
    from refine.potentials.mace.weights import MaceWeights
    from refine.system import System


@dataclass(frozen=True)
class MacePotential:
    """A MACE model for atoms of any composition.

    Attributes:
        checkpoint: its architecture and weights.
        head: of a model with several; None: it has one.
        backend: what evaluates it, see `BACKENDS`.
        path: the file that it is from; None: it is not from a file.
        charge, spin: total charge (e) and spin multiplicity of the box, for models that take them.
    """

    checkpoint: Checkpoint
    head: str | None = None
    backend: str = "refine"
    path: Path | None = None
    charge: int = 0
    spin: int = 1

    @property
    def takes_charge_and_spin(self) -> bool:
        """Whether energies depend on the charge or spin of the box."""
        return bool(self.checkpoint.architecture.inputs)

    def check(self, species: tuple[str, ...]) -> None:
        """InputError for species, heads, charges and spins that the model does not know."""
        self.sites(species, (1,) * len(species), "float32", plain=True)

    def sites(
        self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str, *, plain: bool = False
    ) -> Mace:
        """The model of some atoms."""
        from refine.potentials.mace.model import Mace

        box: dict[str, Any] = {"head": self.head, "charge": self.charge, "spin": self.spin}
        return Mace(self.checkpoint, species, n_per_species, precision=precision, plain=plain, **box)

    def terms(self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str) -> Terms:
        """See `refine.potentials.protocols.Potential`."""
        return Terms(sites=self.sites(species, n_per_species, precision))


def mace_potential(model: str | Path | Checkpoint, head: str | None, charge: int = 0, spin: int = 1) -> MacePotential:
    """A MACE model of a file, of a published one's name, or of a checkpoint; InputError where there is none."""
    from ase.data import chemical_symbols

    checkpoint = model if isinstance(model, Checkpoint) else load(resolve(str(model)))
    potential = MacePotential(checkpoint, head, charge=charge, spin=spin)
    potential.check((chemical_symbols[checkpoint.architecture.species[0]],))  # refuses a wrong head
    return potential


def _opened(model: MaceModel) -> MacePotential:
    """What the table names, whatever the species."""
    path = model.model_path or find(model.name or "")
    return MacePotential(load(path), model.head, model.backend, path, model.charge, model.spin)


class MaceBase:
    """See `refine.potentials.protocols.Base`."""

    refined_file: ClassVar[str | None] = MODEL_FILE
    own_engine: ClassVar[str | None] = None

    def read(self, model: MaceModel, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> MacePotential:
        """The model of a file, read once for all states."""
        potential = _opened(model)
        potential.check(species)
        return potential

    def heads(self, model: MaceModel) -> dict[str, MacePotential]:
        """A potential for each, in the order of the file."""
        potential = _opened(model)
        return {head: replace(potential, head=head) for head in potential.checkpoint.architecture.heads}

    def theory(self, model: MaceModel, potential: MacePotential) -> str | None:
        """Of a model of the catalogue, by the name in the study or by its file."""
        checkpoint = potential.checkpoint
        heads = checkpoint.architecture.heads
        entry = published(model.name) if model.name else recognised(checkpoint.sha256, checkpoint.origin, heads)
        return None if entry is None else entry.theory_of(potential.head)

    def check_box(self, potential: MacePotential, correction_cutoff: float, system: System) -> None:
        """Any box will do."""

    def force_field(
        self, potential: MacePotential, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        """Site energies by the backend."""
        from refine.potentials.sites import SiteForceField

        model = BACKENDS[potential.backend](potential, system, precision)
        return SiteForceField(model, correction_cutoff, orthorhombic=system.orthorhombic)

    def pair_energies(self, potential: MacePotential, r: Array) -> None:
        """It is no sum of pair functions."""
        return None

    def identity(self, potential: MacePotential) -> str:
        """SHA-256 of the file: a name may stand for another one some day."""
        return potential.checkpoint.sha256

    def parameters(self, potential: MacePotential, names: tuple[str, ...], system: System, edges: Array) -> MaceWeights:
        """Weights, by the names of their arrays."""
        from refine.potentials.mace.weights import MaceWeights

        if potential.backend != "refine":
            raise InputError(
                f"weights cannot be refined with backend = {potential.backend!r}",
                where="[model] backend",
                fix='use backend = "refine"',
            )
        box: dict[str, Any] = {"head": potential.head, "charge": potential.charge, "spin": potential.spin}
        return MaceWeights(potential.checkpoint, names, system, **box)

    def final_potential(self, model: MaceModel, run: Finished, file: str | Path | None = None) -> MacePotential:
        """Refined weights are a file of the run's folder; else the model is what the study names."""
        if run.parameters is not None:
            return mace_potential(run.result.with_name(MODEL_FILE), model.head, model.charge, model.spin)
        name = file or model.model_path or model.name or ""
        if file is None and model.model_path is not None and not model.model_path.is_file():
            raise InputError(
                "no such file, as seen from the run", where=str(name), fix="give the file of the model: model="
            )
        return mace_potential(name, model.head, model.charge, model.spin)

    def lammps(self, model: MaceModel, run: Finished, script: Script) -> Part:
        """Remarks: LAMMPS takes a MACE model as a file, and through a style, that it does not bring."""
        elements, others = " ".join(map(element_of, run.species)), " ".join(script.beside)
        remarks = [
            f"# The base is the MACE model {model.name or model.path}. Make a LAMMPS model of its file with MACE's own",
            "# create_lammps_model.py, and complete the two lines below, in a LAMMPS that has pair_style mace:",
            f"#   pair_style hybrid/overlay mace no_domain_decomposition {others}",
            f"#   pair_coeff * * mace MODEL-lammps.pt {elements}",
            "# or, with --format=mliap and a LAMMPS that has ML-IAP:",
            f"#   pair_style hybrid/overlay mliap unified MODEL-mliap_lammps.pt 0 {others}",
            f"#   pair_coeff * * mliap {elements}",
        ]
        if run.parameters is not None:
            remarks.append(
                f"# Its weights were refined: they are in {MODEL_FILE} beside result.json, not in that file."
            )
        return Part(before=tuple(remarks), missing="pair_style mace and a file that MACE's own programs make")


class MaceModel(Model):
    """A MACE model, of a file or a published one."""

    called: ClassVar[str] = 'only "mace"'
    kind: ClassVar[Base] = MaceBase()
    examples: ClassVar[Mapping[str, Example]] = {
        "mace": Example({"H": 8, "O": 8}, {"path": "mace.safetensors"}, apart=1.0)
    }

    base: Literal["mace"]
    path: FileName | None = Field(
        None, description="File of a MACE model, relative to the study. With `mace` give either this or `name`."
    )
    name: Line | None = Field(
        None, description="Published MACE model, such as `medium-mpa-0`; `refine models list` shows all."
    )
    head: Line | None = Field(None, description="Head of a MACE model. Required if it has several.")
    charge: Annotated[Integer, Field(ge=-1000, le=1000)] = Field(
        0, description="Total charge of the box, e, for a MACE model that takes one, as MACE-OMOL-0 does."
    )
    spin: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        1, description="Spin multiplicity of the box, 2S + 1, for a MACE model that takes one; 1: all spins paired."
    )
    backend: Literal["refine", "mace-jax"] = Field(
        "refine",
        description="What evaluates a MACE model. `mace-jax` must be installed and is slower; it has torch load "
        "the file, which runs whatever is in it.",
    )

    @property
    def model_path(self) -> Path | None:
        """Where `path` is."""
        return self._resolve(self.path)

    @property
    def file_paths(self) -> tuple[Path, ...]:
        """The model's file, where the study names one."""
        return () if self.model_path is None else (self.model_path,)

    @property
    def title(self) -> str:
        """The name of a published model."""
        return self.name or self.base

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.name is None):
            raise refusal("should have exactly one of 'path' and 'name' with base = \"mace\"")
        return self


def _refine(potential: MacePotential, system: System, precision: str) -> SiteModel:
    return potential.sites(system.species, system.n_per_species, precision)


def _mace_jax(potential: MacePotential, system: System, precision: str) -> SiteModel:
    from refine.potentials.mace.second_opinion import MaceJax

    assert potential.path is not None
    return MaceJax(
        potential.checkpoint,
        potential.path,
        system.species,
        system.n_per_species,
        head=potential.head,
        precision=precision,
    )


BACKENDS: dict[str, Callable[[MacePotential, System, str], SiteModel]] = {"refine": _refine, "mace-jax": _mace_jax}
"""What `[model] backend` may name."""

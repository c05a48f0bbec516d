"""A whole study file as pydantic models; each field of a table carries its unit, its limits and its meaning.

What needs physics (does r_cut fit into the box, do structure and density agree) is checked where the physics is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PrivateAttr, SerializeAsAny, ValidationError, model_validator

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.bases import BASES, base_of
from refine.potentials.bases import LATER as LATER_OF_MODEL
from refine.potentials.keys import Model
from refine.refinement.keys import Refinement
from refine.refinement.observables.keys import Measured, MeasuredNumber
from refine.refinement.rules import LATER, RULES
from refine.study.schema.bias import Bias, BiasVariable
from refine.study.schema.compare import Compare, Coordination
from refine.study.schema.correction import LATER_OF_CORRECTION, Correction
from refine.study.schema.data import DATA, LATER_OF_DATA, Data
from refine.study.schema.replay import Replay
from refine.study.schema.sampling import LATER_OF_SAMPLING, Sampling
from refine.study.schema.system import LATER_OF_SYSTEM, Stage, State, System
from refine.tables.explain import input_error, shown
from refine.tables.table import Table
from refine.tables.toml import override, parse_toml, read_text, to_toml
from refine.tables.values import Line, any_tables, refusal, some_tables

FORMER_SCORE_R = [1.0, 10.0]
"""What `score_r` was by default when run folders were written, whose digests have it."""

NOT_OF_A_RUN = ("compare", "coordination", "bias", "variables")
"""Tables that no run follows from."""

NO_CORRECTION = 1.0
"""Å; range of the splines where nothing is corrected: it fits into every box, and no force field needs to reach it."""


class StudyConfig(Table):
    """A whole study. Attributes are the tables of the file; `parse` and `from_toml` are the ways to make one."""

    title: Line = Field("Untitled study", max_length=300, description="Headline of the report.")
    system: System
    states: Annotated[tuple[State, ...], BeforeValidator(some_tables)]
    schedule: Annotated[tuple[Stage, ...], BeforeValidator(any_tables)] = ()
    data: Annotated[tuple[Annotated[SerializeAsAny[Measured], DATA], ...], BeforeValidator(some_tables)]
    model: Annotated[SerializeAsAny[Model], BASES]
    correction: Correction = Correction()
    sampling: Sampling = Sampling()
    refinement: Annotated[SerializeAsAny[Refinement], RULES] = Field(default_factory=RULES.made)
    replay: Replay = Replay()
    compare: Compare = Compare()
    coordination: Coordination = Coordination()
    bias: Bias = Bias()
    variables: Annotated[tuple[BiasVariable, ...], BeforeValidator(any_tables)] = ()

    _source_path: Path | None = PrivateAttr(default=None)

    @property
    def source_path(self) -> Path | None:
        """The study file, or None for a study that was made in Python."""
        return self._source_path

    @property
    def folder(self) -> Path:
        """The folder that the study's paths are relative to."""
        return self._folder

    def default_out(self) -> Path:
        """Where results go that are asked for without a folder: runs/<name of the study's folder>."""
        name = self.folder.resolve().name if self.source_path else "study"
        return Path("runs") / (name or "study")

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a study file.

        Args:
            path: the TOML file.
            overrides: changes like ``refinement.iterations=3`` or ``states.0.temperature=90``; see `override`.

        Raises:
            InputError: the file cannot be read, is not TOML, or is not a valid study.
        """
        path = Path(path)
        tree = parse_toml(read_text(path), str(path))
        for assignment in overrides:
            override(tree, assignment)
        return cls._validated(tree, source=str(path), source_path=path, folder=path.parent)

    @classmethod
    def parse(cls, tree: Mapping[str, Any], folder: str | Path = ".") -> Self:
        """Make a study from nested dictionaries and lists of the file's shape.

        Args:
            tree: the study; keys are those of the file.
            folder: what relative paths in it are relative to.

        Raises:
            InputError: it is not a valid study.

        >>> StudyConfig.parse({"title": "argon", "states": [{"name": "85K", "temperature": 85.0}]})
        Traceback (most recent call last):
            ...
        refine.errors.InputError: study: missing table [system] (and 2 more)
        """
        return cls._validated(tree, source="study", source_path=None, folder=Path(folder))

    @classmethod
    def _validated(cls, tree: Mapping[str, Any], *, source: str, source_path: Path | None, folder: Path) -> Self:
        try:
            study = cls.model_validate(dict(tree))
        except ValidationError as error:
            raise input_error(error, tree, source, cls) from None
        study._source_path = source_path
        study.put_into(folder)
        return study

    @model_validator(mode="before")
    @classmethod
    def _engine_of_the_base(cls, tree: Any) -> Any:
        """A base that one engine alone evaluates asks for it, where the study names none."""
        model, sampling = (tree.get(name, {}) if isinstance(tree, Mapping) else None for name in ("model", "sampling"))
        if not isinstance(model, Mapping) or not isinstance(sampling, Mapping) or "engine" in sampling:
            return tree
        name = model.get("base")
        if not isinstance(name, str) or name not in BASES.entries:
            return tree
        own = base_of(name).own_engine
        return tree if own is None else {**tree, "sampling": {**sampling, "engine": own}}

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        states = [state.name for state in self.states]
        _refuse_duplicates("states", states)
        _refuse_duplicates("data", [data.name for data in self.data])
        _refuse_duplicates("variables", [one.name for one in self.variables])
        for data in self.data:
            where = f"[[data]] {data.name!r}:"
            if data.state is None and len(states) > 1:
                raise refusal(f"{where} missing key 'state'; one of {', '.join(states)}")
            if data.state is not None and data.state not in states:
                raise refusal(f"{where} state = {shown(data.state)} is not a state; one of {', '.join(states)}")
        if self.correction.smoothness != "auto" and not self.refinement.has_prior:
            method = shown(self.refinement.method)
            raise refusal(f"[correction] smoothness is a prior, and method = {method} has none; gauss-newton has it")
        if self.replay.active and not self.refinement.replays:
            method = shown(self.refinement.method)
            raise refusal(
                f"[replay] is of method = \"difftre\" with weights of a MACE model in 'parameters'; this is {method}"
                f" with {', '.join(self.refinement.base_parameters) or 'none'}"
            )
        solids = [state.name for state in self.states if state.phase == "solid"]
        if solids and self.refinement.liquids_only:
            raise refusal(f'[refinement] response = "closure" is for liquids, and state {solids[0]} is a solid')
        if self.model.has_molecules and self.refinement.liquids_only:
            raise refusal(
                '[refinement] response = "closure" is for liquids of single atoms, and [model] has a topology'
            )
        fits_pressure = getattr(self.refinement, "pressure", None) is not None or any(
            entry.role == "fit" and entry.quantity == "pressure" for entry in self.numbers
        )
        if self.model.holds_lengths and fits_pressure:
            raise refusal(
                "a pressure is not fitted where lengths in molecules are held: what holds them changes with φ"
            )
        if self.correction.molecules == "all" and not self.model.has_molecules:
            raise refusal('[correction] molecules = "all" is for molecules, and [model] has no topology')
        if self.correction.temperature == "linear":
            fitted = {self.state_of(data).temperature for data in self.data if data.role == "fit"}
            if len(fitted) < 2:
                raise refusal('[correction] temperature = "linear" needs fitted data at two temperatures or more')
        return self

    @model_validator(mode="after")
    def _states_have_a_density(self) -> Self:
        for state in self.states:
            declared = (self.number_density_of(state), self.mass_density_of(state))
            if self.structure_of(state) is None and declared == (None, None):
                raise refusal(f"missing key 'number_density' in [system] or in [[states]] {state.name!r}")
        return self

    @model_validator(mode="after")
    def _elements_are_in_the_system(self) -> Self:
        """Where the composition is known from the file alone, nothing may name another element."""
        counts = self.system.counts
        if counts is None:
            return self
        named: list[tuple[str, tuple[str, ...]]] = []
        for data in self.data:
            named += [(f"[[data]] {data.name!r}: {key}", elements) for key, elements in data.elements.items()]
        if self.correction.pairs != "all":
            named += [("[correction] pairs", pair) for pair in self.correction.pairs]
        of_element = {element_of(species) for species in counts}
        for where, elements in named:
            known = {*counts, *of_element} if where.endswith(("isotopes", "charges")) else counts
            for element in elements:
                if element not in known:
                    raise refusal(f"{where} names {element!r}, which is not in the system ({', '.join(counts)})")
        return self

    @property
    def curves(self) -> tuple[Data, ...]:
        """The entries of [[data]] that are curves, in order."""
        return tuple(entry for entry in self.data if isinstance(entry, Data))

    @property
    def numbers(self) -> tuple[MeasuredNumber, ...]:
        """Those that are numbers, in order."""
        return tuple(entry for entry in self.data if isinstance(entry, MeasuredNumber))

    def state_of(self, data: Measured) -> State:
        """The state that a data set was measured in."""
        return next(state for state in self.states if data.state in (None, state.name))

    def number_density_of(self, state: State) -> float | None:
        """Number density of a state in atoms/Å^3 where it is declared as such."""
        declared = state.number_density is not None or state.mass_density is not None
        return state.number_density if declared else self.system.number_density

    def mass_density_of(self, state: State) -> float | None:
        """Density of a state in g/cm^3 where it is declared as such."""
        declared = state.number_density is not None or state.mass_density is not None
        return state.mass_density if declared else self.system.mass_density

    def structure_of(self, state: State) -> Path | None:
        """Start structure of a state; None where it is packed at random from the composition."""
        return state.structure_path or self.system.structure_path

    def files(self, *, data: bool = True) -> tuple[Path, ...]:
        """The data (if wanted), structure and model files that the study names."""
        curves = [entry.path for entry in self.curves if entry.file is not None] if data else []
        structures = (self.structure_of(state) for state in self.states)
        replayed = (*self.replay.paths, *self.replay.structure_paths)
        return (*curves, *filter(None, structures), *self.model.file_paths, *replayed)

    def digest(self, *, data: bool = True) -> str:
        """SHA-256 (hex) of the settings and of the bytes of every data, structure and model file.

        Two studies with one digest are the same run; where the files lie makes no difference.

        Args:
            data: False to leave the data files out, where nothing depends on them.

        Raises:
            InputError: a file cannot be read.
        """
        settings = self.model_dump(mode="json", exclude=set(NOT_OF_A_RUN))
        del settings["sampling"]["keep"], settings["sampling"]["devices"]  # nor from what is kept of it, nor from where
        settings["sampling"] = _without(settings["sampling"], LATER_OF_SAMPLING)
        settings["correction"] = _without(settings["correction"], LATER_OF_CORRECTION)
        settings["system"] = _without(settings["system"], LATER_OF_SYSTEM)
        settings["data"] = [_without(entry, LATER_OF_DATA) for entry in settings["data"]]
        settings["model"] = {**BASES.former, **_without(settings["model"], LATER_OF_MODEL)}
        if not self.replay.active:
            del settings["replay"]  # younger than runs that can be resumed
        settings["refinement"] = {**RULES.former, **_without(settings["refinement"], LATER)}
        for entry in settings["data"]:
            if entry.get("score_r", ...) is None:
                entry["score_r"] = FORMER_SCORE_R
        total = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for path in self.files(data=data):
            try:
                total.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
        return total.hexdigest()

    def uncorrected(self) -> Self:
        """The study of the base model alone: without a fit, and with splines that fit into every box and stay zero."""
        splines = Correction(r_min=NO_CORRECTION / 2, r_cut=NO_CORRECTION, knots=4)
        return self.model_copy(update={"correction": splines, "refinement": RULES.made(), "replay": Replay()})

    def ending_at(self, r_cut: float) -> Self:
        """The study with a correction that ends at `r_cut`, Å."""
        return self.model_copy(update={"correction": self.correction.model_copy(update={"r_cut": r_cut})})

    def to_tree(self, folder: Path | None = None) -> dict[str, Any]:
        """The study as it runs, overrides applied and defaults written out, as nested dictionaries for `parse`.

        folder: of a file that it is meant for; relative paths are then seen from there. None: they stay as they are.
        """
        study = self if folder is None else self.seen_from(folder)
        return study.model_dump(mode="json", exclude_none=True)

    def to_toml(self, folder: Path | None = None) -> str:
        """The same as TOML that reads back the same."""
        return to_toml(self.to_tree(folder))


def _without(table: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """A table without the keys that are younger than runs which can be resumed, where they say what was done before."""
    return {key: value for key, value in table.items() if key not in later or value != later[key]}


def _refuse_duplicates(table: str, names: Sequence[str]) -> None:
    """Names become file names, so two that differ only in case are the same on some file systems."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise refusal(f"[[{table}]] has the name {name!r} twice")
        seen.add(name.lower())

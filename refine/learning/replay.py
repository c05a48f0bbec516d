"""Frames that a model should still describe while its weights are fitted to curves: labelled ones, and frames that the
unchanged model labels itself.

With e of the energy of a frame per atom, of a component of a force and of a component of a stress, the term is

    R = 1/2 [ λ_E <(e_E/σ_E)^2> + λ_F <(e_F/σ_F)^2> + λ_S <(e_S/σ_S)^2> ],

each mean over all frames, or components, that have such a label. The loss of the curves is half of chi^2 per point
(`refine.refinement.rules.difftre`), so with λ = 1 an error of one σ weighs as much as curves that are off by one
standard deviation throughout.

Nothing here is random but the draw of frames that are kept apart, and labels follow from the unchanged model and the
first sample: a run that goes on makes the same ones again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from refine.errors import InputError
from refine.formula import element_of
from refine.learning.batches import Batch, Graph, Shape, Shapes, by_box, by_size, graph_of, pack
from refine.learning.boxes import NEUTRAL, ChargeAndSpin, inputs_of
from refine.learning.errors import Errors
from refine.learning.frames import LabelledFrame, species_of
from refine.learning.loss import FrameLoss, Sums, Terms, Weights, sums_of
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.moved import Moved
from refine.sampling.frames import Frames
from refine.system import System

Array = NDArray[np.float64]

ATOMS = 256
"""Of a batch, unless it is a single frame."""

FRAMES = 32
"""Of a batch at the most."""

FAR = 1.0
"""eV per atom; labels that are off by more have another zero."""

LABELLED = "labelled"
"""The kind of frames that say of none, as those of files do."""

SAMPLED = "sampled"
"""The kind of frames that are taken from the first sample."""


@dataclass(frozen=True)
class Settings:
    """How frames are weighed.

    Attributes:
        weights: λ of the terms; 0 leaves one out.
        sigmas: σ_E (eV per atom), σ_F (eV/Å), σ_S (eV/Å^3).
        share: of the frames of each kind that are kept apart, of two or more one at least, but not all; 0: none are.
        seed: of their draw.
        sampled: frames of each state that are taken from the first sample.
    """

    weights: Terms
    sigmas: Terms
    share: float
    seed: int
    sampled: int = 0

    @property
    def terms(self) -> Terms:
        """Factors of the mean squares in R."""
        pairs = zip(self.weights, self.sigmas, strict=True)
        return Terms(*(weight / (2.0 * sigma**2) for weight, sigma in pairs))


@dataclass(frozen=True)
class Kept:
    """Errors on frames of one kind that are kept apart.

    Attributes:
        kind: of the frames. learnt, kept: how many there are of it on either side.
        errors: of the kept ones, their R in place of a loss.
    """

    kind: str
    learnt: int
    kept: int
    errors: Errors


@dataclass(frozen=True)
class _Group:
    """Frames of one kind, learnt from and kept apart. own: whether the unchanged model labels them."""

    kind: str
    own: bool
    learnt: list[Graph]
    kept: list[Graph]


class _Packed(NamedTuple):
    """Frames of one charge and spin in the arrays of a shape; inputs: of `inputs_of`."""

    batch: Batch
    shape: Shape
    inputs: tuple[int, ...]


class Replay:
    """See the module's docstring. A program is compiled for each of a few shapes; `compilations` counts them.

    Args:
        checkpoint: the unchanged model.
        moved: its arrays as a function of what is refined.
        head: of a model with several.
        labelled: frames with labels.
        own: frames that the unchanged model labels; labels that they have are passed over.
        systems: of every state.
        settings: how they are weighed.
        box: charge and spin of the systems, which frames of the sample have; those of other frames are their own, and
            one that says nothing of them is uncharged, with all spins paired.

    Raises:
        InputError: a frame that cannot be used, or with elements that the model does not know.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        moved: Moved,
        head: str | None,
        labelled: Sequence[LabelledFrame],
        own: Sequence[LabelledFrame],
        systems: Sequence[System],
        settings: Settings,
        box: ChargeAndSpin = NEUTRAL,
    ) -> None:
        self.checkpoint, self.moved, self.settings, self.box = checkpoint, moved, settings, box
        for frame in (*labelled, *own):
            _refuse_unknown(frame, checkpoint)
        self.systems = tuple(systems) if settings.sampled else ()
        sampled = {symbol for system in self.systems for symbol in symbols_of(system)}
        species = tuple(sorted(sampled.union(species_of([*labelled, *own]))))
        self.loss = FrameLoss(checkpoint, species, head=head, terms=settings.terms, precision="float64")
        self._fixed = [*self._groups(labelled, own=False), *self._groups(own, own=True)]
        self._sampled: Sequence[Frames] | None = None
        self._learnt: list[_Packed] = []
        self._kept: list[tuple[_Group, list[_Packed]]] = []
        self._pull = jax.jit(self._pulled)

    @property
    def compilations(self) -> int:
        """Programs of the model so far."""
        return self.loss.compilations

    def check(self) -> None:
        """InputError where labelled energies have another zero than the unchanged model."""
        if not self.settings.weights.energy:
            return
        graphs = [graph for group in self._fixed if not group.own for graph in (*group.learnt, *group.kept)]
        off = self._errors(self._packed(graphs, own=False), self.moved.start).energy if graphs else None
        if off is not None and off > FAR:
            raise InputError(
                f"energies of labelled frames are off by {off:.3g} eV per atom: another zero, or another theory",
                where="[replay] frames",
                fix="give labels of the model's own level, isolated atoms included, or set replay.energy = 0",
            )

    def gradient(self, parameters: Array, sampled: Sequence[Frames]) -> tuple[float, Array]:
        """R and dR/d parameters, (k,); sampled: of every state, frames under the unchanged model, with positions."""
        self._prepare(sampled)
        weights, total, slopes = self._weights(parameters), 0.0, dict[str, Any]()
        for batch, shape, inputs in self._learnt:
            value, slope = self.loss.loss_and_gradient(weights, batch, shape, inputs)
            total += float(value)
            slopes = {name: np.asarray(array) + slopes.get(name, 0.0) for name, array in slope.items()}
        with jax.enable_x64(True):
            return total, np.asarray(self._pull(jnp.asarray(parameters), slopes), np.float64)

    def kept(self, parameters: Array, sampled: Sequence[Frames]) -> list[Kept]:
        """Errors on the frames that are kept apart, by kind."""
        self._prepare(sampled)
        return [
            Kept(group.kind, len(group.learnt), len(group.kept), self._errors(batches, parameters))
            for group, batches in self._kept
        ]

    # ---- frames

    def _groups(self, frames: Sequence[LabelledFrame], *, own: bool) -> list[_Group]:
        found = []
        for kind in dict.fromkeys(map(_kind_of, frames)):
            graphs = [
                graph_of(
                    bare(frame) if own else frame,
                    self.loss.species,
                    self.loss.cutoff,
                    inputs_of(self.checkpoint, frame),
                )
                for frame in frames
                if _kind_of(frame) == kind
            ]
            share, order = self.settings.share, np.random.default_rng((self.settings.seed, *kind.encode()))
            number = min(max(round(share * len(graphs)), 1), len(graphs) - 1) if share else 0
            apart = set(order.permutation(len(graphs))[:number].tolist())
            learnt = [graph for k, graph in enumerate(graphs) if k not in apart]
            found.append(_Group(kind, own, learnt, [graphs[k] for k in sorted(apart)]))
        return found

    def _prepare(self, sampled: Sequence[Frames]) -> None:
        """Shapes, and labels by the unchanged model; once for a run."""
        if self._sampled is sampled:
            return
        groups = [*self._fixed, *self._groups(self._taken(sampled), own=True)]
        lists = [graphs for group in groups for graphs in (group.learnt, group.kept)]
        shapes = Shapes.sharing([some for graphs in lists for some in _parts(graphs)], FRAMES)
        learnt = [one for group in groups for one in self._packed(group.learnt, own=group.own, shapes=shapes)]
        self._learnt = _averaged(learnt)
        self._kept = [(group, self._packed(group.kept, own=group.own, shapes=shapes)) for group in groups if group.kept]
        self._sampled = sampled

    def _taken(self, sampled: Sequence[Frames]) -> list[LabelledFrame]:
        """Frames of the first sample, evenly over those of each state."""
        found = []
        for system, frames in zip(self.systems, sampled, strict=False):
            if frames.positions is None:
                raise ValueError("replay needs frames with positions: Sampler(positions=True)")
            for k in np.unique(np.linspace(0, len(frames) - 1, self.settings.sampled).round().astype(int)).tolist():
                frame = periodic_frame(system, frames.positions[k], SAMPLED, f"frame {k + 1} of the first sample")
                found.append(replace(frame, charge=self.box.charge, spin=self.box.spin))
        return found

    def _packed(self, graphs: Sequence[Graph], *, own: bool, shapes: Shapes | None = None) -> list[_Packed]:
        """Frames in batches; own ones with the labels of the unchanged model."""
        parts = _parts(graphs)
        shapes = Shapes.sharing(parts, FRAMES) if shapes is None else shapes
        weights, found = self._weights(self.moved.start), []
        for some in parts:
            shape, inputs = shapes.fitting(some), some[0].inputs
            batch = pack(some, shape, self.loss.isolated, self.loss.cutoff, self.loss.precision)
            if own:
                labels = self.loss.predict(self.loss.prepare(weights, inputs), batch, shape)
                batch = batch._replace(
                    energy=np.asarray(labels.energy), forces=np.asarray(labels.forces), stress=np.asarray(labels.stress)
                )
            found.append(_Packed(batch, shape, inputs))
        return found

    # ---- the model

    def _errors(self, batches: Sequence[_Packed], parameters: Array) -> Errors:
        weights, sums = self._weights(parameters), Sums(*[0.0] * len(Sums._fields))
        for batch, shape, inputs in batches:
            with jax.enable_x64(True):
                of_batch = sums_of(self.loss.predict(self.loss.prepare(weights, inputs), batch, shape), batch)
            sums = Sums(*(a + float(b) for a, b in zip(sums, of_batch, strict=True)))
        pairs = ((sums.energy, sums.frames), (sums.forces, sums.components), (sums.stress, sums.stresses))
        means = [squares / number if number else None for squares, number in pairs]
        loss = sum(term * mean for term, mean in zip(self.settings.terms, means, strict=True) if mean is not None)
        return Errors(loss, *(None if mean is None else math.sqrt(mean) for mean in means))

    def _weights(self, parameters: Any) -> dict[str, Any]:
        """As in the model's file; of a vector of numpy or a traced one."""
        factors = self.checkpoint.factors
        return {name: array / factors.get(name, 1.0) for name, array in self.moved.arrays(parameters).items()}

    def _pulled(self, parameters: Any, slopes: Weights) -> Any:
        return jax.vjp(self._weights, parameters)[1](slopes)[0]


def symbols_of(system: System) -> tuple[str, ...]:
    """Elements of all atoms, in order."""
    pairs = zip(system.species, system.n_per_species, strict=True)
    return tuple(element_of(symbol) for symbol, number in pairs for _ in range(number))


def periodic_frame(system: System, positions: Any, kind: str, where: str) -> LabelledFrame:
    """A frame of a system's atoms and cell without labels; positions: (N, 3) Å."""
    at = np.asarray(positions, np.float64)
    return LabelledFrame(symbols_of(system), at, system.cell, np.ones(3, bool), kind=kind, where=where)


def bare(frame: LabelledFrame) -> LabelledFrame:
    """A frame with zeros where the model has something to say."""
    zeros = np.zeros((len(frame.symbols), 3))
    return replace(
        frame,
        energy=0.0,
        forces=zeros,
        stress=None if frame.volume is None else np.zeros((3, 3)),
        weight=1.0,
        energy_weight=1.0,
        forces_weight=1.0,
        stress_weight=1.0,
    )


def _refuse_unknown(frame: LabelledFrame, checkpoint: Checkpoint) -> None:
    known = [chemical_symbols[number] for number in checkpoint.architecture.species]
    unknown = [symbol for symbol in dict.fromkeys(frame.symbols) if symbol not in known]
    if unknown:
        raise InputError(
            f"the model does not know {', '.join(unknown)}", where=frame.where, fix=f"give frames of {', '.join(known)}"
        )


def _parts(graphs: Sequence[Graph]) -> list[list[Graph]]:
    """Frames in batches of one charge and spin."""
    return [part for some in by_box(graphs) for part in by_size(some, ATOMS, FRAMES)]


def _kind_of(frame: LabelledFrame) -> str:
    return LABELLED if frame.kind is None else frame.kind


def _averaged(packed: Sequence[_Packed]) -> list[_Packed]:
    """Batches whose losses add up to that of all frames, each label weighed by how many there are of its sort."""
    frames, atoms, tensors = (
        sum(float(np.sum(getattr(one.batch, name))) for one in packed) or 1.0
        for name in ("energy_weight", "forces_weight", "stress_weight")
    )
    one = np.asarray(1.0)
    return [
        _Packed(
            batch._replace(
                energy_weight=batch.energy_weight / frames,
                forces_weight=batch.forces_weight / atoms,
                stress_weight=batch.stress_weight / tensors,
                n_frames=one,
                n_atoms=one,
            ),
            shape,
            inputs,
        )
        for batch, shape, inputs in packed
    ]

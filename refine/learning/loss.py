r"""The loss of a MACE model over labelled frames, and its derivative by the weights.

For B frames f of N_f atoms i, with weights w and w_f of terms and frames,

    L = w_E / B Σ_f w_f (ΔE_f / N_f)^2 + w_F / (3 Σ N_f) Σ_i w_f |ΔF_i|^2 + w_S / (9 B) Σ_f w_f Σ_ab (ΔS_f,ab)^2

ΔE in eV, ΔF in eV/Å, ΔS in eV/Å^3; a label that a frame does not have counts as zero error. Source:
`WeightedEnergyForcesStressLoss` of mace-torch 0.3 (mace/modules/loss.py), I. Batatia et al., NeurIPS 35, 11423 (2022).

Energies without E0 are E = Σ_i e_i(v), with v the vectors of all edges. Forces and stresses are linear in
G = dE/dv, so with s_i = dL/de_i and u = dL/dG, both at the present weights θ,

    dL/dθ = d/dθ [ Σ_i s_i e_i(v; θ) + (d/dt) Σ_i e_i(v + t u; θ) at t = 0 ].

e and G come from the fast kernels, in reverse; the bracket from the reference formulas, forward along u and then in
reverse by θ. So there is no second derivative in reverse, whose memory would grow, and the loss is one number from the
same energies and forces that dynamics have.

Site energies, forces, and the bracket's derivative by the parameters of the species at hand are of the precision that
is asked for; the loss, sums over a frame, and all between those parameters and the weights are float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from refine.compiled import announce
from refine.learning.batches import Batch, Shape
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.model import Mace
from refine.potentials.sites import forces_of

Array = NDArray[np.float64]
Weights = Mapping[str, Any]
"""Arrays as in a model's file (`Checkpoint.arrays`), float64, by name: those that change."""


class Terms(NamedTuple):
    """Weights of the loss' terms: w_E, w_F, w_S."""

    energy: float = 1.0
    forces: float = 100.0
    stress: float = 1.0


USUAL = Terms()


class Predicted(NamedTuple):
    """Of a batch: energies without E0 (B,) eV, forces (N, 3) eV/Å, stresses (B, 3, 3) eV/Å^3; float64."""

    energy: Any
    forces: Any
    stress: Any


class Sums(NamedTuple):
    """Sums over frames or components that have a label, of squared errors and how many: they add up over batches."""

    energy: Any
    frames: Any
    forces: Any
    components: Any
    stress: Any
    stresses: Any


class Score(NamedTuple):
    """Of a batch: loss (), sums of errors, energies without E0 (B,) eV."""

    loss: Any
    sums: Sums
    energy: Any


class FrameLoss:
    """The loss of a model with some weights changed. Arguments and results are float64; call nothing under another jit.

    A program is compiled for each shape and kind of result; `compilations` counts them.

    Args:
        checkpoint: the model, and the weights that do not change.
        species: of all frames, in the order of the batches' atoms.
        head: of a model with several.
        terms: weights of the terms.
        precision: "float32" or "float64", of the batches' vectors, too.

    Attributes:
        cutoff: Å.
        isolated: (S,) eV, of the species.

    Raises:
        InputError: a species that the model does not know, an unknown head.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        species: tuple[str, ...],
        *,
        head: str | None = None,
        terms: Terms = USUAL,
        precision: str = "float32",
    ) -> None:
        self.checkpoint, self.species, self.head = checkpoint, species, head
        self.terms, self.precision = terms, precision
        self.compilations = 0
        first = self._mace((1,) * len(species), plain=True)
        self.cutoff, self.isolated = first.cutoff, first.isolated
        self._models: dict[tuple[tuple[int, ...], bool], Mace] = {}
        self._prepare = jax.jit(self._prepared)
        self._pull = jax.jit(self._pulled)
        self._predict = jax.jit(self._predicted, static_argnums=0)
        self._score = jax.jit(self._scored, static_argnums=0)
        self._gradient = jax.jit(self._loss_and_slopes, static_argnums=0)
        self._whole = first
        with jax.enable_x64(True):
            self._arrays = {name: jnp.asarray(a, jnp.float64) for name, a in checkpoint.weights.items()}

    def prepare(self, weights: Weights, inputs: tuple[int, ...] | None = None) -> Any:
        """What `predict` and `score` take: the parameters of the species at hand, of the precision.

        inputs: of the frames, all of one charge and spin (`refine.learning.boxes.inputs_of`); None: uncharged, with all
            spins paired.
        """
        with jax.enable_x64(True):
            return self._prepare(dict(weights), self._fixed(weights), inputs)

    def predict(self, params: Any, batch: Batch, shape: Shape) -> Predicted:
        """Energies, forces and stresses of a batch that was packed into a shape."""
        with jax.enable_x64(True):
            found: Predicted = self._predict(shape.n_per_species, params, batch)
            return found

    def score(self, params: Any, batch: Batch, shape: Shape) -> Score:
        """The loss of a batch, the sums of its errors, and the energies."""
        with jax.enable_x64(True):
            found: Score = self._score(shape.n_per_species, params, batch)
            return found

    def loss_and_gradient(
        self, weights: Weights, batch: Batch, shape: Shape, inputs: tuple[int, ...] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The loss of a batch, (), and its derivative by the weights, shaped like them; inputs: as of `prepare`."""
        with jax.enable_x64(True):
            fixed = self._fixed(weights)
            loss, slopes = self._gradient(shape.n_per_species, self._prepare(dict(weights), fixed, inputs), batch)
            gradient: dict[str, Any] = self._pull(dict(weights), fixed, slopes, inputs)
            return loss, gradient

    # ---- traced; what weights are prepared to is the same for all shapes, and compiled once

    def _prepared(self, weights: Weights, fixed: Weights, inputs: tuple[int, ...] | None) -> Any:
        self._count("the weights")
        factors = self.checkpoint.factors
        whole = {name: array * factors.get(name, 1.0) for name, array in weights.items()}
        prepared = self._whole.prepare({**fixed, **whole}, xp=jnp, inputs=inputs)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, self.precision), prepared)

    def _pulled(self, weights: Weights, fixed: Weights, slopes: Any, inputs: tuple[int, ...] | None) -> Any:
        _, pull = jax.vjp(lambda changed: self._prepared(changed, fixed, inputs), weights)
        return pull(slopes)[0]

    def _predicted(self, atoms: tuple[int, ...], params: Any, batch: Batch) -> Predicted:
        self._count("energies of frames")
        return self._averages(*self._sites(atoms, params, batch), batch)

    def _scored(self, atoms: tuple[int, ...], params: Any, batch: Batch) -> Score:
        self._count("the validation")
        found = self._averages(*self._sites(atoms, params, batch), batch)
        return Score(self._loss(found, batch), sums_of(found, batch), found.energy)

    def _loss_and_slopes(self, atoms: tuple[int, ...], params: Any, batch: Batch) -> tuple[Any, Any]:
        """The loss, and its derivative by the prepared parameters."""
        self._count("a step of the training")
        loss, pull = jax.vjp(
            lambda e, g: self._loss(self._averages(e, g, batch), batch), *self._sites(atoms, params, batch)
        )
        of_sites, of_slopes = pull(jnp.ones_like(loss))
        vectors, model = jnp.asarray(batch.vectors), self._model(atoms, plain=True)

        def linearised(params: Any) -> Any:
            energies, along = jax.jvp(lambda v: model.site_energies(params, v, batch.senders), (vectors,), (of_slopes,))
            return jnp.sum(of_sites.astype(jnp.float64) * energies) + jnp.sum(along.astype(jnp.float64))

        return loss, jax.grad(linearised)(params)

    def _sites(self, atoms: tuple[int, ...], params: Any, batch: Batch) -> tuple[Any, Any]:
        """Site energies (N,), and the derivative of their sum by the vectors (N, K, 3)."""
        model = self._model(atoms, plain=False)
        return model.energies_and_gradients(params, jnp.asarray(batch.vectors), jnp.asarray(batch.senders))

    def _averages(self, sites: Any, slopes: Any, batch: Batch) -> Predicted:
        number = batch.energy.shape[0]

        def by_frame(values: Any) -> Any:
            return jax.ops.segment_sum(values.astype(jnp.float64), batch.frame, number + 1)[:number]

        strain = by_frame(jnp.einsum("nka,nkb->nab", batch.vectors, slopes, precision=jax.lax.Precision.HIGHEST))
        stress = (strain + strain.transpose(0, 2, 1)) / (2 * batch.volume[:, None, None])
        return Predicted(by_frame(sites), forces_of(slopes, batch.senders).astype(jnp.float64), stress)

    def _loss(self, found: Predicted, batch: Batch) -> Any:
        energy = jnp.sum(batch.energy_weight * ((found.energy - batch.energy) / batch.atoms) ** 2) / batch.n_frames
        forces = jnp.sum(batch.forces_weight[:, None] * (found.forces - batch.forces) ** 2) / (3 * batch.n_atoms)
        stress = jnp.sum(batch.stress_weight[:, None, None] * (found.stress - batch.stress) ** 2) / (9 * batch.n_frames)
        return self.terms.energy * energy + self.terms.forces * forces + self.terms.stress * stress

    # ---- the model

    def _fixed(self, weights: Weights) -> Weights:
        return {name: array for name, array in self._arrays.items() if name not in weights}

    def _model(self, atoms: tuple[int, ...], *, plain: bool) -> Mace:
        key = atoms, plain
        if key not in self._models:
            self._models[key] = self._mace(atoms, plain=plain)
        return self._models[key]

    def _mace(self, atoms: tuple[int, ...], *, plain: bool) -> Mace:
        with jax.ensure_compile_time_eval():
            return Mace(
                self.checkpoint,
                self.species,
                atoms,
                head=self.head,
                precision=self.precision,
                plain=plain,
                table=False,
            )

    def _count(self, what: str) -> None:
        self.compilations += 1  # Python runs while tracing only
        announce(what)


def sums_of(found: Predicted, batch: Batch) -> Sums:
    """Sums of squared errors of a batch, whatever the labels' weights; float64 under `jax.enable_x64`."""
    frames, atoms, tensors = batch.energy_weight > 0, batch.forces_weight > 0, batch.stress_weight > 0
    return Sums(
        jnp.sum(jnp.where(frames, ((found.energy - batch.energy) / batch.atoms) ** 2, 0.0)),
        jnp.sum(frames),
        jnp.sum(jnp.where(atoms[:, None], (found.forces - batch.forces) ** 2, 0.0)),
        3 * jnp.sum(atoms),
        jnp.sum(jnp.where(tensors[:, None, None], (found.stress - batch.stress) ** 2, 0.0)),
        9 * jnp.sum(tensors),
    )

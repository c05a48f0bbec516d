"""Sampled frames: what is kept of a trajectory.

A frame is reduced to its pair-distance counts and a few energies as soon as it is made; positions are kept only where
a rule needs the base model's energies of stored frames under other parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kernels.shells import ideal_pair_counts
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Frames:
    """Frames of one state point, replica after replica, each replica in order of time.

    counts: (frames, pairs, bins) float32, unordered atom pairs (each once) whose distance lies in a bin; exact
    integers, but within molecules that scattering sees otherwise (`refine.sampling.counting.counts_as_seen`).
        Bins are uniform from 0 to `r_max` (Å); pairs of species are the rows (0,0), (0,1), ..., (1,1), ...
    energy: (frames,) float64, potential energy of the box, eV.
    virial: (frames,) float64, W = sum_{i<j} r_ij . f_ij, eV.
    temperature: (frames,) float64, kinetic temperature, K.
    replica: (frames,) int64, which replica a frame belongs to.
    r_max: Å.  n_per_species: atoms of each species, in order.  volume: Å^3.
    positions: (frames, N, 3), Å, within the cell or not; None: not kept.
    bonded: (frames, pairs, bins) float32, those of the counts that the correction does not act on, as of atoms that are
        bonded to each other; None: it acts on all.

    Two atoms 1.5 Å apart, in two frames of one replica:

    >>> counts = np.tile(np.array([0.0, 1.0, 0.0, 0.0], np.float32), (2, 1, 1))
    >>> nothing = np.zeros(2)
    >>> frames = Frames(counts, nothing, nothing, nothing, np.zeros(2, int), 4.0, (2,), 1000.0)
    >>> len(frames), frames.centres.tolist(), frames.pair_distribution().round(1).tolist()
    (2, [0.5, 1.5, 2.5, 3.5], [[0.0, 34.1, 0.0, 0.0]])
    """

    counts: NDArray[Any]
    energy: Array
    virial: Array
    temperature: Array
    replica: NDArray[np.int64]
    r_max: float
    n_per_species: tuple[int, ...]
    volume: float
    positions: NDArray[np.floating[Any]] | None = None
    bonded: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        frames, pairs, bins = self.counts.shape
        species = len(self.n_per_species)
        if pairs != species * (species + 1) // 2:
            raise ValueError(f"counts have {pairs} rows; {species} species have {species * (species + 1) // 2} pairs")
        if bins < 1 or self.r_max <= 0 or self.volume <= 0:
            raise ValueError(f"need bins, r_max and volume above zero; got {bins}, {self.r_max}, {self.volume}")
        for name in ("energy", "virial", "temperature", "replica"):
            if getattr(self, name).shape != (frames,):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}; there are {frames} frames")

        if self.bonded is not None and self.bonded.shape != self.counts.shape:
            raise ValueError(f"bonded has shape {self.bonded.shape}; counts have {self.counts.shape}")
        if self.positions is not None and self.positions.shape != (frames, self.n_atoms, 3):
            raise ValueError(f"positions have shape {self.positions.shape}; expected {(frames, self.n_atoms, 3)}")

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def per_frame(self) -> tuple[str, ...]:
        """Names of the arrays that have an entry for every frame."""
        names = ("counts", "energy", "virial", "temperature", "replica")
        kept = tuple(name for name in ("positions", "bonded") if getattr(self, name) is not None)
        return (*names, *kept)

    @property
    def felt(self) -> Self:
        """These frames with the counts of those pairs alone that the correction acts on: between molecules."""
        return self if self.bonded is None else replace(self, counts=self.counts - self.bonded, bonded=None)

    @property
    def n_atoms(self) -> int:
        """Of all species together."""
        return sum(self.n_per_species)

    @property
    def edges(self) -> Array:
        """(bins + 1,) Å."""
        return np.linspace(0.0, self.r_max, self.counts.shape[2] + 1)

    @property
    def centres(self) -> Array:
        """(bins,) Å."""
        edges = self.edges
        middles: Array = (edges[1:] + edges[:-1]) / 2
        return middles

    def ideal_counts(self) -> Array:
        """Mean counts (pairs, bins) of an ideal gas in this box, see `kernels.shells`."""
        return ideal_pair_counts(self.n_per_species, self.volume, self.edges)

    def merged(self, number: int) -> Self:
        """The same frames in bins `number` times as wide; bins that are left over at the end are dropped."""
        bins = self.counts.shape[2] // number

        def wider(counts: NDArray[Any]) -> NDArray[Any]:
            kept = counts[:, :, : bins * number]
            return np.asarray(kept.reshape(*kept.shape[:2], bins, number).sum(axis=3))

        return self._counted(wider, self.r_max / self.counts.shape[2] * bins * number)

    def within(self, r_max: float) -> Self:
        """The same frames, of the bins below r_max (Å)."""
        width = self.r_max / self.counts.shape[2]
        bins = round(r_max / width)
        return self._counted(lambda counts: counts[:, :, :bins], bins * width)

    def _counted(self, change: Callable[[NDArray[Any]], NDArray[Any]], r_max: float) -> Self:
        bonded = None if self.bonded is None else change(self.bonded)
        return replace(self, counts=change(self.counts), bonded=bonded, r_max=r_max)

    def pair_distribution(self) -> Array:
        """Partial pair distribution functions g_ij (pairs, bins), 1 for an ideal gas.

        A species with a single atom has no like pairs: its row is zero.
        """
        ideal = self.ideal_counts()
        mean = self.counts.mean(axis=0, dtype=np.float64)
        g: Array = np.divide(mean, ideal, out=np.zeros_like(ideal), where=ideal > 0)
        return g

    def pressure(self) -> Array:
        """Pressure of every frame (frames,), GPa: p V = N k T + W / 3 with the frame's kinetic temperature."""
        kinetic = self.n_atoms * BOLTZMANN * self.temperature
        return PRESSURE_UNIT * (kinetic + self.virial / 3) / self.volume

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Every field as an array, for a checkpoint."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: np.asarray(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """The inverse of `to_arrays`, bit for bit."""
        values = {field.name: np.asarray(arrays[field.name]) for field in fields(cls) if field.name in arrays}
        return cls(
            counts=values["counts"],
            energy=values["energy"],
            virial=values["virial"],
            temperature=values["temperature"],
            replica=values["replica"],
            r_max=float(values["r_max"]),
            n_per_species=tuple(int(n) for n in values["n_per_species"]),
            volume=float(values["volume"]),
            positions=values.get("positions"),
            bonded=values.get("bonded"),
        )


def concatenate(parts: Sequence[Frames]) -> Frames:
    """One Frames from several of the same box and bins, in the order given.

    >>> frames = Frames(np.zeros((2, 1, 4)), *np.zeros((3, 2)), np.zeros(2, int), 4.0, (2,), 1000.0)
    >>> len(concatenate([frames, frames]))
    4
    """
    if not parts:
        raise ValueError("nothing to concatenate")
    first = parts[0]
    for part in parts[1:]:
        same = (part.r_max, part.n_per_species, part.volume, part.counts.shape[1:]) == (
            first.r_max,
            first.n_per_species,
            first.volume,
            first.counts.shape[1:],
        )
        if not same or part.per_frame != first.per_frame:
            raise ValueError("frames of different boxes, species or bins cannot be concatenated")
    return _with(first, {n: np.concatenate([getattr(part, n) for part in parts]) for n in first.per_frame})


def by_replica(parts: Sequence[Frames]) -> Frames:
    """Successive pieces of the same trajectories as one, replica after replica.

    >>> frames = Frames(np.zeros((2, 1, 4)), *np.zeros((3, 2)), np.array([0, 1]), 4.0, (2,), 1000.0)
    >>> by_replica([frames, frames]).replica.tolist()
    [0, 0, 1, 1]
    """
    joined = concatenate(parts)
    order = np.argsort(joined.replica, kind="stable")
    return _with(joined, {name: getattr(joined, name)[order] for name in joined.per_frame})


def _with(frames: Frames, arrays: dict[str, Any]) -> Frames:
    return replace(frames, **arrays)

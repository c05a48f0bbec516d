"""Low-rank changes W + U V' of the matrices of a MACE model; all else stays as it is.

Source: E. J. Hu et al., LoRA (2021), arXiv:2106.09685. With W (n, m), U is (n, r) and V (m, r). V is zero at the start,
so that the start is the unchanged model, and U is drawn from normal deviates of variance 1/r, always the same for a
model. There is no further factor: with this variance the rms of U V' is that of V.

Matrices are the arrays of the table in `architecture` that a vector of features is multiplied with: linear layers of
every l, radial and density networks, readouts. Paths that end in one l are the input of one linear layer, so
`layers.t.message.l` is one matrix (P_l E, C) and `layers.t.radial.last` one of (in, P E). `layers.t.skip.l` with a
matrix for each species is a change for each species at hand. Where a matrix is smaller than the rank, r is its smaller
side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.chosen import ALL, chosen_names

Array = NDArray[np.float64]
Factors = tuple[Any, Any]
"""U (S, n, r) and V (S, m, r) of an array, S matrices in a stack."""

LORA = "lora"
LARGEST_RANK = 16

SEED = 21
"""Of U."""

MATRICES = re.compile(
    r"layers\.\d+\.((up|message|skip|residual|gated|linear|readout)\.\d+|(radial|density)\.(\d+|last)|density)|project"
)
"""Arrays that are matrices, or stacks of them."""


@dataclass(frozen=True)
class LowRank:
    """Changes of some matrices.

    Attributes:
        checkpoint: the model.
        ranks: of the changes, by the arrays' names, in the order of the model.
        species: atomic numbers at hand: stacks of matrices by species are changed for these.
    """

    checkpoint: Checkpoint
    ranks: Mapping[str, int]
    species: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arrays."""
        return tuple(self.ranks)

    @cached_property
    def start(self) -> Array:
        """(k,) U at random and V zero, matrix after matrix."""
        parts = []
        for number, name in enumerate(self.names):
            u, v = self._shapes(name)
            draw = np.random.default_rng((SEED, number)).normal(size=u) / np.sqrt(u[-1])
            parts += [draw.ravel(), np.zeros(np.prod(v))]
        return np.concatenate(parts)

    @cached_property
    def units(self) -> Array:
        """(k,) of U its rms, of V that of the matrix: then a step that changes both by a share of their units changes
        W by about this share."""
        parts = []
        for name in self.names:
            u, v = self._shapes(name)
            scale = float(np.sqrt(np.mean(np.square(self.checkpoint.weights[name]))))
            parts += [np.full(np.prod(u), 1.0 / np.sqrt(u[-1])), np.full(np.prod(v), scale or 1.0)]
        return np.concatenate(parts)

    def factors(self, parameters: Any) -> dict[str, Factors]:
        """U and V by name, of a vector of numpy or a traced one."""
        found: dict[str, Factors] = {}
        first = 0
        for name in self.names:
            both = []
            for shape in self._shapes(name):
                size = int(np.prod(shape))
                both.append(parameters[first : first + size].reshape(shape))
                first += size
            found[name] = both[0], both[1]
        return found

    def arrays(self, parameters: Any) -> dict[str, Any]:
        """See `refine.potentials.mace.moved.Moved`."""
        return changed_arrays(self.checkpoint, self.factors(parameters), self.species)

    def _shapes(self, name: str) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        number, n, m = stack_of(self.checkpoint, name, len(self.species))
        return (number, n, self.ranks[name]), (number, m, self.ranks[name])


def low_rank(
    checkpoint: Checkpoint,
    names: Sequence[str],
    species: Sequence[str],
    *,
    where: str,
    as_they_are: Sequence[str] = (),
) -> LowRank:
    """What "lora:RANK:NAME" (of the matrices that NAME stands for) and "lora:RANK" (of all that nothing else names) ask
    for.

    as_they_are: arrays that are moved without a change of rank.

    Raises:
        InputError: a rank that is none, a name that no matrix has, a matrix that is named twice.
    """
    ranks: dict[str, int] = {}
    parsed = [(given, *_parsed(given, where)) for given in names]
    for given, rank, part in sorted(parsed, key=lambda one: one[2] is None):  # what names nothing takes the rest
        every = chosen_names(checkpoint, [part or ALL], where=where)
        matrices = [name for name in every if MATRICES.fullmatch(name)]
        if not matrices:
            raise InputError(f"'{part}' has no matrix", where=where, fix="name layers, or parts that mix features")
        if part is None:
            matrices = [name for name in matrices if name not in ranks and name not in as_they_are]
            if not matrices:
                raise InputError(f"'{given}' has no matrix left", where=where, fix="name each part of the model once")
        for name in matrices:
            if name in ranks:
                raise InputError(f"'{given}' names {name} once more", where=where, fix="name each matrix once")
            if name in as_they_are:
                raise InputError(
                    f"'{given}' names {name}, which is to be moved as it is, too", where=where, fix="name it once"
                )
            ranks[name] = min(rank, *stack_of(checkpoint, name, 1)[1:])
    ordered = {name: ranks[name] for name in checkpoint.arrays if name in ranks}
    numbers = dict.fromkeys(atomic_numbers[element_of(symbol)] for symbol in species)  # sites share their element's
    return LowRank(checkpoint, ordered, tuple(numbers))


def changed_arrays(checkpoint: Checkpoint, factors: Mapping[str, Factors], species: Sequence[int]) -> dict[str, Any]:
    """W + U V' by name, float64 as in `Checkpoint.weights`; species: atomic numbers that the stacks are of.

    The sum over the rank is written out: a matrix product need not have the same last digit everywhere, and a model
    that is changed again would have another hash.
    """
    known = checkpoint.architecture.species
    spread = np.array([[float(z == one) for one in species] for z in known])
    found = {}
    for name, (u, v) in factors.items():
        change = sum(u[:, :, None, k] * v[:, None, :, k] for k in range(u.shape[-1]))
        shape = checkpoint.arrays[name].shape
        if by_species(checkpoint, name):
            change = sum(spread[:, s, None, None] * change[s] for s in range(len(species)))
        found[name] = checkpoint.weights[name] + change.reshape(shape)
    return found


def by_species(checkpoint: Checkpoint, name: str) -> bool:
    """Whether an array has a matrix for each species."""
    return ".skip." in name and checkpoint.arrays[name].ndim == 3


def stack_of(checkpoint: Checkpoint, name: str, species: int) -> tuple[int, int, int]:
    """How many matrices an array is for so many species, and their rows and columns."""
    shape = checkpoint.arrays[name].shape
    if by_species(checkpoint, name):
        return species, shape[1], shape[2]
    if name.endswith("radial.last"):
        return 1, shape[0], int(np.prod(shape[1:]))
    return 1, int(np.prod(shape[:-1])), shape[-1]


def _parsed(given: str, where: str) -> tuple[int, str | None]:
    """Rank and name of "lora:RANK:NAME"; None: no name."""
    _, _, rest = given.partition(":")
    rank, _, part = rest.partition(":")
    if not (rank.isascii() and rank.isdigit() and len(rank) <= 2 and 1 <= int(rank) <= LARGEST_RANK):
        raise InputError(
            f"'{given}' has no rank of 1 to {LARGEST_RANK}",
            where=where,
            fix=f'write "{LORA}:8", or "{LORA}:8:layers.1"',
        )
    return int(rank), part or None

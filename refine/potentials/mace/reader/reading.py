"""One model that is being read: its arrays and factors as they are found."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from refine.potentials.mace.reader.checks import MAX_ARRAY_BYTES
from refine.potentials.mace.reader.modules import Module
from refine.potentials.mace.reader.refusals import unsupported


class Reading:
    """What has been read of a model so far.

    Args:
        root: the model's module.

    Attributes:
        arrays, factors: those of `refine.potentials.mace.architecture.Checkpoint`.
        channels: C; 0 until the embedding is read.
        harmonics: (count, l, parity) of the spherical harmonics.
    """

    def __init__(self, root: Module) -> None:
        self.root = root
        self.arrays: dict[str, NDArray[Any]] = {}
        self.factors: dict[str, float] = {}
        self.channels = self.size = 0
        self.harmonics: list[tuple[int, int, int]] = []

    def put(self, name: str, array: NDArray[Any], factor: float = 1.0) -> None:
        """Keep an array. Many of them can lie in one place of the file, so their sum is limited too."""
        self.size += array.nbytes
        if self.size > MAX_ARRAY_BYTES:
            raise self.root.error(f"has weights of more than {MAX_ARRAY_BYTES / 2**30:.0f} GiB")
        self.arrays[name] = array
        if factor != 1.0:
            self.factors[name] = factor

    def expect(self, module: Module, package: str, kind: str) -> Module:
        """The module itself, where it is of this class."""
        if (module.package, module.kind) != (package, kind):
            what = f"{module.path} is a {module.package} {module.kind} instead of a {kind}"
            raise unsupported(self.root, f"a model in which {what}")
        return module

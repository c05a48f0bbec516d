"""What [refinement] of a study file may say: the keys of every rule; each rule's file has a table with its own.

Plain pydantic: a study file is read, and refused, before anything that computes is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from refine.tables.table import Table
from refine.tables.values import Integer, Line, Number

if TYPE_CHECKING:
    from refine.refinement.problem import Rule


@dataclass(frozen=True)
class Shared:
    """What other tables of a study say that a rule may need.

    Attributes:
        final_factor: length of the confirming samples in units of the ordinary ones; [sampling] final.
        length: correlation length of a prior on phi, Å; [correction] length.
        smoothness: "auto", or strength of that prior, a number or a number by pair; [correction] smoothness.
        no_closure: whether some state is no liquid of single atoms, of which the Ornstein-Zernike closure is.
    """

    final_factor: float
    length: float
    smoothness: float | str | Mapping[str, float]
    no_closure: bool = False


class Refinement(Table, ABC):
    """The rule that changes the correction. A key of another method than the chosen one is refused."""

    has_prior: ClassVar[bool] = False
    """Whether [correction] smoothness means something to the rule."""

    method: str = Field(description="Name of the rule. Each has keys of its own, below.")
    iterations: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        8, description="At most so many updates; the run stops by itself once change is within the sampling noise."
    )

    @property
    def liquids_only(self) -> bool:
        """Whether these settings mean nothing for a solid."""
        return False

    @property
    def base_parameters(self) -> tuple[str, ...]:
        """Parameters of the base model that are refined, too, by name."""
        return ()

    @property
    def replays(self) -> bool:
        """Whether the rule takes frames that the base model should still describe, [replay]."""
        return False

    @abstractmethod
    def rule(self, shared: Shared) -> Rule:
        """The update rule with these settings."""


class Descent(Refinement, ABC):
    """A rule that steps along a gradient."""

    optimiser: Line = Field("adam", description="Name of an optimiser of optax.")
    learning_rate: Annotated[Number, Field(gt=0, le=10)] = Field(
        0.02, description="Its learning rate; in kT for the correction."
    )

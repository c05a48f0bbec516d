"""A measured number density, as the volume at which the pressure is zero."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from refine.errors import InputError
from refine.refinement.observables.keys import MeasuredNumber
from refine.refinement.observables.pressure import Pressure
from refine.system import Box
from refine.tables.values import Number, Weighable


class DensityKeys(MeasuredNumber):
    """Number density at ambient pressure, atoms/Å³, fitted as zero pressure (1 bar is 0.0001 GPa) in the box, which has
    this density. Its sigma becomes one of the pressure, K σ/ρ, with the bulk modulus K.
    """

    unit: ClassVar[str] = "atoms/Å³"
    quantity: Literal["number density"] = "number density"
    value: Annotated[Number, Field(gt=0)] = Field(description="atoms/Å³.")
    bulk_modulus: Weighable = Field(
        description="Isothermal bulk modulus in GPa, measured or of a similar substance; a fifth of it either way "
        "changes little."
    )

    def observable(self, box: Box, temperature: float) -> Pressure:
        """The pressure at that volume."""
        return Pressure(temperature)

    def goal(self, box: Box) -> tuple[float, float]:
        """0 and K sigma/ρ, GPa; InputError where the state's density is another."""
        if abs(box.number_density - self.value) > self.sigma:
            raise InputError(
                f"the number density of the state is {box.number_density:.5g} atoms/Å^3, and {self.value:g} ± "
                f"{self.sigma:g} was measured",
                where=self.where,
                fix=f"give the state number_density = {self.value:g}",
            )
        return 0.0, self.bulk_modulus * self.sigma / self.value

    @classmethod
    def example(cls, box: Box) -> Self:
        """The box's own."""
        density = box.number_density
        return cls(name="example", value=density, sigma=0.01 * density, bulk_modulus=0.5)

"""[sampling]: molecular dynamics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refine.tables.table import Table
from refine.tables.values import Integer, Number


class Sampling(Table):
    """Molecular dynamics at constant temperature."""

    timestep: Annotated[Number, Field(gt=0, le=20)] = Field(1.0, description="Time step in fs.")
    thermostat: Literal["langevin", "nose-hoover"] = Field("langevin", description="Thermostat.")
    time_constant: Annotated[Number, Field(gt=0, le=1000)] = Field(0.5, description="Its time constant in ps.")
    equilibration: Annotated[Number, Field(ge=0, le=1_000_000)] = Field(
        20.0, description="Time in ps from the start structure to the first frame."
    )
    reequilibration: Annotated[Number, Field(ge=0, le=1_000_000)] = Field(
        5.0, description="Time in ps after each change of the potential."
    )
    frames: Annotated[Integer, Field(ge=10, le=1_000_000)] = Field(
        200,
        description="Frames sampled in each iteration, from all replicas together; `gauss-newton` takes half as many "
        "while the misfit is more than three times the noise.",
    )
    stride: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(40, description="Steps between frames.")
    final: Annotated[Number, Field(ge=1, le=100)] = Field(
        2.0, description="The sample behind the final numbers has this times `frames`."
    )
    replicas: Annotated[Integer, Field(ge=1, le=1024)] = Field(1, description="Copies of the box run side by side.")
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(1, description="Seed of every random number of the run.")
    precision: Literal["float32", "float64"] = Field("float32", description="Precision of the dynamics.")
    bin_width: Annotated[Number, Field(ge=0.001, le=0.5)] = Field(
        0.02,
        description="Width in Å of the bins in which pair distances are counted; at most 2/Q_max of every curve.",
    )

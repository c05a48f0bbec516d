"""[[data]]: measured curves, and what chooses between them and measured numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from refine.curves.quantities import QUANTITIES, is_q_space
from refine.refinement.observables import OBSERVABLES
from refine.refinement.observables.keys import Measured
from refine.study.schema.conventions import Abscissa, Normalisation, Quantity, Radiation, Window
from refine.tables.choice import Choice
from refine.tables.species import Charges, Isotopes, Pair, UnitOfIntensity
from refine.tables.values import (
    Columns,
    FileName,
    FreeBackground,
    Integer,
    Number,
    Range,
    Resolution,
    Sigma,
    Switch,
    Weighable,
    refusal,
)

LATER_OF_DATA = dict.fromkeys(
    ("columns", "block", "background_below", "q_damp", "q_broad", "resolution", "per", "incoherent")
)
"""Keys of a curve that studies of before do not have, and the values, None each, with which they change no digest."""


class Data(Measured):
    """A measured curve."""

    called: ClassVar[str] = "a curve"

    file: FileName | None = Field(
        None,
        description="Columns x, y[, sigma] in Å and 1/Å, or a .sq .gr .fq .int01 .mint01 .nxs file; relative to the "
        'study. Required unless the role is "predict".',
    )
    columns: Columns | None = Field(
        None,
        description="Which columns of the file are x, y and, where a third is given, the standard error of y: counted "
        "from 1, or by the names that the file gives them. Default: those of a file that has no others.",
    )
    block: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = Field(
        None,
        description="Which curve, counted from 1, of a file that has several one below the other. "
        "Required where it has.",
    )
    quantity: Quantity = Field(description="What the y column is.")
    normalisation: Normalisation = Field(
        "faber-ziman",
        description="`faber-ziman`: S(Q) → 1; `keen`: in barn/sr/atom or electron units, as I(Q) is; "
        "`<f^2>`: x-rays over ⟨f²⟩.",
    )
    per: UnitOfIntensity | None = Field(
        None,
        description='What I(Q) is of: `"atom"`, or the formula of a molecule or formula unit, `"H2O"`. '
        "Default: an atom.",
    )
    incoherent: Switch | None = Field(
        None,
        description="Whether I(Q) of neutrons holds the incoherent scattering, too: its self part is then Σ c σ_s/4π, "
        "else Σ c b². Default: it does not.",
    )
    radiation: Radiation | None = Field(
        None, description="What was scattered. Required unless `pair` makes the curve a partial."
    )
    pair: Pair | None = Field(
        None, description="The curve is the partial of this pair of elements. Default: the total."
    )
    isotopes: Isotopes = Field(
        default_factory=dict,
        description="Isotopes of the sample, neutrons only. `{ Ar = 36 }` is pure, `{ H = { 1 = 0.5, 2 = 0.5 } }` a "
        "mixture at random, in atomic fractions that add up to 1; D is H of mass number 2. A key may be a site, "
        "`H:methyl`. Default: natural abundance, and deuterium where the start structure says D.",
    )
    charges: Charges = Field(
        default_factory=dict,
        description="Form factors that are not those of neutral atoms, x-rays only. A whole number: that of the ion. "
        "`[q, δ]`, in e and 1/Å: charge that has moved within a molecule, f(Q) [1 − (q/Z) exp(−Q²/2δ²)] with the f and "
        "Z of the neutral atom, as `{ O = [-0.86, 2.01], H = [0.43, 2.01] }` for water.",
    )
    fit_q: Range | None = Field(None, description="Fitted range of Q in 1/Å. Default: all of the data.")
    fit_r: Range | None = Field(
        None, description="Fitted range of r in Å. Default: all that the data and the box have."
    )
    score_r: Range | None = Field(
        None, description="Range in Å over which R_chi of T(r) is taken. Default: 1 to 10 Å, cut to the box."
    )
    q_range: Range | None = Field(
        None,
        description="Q range in 1/Å of the measurement, or of the transform behind r-space data; of these a total "
        "needs it unless the file's header has it.",
    )
    abscissa: Abscissa = Field(
        "auto",
        description="What the x column of the file is: `points`, or `left-edges` or `centres` of the bins that y "
        "is averaged over; left edges are shifted to the centres. `auto`: left edges in Gudrun's .mint01 .mdcs01 "
        ".dcs01 .int01 (02, ...), points elsewhere; a file whose header names such a file has to say it.",
    )
    window: Window = Field("none", description="Window of the transform to r, applied to model and measurement alike.")
    q_damp: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        None,
        description="Resolution in 1/Å: the model's D(r) is damped by exp(-(q_damp r)²/2), as in PDFgui; "
        "its curve in Q is convolved with a Gaussian of this width.",
    )
    q_broad: Annotated[Number, Field(gt=0, le=0.2)] | None = Field(
        None,
        description="Peaks of the model at r are wider by a Gaussian of q_broad r; it has no unit. PDFgui's Q_broad, "
        "in 1/Å, is this divided by the width of the peak. A curve in r needs its Q range.",
    )
    resolution: Resolution | None = Field(
        None,
        description="Standard deviation of Q: a number or `constant` in 1/Å, the same as q_damp; `proportional` to "
        "Q, the same as q_broad.",
    )
    sigma: Sigma = Field(
        "auto",
        description="Standard deviation of each measured y, independent of the others: a number, points `[x, number]` "
        'with straight lines between them and constant beyond, `"file"` for the third column or what stands beside y, '
        'as in 1.234(12), `"auto"` for that where there is one and an estimate elsewhere.',
    )
    free_scale: Switch = Field(False, description="Fit an overall scale factor together with the potential.")
    scale_prior: Annotated[Number, Field(ge=1e-6, le=10)] = Field(
        0.2, description="Prior standard deviation of a free scale about one."
    )
    free_background: FreeBackground = Field(
        False,
        description="Fit a background together with the potential; Q-space data only. `true`: a flat one. "
        '`"polynomial:n"` or `"chebyshev:n"`, n from 1 to 20: a smooth one, as inelasticity leaves it, a polynomial of '
        "degree n in Q without waves of real distances; the prior is of the curve, so both words give the same.",
    )
    background_below: Annotated[Number, Field(gt=0, le=10)] | None = Field(
        None,
        description="r in Å up to which a smooth background may have waves cos(Q r). Default: no two atoms come so "
        "close, 0.55 with hydrogen, else 0.9, or 0.45 of the mean distance where that is less.",
    )
    background_prior: Weighable | None = Field(
        None,
        description="Prior standard deviation of a free background about zero, in units of y. "
        "Default: a tenth of the rms of the curve's signal; of a smooth background that rms itself.",
    )

    @property
    def elements(self) -> dict[str, tuple[str, ...]]:
        """Those of `pair`, `isotopes` and `charges`."""
        return {"pair": self.pair or (), "isotopes": tuple(self.isotopes), "charges": tuple(self.charges)}

    @property
    def widths(self) -> tuple[float, float]:
        """Of the resolution, constant in 1/Å and proportional to Q, by whichever key each is stated; 0: none."""
        given = {"constant": self.resolution} if isinstance(self.resolution, float) else self.resolution or {}
        return self.q_damp or given.get("constant", 0.0), self.q_broad or given.get("proportional", 0.0)

    @property
    def path(self) -> Path:
        """Where `file` is; ValueError for a prediction."""
        if self.file is None:
            raise ValueError(f"{self.name} is a prediction")
        return self._folder / self.file

    @model_validator(mode="after")
    def _measured_or_predicted(self) -> Self:
        if self.role != "predict":
            if self.file is None:
                raise refusal("missing key 'file'; or role = \"predict\", for a curve that was not measured")
            return self
        for key in (
            *("file", "columns", "block", "abscissa", "fit_q", "fit_r", "sigma", "weight", "free_scale"),
            "free_background",
        ):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise refusal(f'role = "predict" takes no {key!r}; there is no measurement')
        if self.q_range is None and is_q_space(self.quantity):
            raise refusal(f"{self.quantity} is predicted over a range of Q; give q_range")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.radiation is None and self.pair is None:
            raise refusal('missing key \'radiation\'; "neutron" or "xray"')
        if self.quantity != "I(Q)" and (self.per is not None or self.incoherent is not None):
            raise refusal("per and incoherent are of the quantity I(Q); remove them")
        if self.incoherent and self.radiation == "xray":
            raise refusal("x-rays know no incoherent nuclei; remove 'incoherent' (Compton scattering is taken as gone)")
        if self.isotopes and self.radiation == "xray":
            raise refusal("isotopes do not change x-ray scattering; remove 'isotopes'")
        if self.charges and self.radiation == "neutron":
            raise refusal("charges do not change neutron scattering; remove 'charges'")
        given = {"constant"} if isinstance(self.resolution, float) else set(self.resolution or ())
        for key, same in (("q_damp", "constant"), ("q_broad", "proportional")):
            if getattr(self, key) is not None and same in given:
                raise refusal(f"{key} and a {same} resolution are one thing; remove one of them")
        if self.free_background and not is_q_space(self.quantity):
            raise refusal(f"a background is one in Q, and {self.quantity} is in r; remove 'free_background'")
        if self.background_below is not None and not isinstance(self.free_background, str):
            raise refusal('background_below is of a smooth background; give free_background = "polynomial:8"')
        return self


DATA = Choice("quantity", {**dict.fromkeys(QUANTITIES, "refine.study.schema.data:Data"), **OBSERVABLES})
"""The table of a [[data]] entry by its quantity."""

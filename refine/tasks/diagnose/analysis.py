"""The diagnosis of sampled frames: nothing moves here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from refine.errors import InputError
from refine.refinement.convergence import misfit as sample_misfit
from refine.refinement.misfit.ensemble import Ensemble
from refine.refinement.misfit.linear import linearise
from refine.refinement.misfit.views import Datum
from refine.refinement.problem import Sample
from refine.sampling.frames import Frames
from refine.tasks.diagnose.diagnosis import Diagnosis
from refine.tasks.diagnose.directions import explanation
from refine.tasks.diagnose.findings import CLEAR
from refine.tasks.diagnose.numbers import compared_number
from refine.tasks.diagnose.peaks import compared, peaked_curves
from refine.tasks.diagnose.prose import elsewhere

if TYPE_CHECKING:
    from refine.study.study import Study


def examine(study: Study, frames: Sequence[Frames]) -> Diagnosis:
    """The diagnosis from sampled frames of every state."""
    correction = study.initial_correction()
    temperatures, names = study.problem.temperatures, [state.name for state in study.config.states]
    ensembles = [
        Ensemble.build(f, box, t, correction) for f, box, t in zip(frames, study.boxes, temperatures, strict=True)
    ]
    fitted = [d for d in study.datasets if d.role == "fit"]
    entries = {entry.name: entry for entry in study.config.curves}
    data = [
        Datum(
            study.targets[d.name],
            d.measurement.curve,
            study.boxes[d.state],
            entries[d.name].fit_q,
            entries[d.name].fit_r,
        )
        for d in fitted
    ]
    length = study.config.correction.length
    linear = linearise(data, ensembles, names, correction, length)
    misfit, factors = linear.settled()
    full = misfit.solve(misfit.kinds)
    plain = sample_misfit(Sample(correction, tuple(frames)), [d.target for d in data])
    clear = misfit.significance > CLEAR
    peaks, warnings = [], []
    for d in fitted:
        for curve in peaked_curves(d, study.boxes[d.state]):
            try:
                peaks.append(compared(curve, ensembles[d.state], names[d.state], correction))
            except InputError as error:
                warnings.append(f"The first peak of {curve.label} of {curve.data} cannot be compared: {error}.")
    unknown = [(d.target, f) for d, f in zip(linear.data, factors, strict=True) if not d.target.sigma_known]
    return Diagnosis(
        data=tuple(d.target.name for d in linear.data),
        frames={name: len(f) for name, f in zip(names, frames, strict=True)},
        points=len(misfit.residual),
        chi2=plain.chi2,
        chi2_stderr=plain.error,
        weighed=misfit.chi2,
        excess=misfit.excess,
        significance=misfit.significance,
        weighed_together=full.chi2,
        expected_together=len(misfit.residual) - full.freedom,
        noise_factors={target.name: float(f) for target, f in unknown},
        best=misfit.best() if clear else None,
        explanations=tuple(explanation(misfit, kind, correction, temperatures[0], clear) for kind in misfit.kinds),
        peaks=tuple(peaks),
        numbers=tuple(
            compared_number(n, ensembles[n.state], names[n.state], correction, length) for n in study.numbers
        ),
        elsewhere=elsewhere(study.base_kind.theory(study.config.model, study.base)),
        warnings=tuple(warnings),
    )

"""The findings of a diagnosis as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from refine.results.tables import csv_rows
from refine.tasks.diagnose.findings import Explanation, NumberComparison, PeakComparison


def of_directions(explanations: Sequence[Explanation]) -> str:
    """A row for every state or data set of every kind of misfit."""
    header = ["kind", "of", "unit", "alone", "alone_stderr", "together", "together_stderr"]
    header += ["share_alone", "share_alone_stderr", "share_last", "share_last_stderr", "chi2_alone"]
    rows = [
        (
            *(kind.kind, one.member, one.unit or "1", one.alone, one.alone_stderr, one.together, one.together_stderr),
            *(kind.share, kind.share_stderr, kind.last, kind.last_stderr, kind.chi2),
        )
        for kind in explanations
        for one in kind.estimates
    ]
    return csv_rows(header, rows)


def of_peaks(peaks: Sequence[PeakComparison]) -> str:
    """A row for every first peak, measured and of the model."""
    header = ["data", "curve", "height_measured", "height_measured_stderr", "height_model", "height_model_stderr"]
    header += ["position_unit", "position_measured", "position_measured_stderr"]
    header += ["position_model", "position_model_stderr", "sigmas"]
    rows = [
        (
            *(p.data, p.curve, p.measured_height, p.measured_height_stderr, p.model_height, p.model_height_stderr),
            *(p.unit, p.measured_position, p.measured_position_stderr),
            *(p.model_position, p.model_position_stderr, p.sigmas),
        )
        for p in peaks
    ]
    return csv_rows(header, rows)


def of_slopes(peaks: Sequence[PeakComparison]) -> str:
    """A row for everything that the model's first peaks depend on: changes for one unit of it."""
    header = ["data", "curve", "kind", "of", "unit", "height_per_unit", "position_unit", "position_per_unit"]
    rows = [
        [p.data, p.curve, slope.kind, slope.member, slope.unit or "1", slope.height, p.unit, slope.position]
        for p in peaks
        for slope in p.sensitivities
    ]
    return csv_rows(header, rows)


def of_numbers(numbers: Sequence[NumberComparison]) -> str:
    """A row for every measured number, and what alone would mend it."""
    header = ["data", "quantity", "state", "role", "unit", "measured", "measured_stderr", "model", "model_stderr"]
    header += ["sigmas", "mended_by [K]", "mended_by_phi [kT]", "phi_of"]
    rows = [
        (
            *(n.name, n.quantity, n.state, n.role, n.unit, n.measured, n.measured_stderr, n.model, n.model_stderr),
            *(n.sigmas, n.temperature, n.correction, n.at),
        )
        for n in numbers
    ]
    return csv_rows(header, rows)

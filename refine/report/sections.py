"""What the parts of the report show, as plain text in tables and cards; templates/report.html puts it on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from refine.report import words
from refine.report.tables import Column, Table
from refine.results.reader import Results
from refine.results.schema import DataSet, Iteration, MeasuredNumber, Scores, State
from refine.study.choices.choice import shown_value
from refine.units import BOLTZMANN

Cards = list[tuple[str, dict[str, str]]]
"""Titles, and below each what it says of things by their names."""


# --- what comes first ---


def about(results: Results) -> str:
    """The states in one line."""
    states = results.summary.states
    return " · ".join(_state_in_brief(state, named=len(states) > 1) for state in states)


def effort(results: Results) -> str:
    """How many iterations, and how long they took: 5 iterations, 1 of them rejected, 71 s."""
    steps, seconds = results.summary.iterations, results.summary.seconds
    rejected = sum(not step.accepted for step in steps)
    parts = [f"{len(steps)} iteration{'s' if len(steps) != 1 else ''}"]
    parts += [f"{rejected} of them rejected"] if rejected else []
    parts += [words.duration(seconds)] if seconds is not None else []
    return ", ".join(parts) + "."


def _state_in_brief(state: State, named: bool) -> str:
    parts = [f"{state.name}: {state.temperature:g} K" if named else f"{state.temperature:g} K"]
    if state.atoms is not None:
        parts.append(f"{_atoms(state)} atoms")
    if state.number_density is not None:
        parts.append(f"{state.number_density:.5g} Å⁻³")
    return ", ".join(parts)


def _atoms(state: State) -> str:
    return (
        str(state.atoms)
        if isinstance(state.atoms, int)
        else " ".join(f"{n} {s}" for s, n in (state.atoms or {}).items())
    )


def score_table(results: Results) -> Table:
    """R_χ and χ² per point of every data set, before and after."""
    summary = results.summary
    several = len(summary.states) > 1
    columns = [Column("data", names_rows=True), *([Column("state", "w")] if several else [])]
    columns += [Column("quantity", "w"), Column("role", "w"), Column("points", "n")]
    columns += [Column("R_χ initial", "n"), Column("R_χ final", "n after")]
    columns += [Column("χ² per point initial", "n"), Column("χ² per point final", "n after")]
    columns += [Column("σ too small by", "n")]
    rows = []
    for data in summary.data:
        points = summary.final.points.get(data.name) or data.points
        row = [
            data.name,
            *([data.state] if several else []),
            words.symbol(data),
            words.role(data, results),
            "–" if points is None else str(points),
            words.misfit(summary.initial.r_chi.get(data.name), summary.initial.r_chi_stderr.get(data.name)),
            words.misfit(summary.final.r_chi.get(data.name), summary.final.r_chi_stderr.get(data.name)),
            words.number(_chi2_per_point(summary.initial, data, points)),
            words.number(_chi2_per_point(summary.final, data, points)),
            words.number(data.noise_factor),
        ]
        rows.append(row)
    return Table(columns, rows)


def _chi2_per_point(scores: Scores, data: DataSet, points: int | None) -> float | None:
    chi2 = scores.chi2.get(data.name)
    return chi2 / points if chi2 is not None and points else None


def number_table(results: Results) -> Table:
    """Measured numbers before and after; and the pressure of every state of which none was measured."""
    columns = [Column("data", names_rows=True), Column("state", "w"), Column("quantity", "w"), Column("role", "w")]
    columns += [Column("measured", "n"), Column("initial", "n"), Column("final", "n after"), Column("off by (σ)", "n")]
    rows = [_number_row(one) for one in results.summary.numbers]
    known = {(one.state, one.unit) for one in results.summary.numbers}
    for state in results.summary.states:
        if (state.name, "GPa") not in known and state.pressure_GPa is not None:
            both = (state.pressure_initial_GPa, state.pressure_initial_GPa_stderr)
            values = [words.with_error(*both), words.with_error(state.pressure_GPa, state.pressure_GPa_stderr)]
            rows.append(["–", state.name, "pressure (GPa)", "not measured", "–", *values, "–"])
    return Table(columns, rows)


def _number_row(one: MeasuredNumber) -> list[str]:
    measured = words.with_error(one.stated, one.stated_sigma)
    quantity = f"{one.quantity} ({one.stated_unit})" if one.stated_unit else one.quantity
    if one.unit != one.stated_unit:
        measured = f"{measured}, so {words.with_error(one.value, one.sigma)} {one.unit}"
        quantity = f"{quantity}, as pressure"
    values = [words.with_error(one.initial, one.initial_stderr), words.with_error(one.final, one.final_stderr)]
    off = f"{words.number(one.initial_sigmas, 2)} → {words.number(one.final_sigmas, 2)}"
    return [one.name, one.state, quantity, words.ROLES.get(one.role, one.role), measured, *values, off]


# --- structure, potential, what the data determine ---


def coordination(results: Results) -> Table:
    """Coordination numbers before and after, of pairs whose g(r) has a first minimum."""
    columns = [Column("pair", names_rows=True), Column("state"), Column("up to (Å)", "n")]
    columns += [Column("initial", "n"), Column("final", "n")]
    rows = [
        [
            f"{one.centre}–{one.other}",
            one.state,
            f"{one.radius:.2f}",
            words.with_error(one.initial, one.initial_stderr),
            words.with_error(one.final, one.final_stderr),
        ]
        for one in results.summary.coordination
    ]
    return Table(columns, rows)


def replay(results: Results) -> Table:
    """Errors on frames that were kept apart, before and after; no rows where none were replayed."""
    columns = [Column("frames", names_rows=True), Column("kept apart", "n"), Column("learnt", "n")]
    for name in ("energy (meV/atom)", "forces (meV/Å)", "stress (GPa)"):
        columns += [Column(f"{name} initial", "n"), Column(f"{name} final", "n after")]
    rows = []
    for one in results.summary.replay:
        pairs = (one.energy_initial, one.energy_final, one.forces_initial, one.forces_final)
        errors = [words.number(value) for value in (*pairs, one.stress_initial, one.stress_final)]
        rows.append([one.kind, str(one.kept), str(one.learnt), *errors])
    return Table(columns, rows)


def thermal_energies(results: Results) -> str:
    """k_B T of every temperature, which a correction is measured by: 7.32 meV at 85 K."""
    temperatures = sorted({state.temperature for state in results.summary.states})
    return ", ".join(f"{1000 * BOLTZMANN * t:.2f} meV at {t:g} K" for t in temperatures)


def tension(results: Results) -> Table:
    """Every data set against what each other one says of the correction; no rows for a single one."""
    determination = results.summary.determination
    if determination is None or not determination.tension:
        return Table([], [])
    names = [data.name for data in determination.data]
    givens: list[str | None] = [*names, *([None] if any(one.given is None for one in determination.tension) else [])]
    sigma = {(one.data, one.given): one.sigma for one in determination.tension}

    def text(name: str, given: str | None) -> str:
        value = sigma.get((name, given))
        return "–" if value is None else f"{value:+.1f}".replace("-", "−")

    columns = [Column("data", names_rows=True), *(Column(given or "all others", "n") for given in givens)]
    return Table(columns, [[name, *(text(name, given) for given in givens)] for name in names])


# --- iterations ---


def step_table(results: Results) -> Table:
    """One row per iteration; a column that no iteration fills is left out."""
    fitted = [data.name for data in results.summary.data if data.role == "fit"]
    columns: dict[str, Callable[[Iteration], str]] = {
        "iteration": lambda s: str(s.iteration),
        "step": lambda s: "kept" if s.accepted else "rejected",
        "R_χ": lambda s: words.misfit(_mean([s.r_chi.get(name) for name in fitted])),
        "χ²": lambda s: words.number(s.chi2_fitted, 4),
        "decrease predicted": lambda s: words.number(s.predicted_decrease),
        "decrease actual": lambda s: words.with_error(s.actual_decrease, s.actual_decrease_error),
        "gain": lambda s: words.number(s.gain, 2),
        "rms step (k_BT)": lambda s: words.number(s.step_kT, 2),
        "trust radius (k_BT)": lambda s: words.number(s.trust_radius, 2),
        "noise factor": lambda s: words.number(s.noise_factor),
        "frames": lambda s: "–" if s.frames is None else str(s.frames),
        "effective sample": lambda s: words.number(s.effective_sample_size),
        "sampling": lambda s: words.duration(s.seconds_sampling),
        "solving": lambda s: words.duration(s.seconds_solving),
    }
    steps = results.summary.iterations
    shown = [name for name, text in columns.items() if any(text(step) != "–" for step in steps)]
    return Table(
        [Column(name, "" if name == "step" else "n") for name in shown],
        [[columns[name](step) for name in shown] for step in steps],
        rejected=[k for k, step in enumerate(steps) if not step.accepted],
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


# --- what was compared ---


def comparison_cards(results: Results) -> Cards:
    """What was compared with what, data set by data set."""
    return [(data.name, _compared_one(data, results)) for data in results.summary.data]


def _compared_one(data: DataSet, results: Results) -> dict[str, str]:
    sigma = data.sigma_source or "not known"
    if data.sigma_mean is not None:
        sigma = f"{sigma}, rms {words.number(data.sigma_mean)} {words.unit(data)}".rstrip()
        sigma += " at the points that are compared, averages of measured ones where these lie closer"
    entries = {
        "compared": data.compared,
        "curve": words.declaration(data),
        "role": f"{words.role(data, results)}, state {data.state}",
        "fit range": data.fit,
        "R_χ over": words.span(data.score_r) if data.score_r else None,
        "σ": sigma,
        "scale": None if data.scale is None else _free(data.scale, data.scale_stderr),
        "background": _background(data),
        "source": data.source,
    }
    return {key: value for key, value in entries.items() if value}


def _background(data: DataSet) -> str | None:
    """What was taken off: of a flat one its value, of a smooth one its size."""
    if data.background is not None:
        return _free(data.background, data.background_stderr)
    if data.background_rms is None or data.background_below is None:
        return None
    size = f"{words.number(data.background_rms)} {words.unit(data)}".rstrip()
    return f"smooth, of waves below {data.background_below:.3g} Å, rms {size}"


def _free(value: float, stderr: float | None) -> str:
    return words.with_error(value, stderr) if stderr else f"{value:.4f}"


def state_cards(results: Results) -> Cards:
    """The simulated states."""
    return [(f"State {state.name}", _state(state)) for state in results.summary.states]


def _state(state: State) -> dict[str, str]:
    entries = {"temperature": f"{state.temperature:g} K"}
    if state.mean_temperature is not None:
        entries["mean of the run"] = f"{words.with_error(state.mean_temperature, state.mean_temperature_stderr)} K"
    if state.number_density is not None:
        entries["number density"] = f"{state.number_density:.6g} Å⁻³"
    if state.atoms is not None:
        entries["atoms"] = _atoms(state)
    if state.cell is not None:
        entries["cell"] = _cell(state.cell)
    if state.pressure_GPa is not None:
        after = words.with_error(state.pressure_GPa, state.pressure_GPa_stderr)
        before = words.with_error(state.pressure_initial_GPa, state.pressure_initial_GPa_stderr)
        entries["pressure"] = f"{after} GPa" if state.pressure_initial_GPa is None else f"{before} → {after} GPa"
    return entries


def _cell(cell: Sequence[Any]) -> str:
    """Edge lengths of an orthorhombic cell, otherwise its three vectors, in Å."""
    matrix = np.asarray(cell, dtype=np.float64)
    if matrix.ndim == 2 and np.count_nonzero(matrix - np.diag(np.diag(matrix))):
        return "; ".join(" ".join(f"{x:.3f}" for x in vector) for vector in matrix) + "\u00a0Å"
    lengths = np.diag(matrix) if matrix.ndim == 2 else matrix
    return " × ".join(f"{x:.3f}" for x in lengths) + "\u00a0Å"


def chosen(results: Results) -> Table:
    """Numbers that the study left to refine, and why each was taken."""
    columns = [Column("key", names_rows=True), Column("value", "n"), Column("why")]
    rows = [
        [one.key, "–" if one.value is None else shown_value(one.value, one.unit), one.reason]
        for one in results.summary.chosen
    ]
    return Table(columns, rows)


def flat(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Nested tables with one line per value: versions.numpy, 2.3.4."""
    return dict(_leaves(provenance, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(value)

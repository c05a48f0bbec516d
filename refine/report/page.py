"""The report of a run: one HTML file that opens offline, with its figures, tables, study and provenance."""

from __future__ import annotations

from pathlib import Path

from refine.files import write_text
from refine.report import figures, sections, words
from refine.report.document import document
from refine.results.reader import Results, read_results
from refine.results.schema import Status


def write_report(out_dir: Path) -> Path:
    """Write ``report.html`` into an output folder from the tables that are in it, and return its path.

    Args:
        out_dir: the folder that ``refine run`` wrote; result.json, curves/, g_r/ and study.toml are read.

    Raises:
        InputError: one of those files is missing or damaged.
        CheckpointError: the report cannot be written; an earlier report is left as it was.
    """
    path = Path(out_dir) / "report.html"
    write_text(path, render(read_results(path.parent)))
    return path


def render(results: Results) -> str:
    """The whole page as text."""
    summary = results.summary
    curves = figures.comparisons(results) + figures.predictions(results)
    g_r = [
        (state.name, figures.pair_distributions(k, state.name, results.g_r[state.name]))
        for k, state in enumerate(summary.states)
    ]
    corrections, potentials = figures.corrections(results), figures.potentials(results)
    shares, progress = figures.shares(results), figures.progress(results)
    drawn = [*curves, *(one for _, row in g_r for one in row), *corrections, *potentials]
    drawn += [one for one in (shares, progress) if one is not None]
    return document(
        "report.html",
        summary.title or "Refinement",
        drawn,
        about=sections.about(results),
        headline=words.headline(results),
        effort=sections.effort(results),
        converged=summary.status is Status.CONVERGED,
        warnings=words.warnings(results),
        scores=sections.score_table(results),
        numbers=sections.number_table(results),
        curves=curves,
        g_r=g_r,
        coordination=sections.coordination(results),
        replay=sections.replay(results),
        changes={name: words.change(values) for name, values in (summary.parameters or {}).items()},
        thermal_energies=sections.thermal_energies(results),
        banded=any(pair.stderr is not None for pair in summary.correction),
        corrections=corrections,
        potentials=potentials,
        determined=words.determined(results),
        undetermined=words.undetermined(results),
        shares=shares,
        tension=sections.tension(results),
        progress=progress,
        steps=sections.step_table(results),
        comparisons=sections.comparison_cards(results),
        states=sections.state_cards(results),
        chosen=sections.chosen(results),
        study=results.study,
        provenance=sections.flat(summary.provenance),
    )

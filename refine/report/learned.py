"""The page of `refine learn`: errors before and after, the learning curve, and what was done."""

from __future__ import annotations

import numpy as np

from refine.learning.errors import Errors
from refine.report.document import document
from refine.report.figures import FINAL, INITIAL, MEASURED, Figure, plot_axis, plot_layout, plot_line
from refine.report.tables import Column, Table
from refine.results.learned import UNITS, Learned, in_units, value_text

NAMES = {"train": "training", "valid": "validation", "test": "test"}


def render(learned: Learned) -> str:
    """The whole page as text."""
    figures = _figures(learned)
    return document(
        "learned.html",
        learned.title,
        figures,
        message=learned.message,
        errors=_errors(learned),
        moved=_moved(learned),
        warnings=learned.warnings,
        figures=figures,
        about=_about(learned),
        settings=_settings(learned),
        provenance={name: str(value) for name, value in learned.provenance.get("versions", {}).items()},
    )


def _errors(learned: Learned) -> Table:
    """A row for each part and kind of error."""
    head = [Column("frames", names_rows=True), Column("error"), Column("before", "n"), Column("after", "n after")]
    return Table(
        head,
        [
            [
                f"{NAMES[part]}, {learned.frames[part]} frame{'s' * (learned.frames[part] != 1)}",
                label,
                value_text(before),
                value_text(after),
            ]
            for part, label, before, after in learned.rows()
        ],
    )


def _moved(learned: Learned) -> Table:
    """A row for each array."""
    head = [
        Column("array", names_rows=True),
        Column("moved"),
        Column("rms at the start", "n"),
        Column("rms of the change", "n after"),
    ]
    how = [(one, "as it is" if one.rank is None else f"rank {one.rank}") for one in learned.moved]
    return Table(head, [[one.name, said, value_text(one.before), value_text(one.change)] for one, said in how])


def _figures(learned: Learned) -> list[Figure]:
    """The loss, and each kind of validation error, by epoch."""
    epochs = np.array([row.epoch for row in learned.curve], float)
    best = learned.best
    drawn = []

    def figure(name: str, title: str, caption: str, traces: list[dict[str, object]]) -> None:
        mark = {"type": "line", "x0": best, "x1": best, "y0": 0, "y1": 1, "yref": "paper"}
        layout = plot_layout(
            xaxis=plot_axis("epoch"),
            yaxis=plot_axis(title, type="log"),
            shapes=[mark | {"line": {"color": MEASURED, "dash": "dot", "width": 1}}],
        )
        drawn.append(Figure(f"learned-{name}", title, caption, 320, {"data": traces, "layout": layout}))

    training = np.array([np.nan if row.training is None else row.training for row in learned.curve])
    validation = np.array([row.validation.loss for row in learned.curve])
    figure(
        "loss",
        "loss",
        f"Training: mean over the steps of an epoch. Validation: of the moving average after it. Dotted: epoch {best}, "
        "whose average is the model.",
        [
            plot_line(epochs, training, "training", INITIAL, dash="dash"),
            plot_line(epochs, validation, "validation", FINAL),
        ],
    )
    for key, label in list(UNITS.items())[1:]:
        values = np.array([_value(row.validation, key) for row in learned.curve])
        if np.isfinite(values).any():
            figure(key, label, "Root mean square on the validation frames.", [plot_line(epochs, values, label, FINAL)])
    return drawn


def _value(errors: Errors, key: str) -> float:
    value = in_units(errors)[key]
    return np.nan if value is None else value


def _about(learned: Learned) -> dict[str, str]:
    start = learned.start["origin"] + (f", head {learned.start['head']}" if learned.start["head"] else "")
    about = {
        "start": start,
        "moved": f"{', '.join(learned.parameters)} ({learned.weights} numbers)",
        "epochs": f"{learned.curve[-1].epoch}, {learned.steps} steps",
        "time": f"{learned.seconds:.0f} s",
    }
    if learned.isolated:
        shifts = (f"{symbol} {value:+.4f} eV" for symbol, value in learned.isolated.items())
        about["isolated atoms moved by"] = ", ".join(shifts)
    return about


def _settings(learned: Learned) -> list[tuple[str, dict[str, str]]]:
    """Table by table; without that of a model from nothing where there was another start."""
    tables = [(name, table) for name, table in learned.settings.items() if isinstance(table, dict)]
    if not learned.settings["model"]["new"]:
        tables = [(name, table) for name, table in tables if name != "new"]
    return [(name, {key: _text(value) for key, value in table.items()}) for name, table in tables]


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

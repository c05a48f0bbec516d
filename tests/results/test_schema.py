"""result.json: one schema, and files of before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.results.refined import correction_of, errors_of
from refine.results.schema import FORMAT, RESULT, Summary, migrated, read_summary
from tests.export.runs import correction, rows, run_folder

COUNTS = {"O": 40, "Fe": 20}


def summary_of(folder: Path, table: list[dict[str, Any]], **changes: Any) -> Summary:
    return read_summary(run_folder(folder, COUNTS, 'base = "lennard-jones"', table, **changes) / RESULT)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    first = summary_of(tmp_path, rows(correction(COUNTS)))
    (tmp_path / RESULT).write_text(json.dumps(first.model_dump(mode="json", exclude_unset=True)))
    assert read_summary(tmp_path / RESULT) == first


def test_a_file_of_before_has_no_format_and_one_number_for_core_and_wall(tmp_path: Path) -> None:
    table = rows(correction(COUNTS))
    for row in table:
        del row["wall"]
    summary = summary_of(tmp_path, table)
    assert summary.format == FORMAT
    assert [row.wall for row in summary.correction] == [row["core"] for row in table]
    assert summary.confirmed


@pytest.mark.parametrize("version", [FORMAT + 1, "2", None, 1.5, [1]])
def test_a_later_format_is_refused(tmp_path: Path, version: Any) -> None:
    with pytest.raises(InputError, match=r"format .* is not known here.*version of refine that wrote it"):
        summary_of(tmp_path, rows(correction(COUNTS)), format=version)


@pytest.mark.parametrize("tree", [[], "text", 3, None, {"correction": 4}, {"correction": [5, None]}])
def test_migration_leaves_what_it_does_not_know_to_the_schema(tree: Any) -> None:
    assert migrated(tree, Path(RESULT)) == (tree | {"format": FORMAT} if isinstance(tree, dict) else tree)


def test_correction_comes_back_bit_for_bit(tmp_path: Path) -> None:
    phi = correction(COUNTS, active=(True, False, True))
    found = correction_of(summary_of(tmp_path, rows(phi)))
    for name in ("pairs", "active", "basis", "stiffness", "slope"):
        assert getattr(found, name) == getattr(phi, name)
    np.testing.assert_array_equal(found.coefficients, phi.coefficients)
    active = list(phi.active_pairs)
    np.testing.assert_array_equal(found.core[active], phi.core[active])
    np.testing.assert_array_equal(found.wall[active], phi.wall[active])


@pytest.mark.parametrize("says", [True, False], ids=["this", "before"])
def test_a_correction_that_changes_with_temperature(tmp_path: Path, says: bool) -> None:
    """Its two terms from the tables at the temperatures of the run; with reference and span they are the run's own."""
    from dataclasses import replace

    cold = correction(COUNTS)
    phi = replace(cold, slope=0.3 * cold.coefficients[::-1], reference=1900.0, span=150.0)
    line = {"reference": phi.reference, "span": phi.span} if says else {}
    table = [
        row
        for kelvin in (1800.0, 2000.0, 2100.0)
        for row in rows(phi.at(kelvin), temperature=kelvin, state=f"{kelvin:g}K", **line)
    ]
    summary = summary_of(tmp_path, table)
    found = correction_of(summary)
    r = np.linspace(1.0, 6.0, 50)
    for kelvin in (1750.0, 1900.0, 2200.0):
        np.testing.assert_allclose(found.at(kelvin).energy(r), phi.at(kelvin).energy(r), atol=1e-12)
    if says:
        np.testing.assert_allclose(found.theta, phi.theta, atol=1e-12)
    known, unknown = errors_of(summary, 2000.0), errors_of(summary, 1950.0)
    assert all(one is not None for one in known)
    assert unknown == (None,) * len(known)

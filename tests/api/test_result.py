"""What `refine` offers in Python of a finished run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import refine
from refine.errors import CheckpointError, InputError
from refine.results.schema import Status
from refine.tasks.run import store
from refine.tasks.run.record import Answer, Ending, Phase, Record, Statement


@pytest.fixture
def result(folder: Path) -> refine.Result:
    return refine.open(folder)


def test_numbers(result: refine.Result) -> None:
    summary = result.summary
    assert result.status == summary.status
    assert list(result.curves) == [data.name for data in summary.data]
    name = summary.data[0].name
    curve = result.curves[name]
    assert curve.x.shape == curve.measured.shape == curve.final.shape
    assert list(result.g_r) == [state.name for state in summary.states]
    assert result.iterations[-1].r_chi.keys() == result.final.r_chi.keys()
    assert result.correction.active_pairs
    assert result.covariance is None  # there is no run.h5


def test_figures(result: refine.Result) -> None:
    """One panel a figure of the report, each on axes of its own, all within the page."""
    for figure, panels in (
        (result.plot_curves(), 2 * len(result.curves)),
        (result.plot_curves(next(iter(result.curves))), 2),
        (result.plot_correction(), len(result.summary.correction)),
        (result.plot_g_r(), sum(map(len, result.g_r.values()))),
        (result.plot_determination(), 1),
    ):
        axes = [name for name in figure.layout if name.startswith("yaxis")]
        assert len(axes) == panels
        spans = sorted(tuple(figure.layout[name].domain) for name in axes)
        assert all(0 <= low < high <= 1 + 1e-9 for low, high in spans)
        used = {trace.yaxis or "y" for trace in figure.data}
        assert {"yaxis" + name[1:] for name in used} == set(axes)
        assert all(trace.x is not None and len(trace.x) for trace in figure.data)


def test_unknown_curve(result: refine.Result) -> None:
    with pytest.raises(InputError, match=r"no data set 'nothing'.*one of"):
        result.plot_curves("nothing")


def test_in_a_notebook(result: refine.Result) -> None:
    page = result._repr_html_()
    assert all(data.name in page for data in result.summary.data)
    assert "<script" not in page


def test_without_plotly(result: refine.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(InputError, match=r"need plotly.*pip install plotly"):
        result.plot_correction()


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no finished run"):
        refine.open(tmp_path)


def test_covariance_is_that_of_the_checkpoint(folder: Path) -> None:
    """Of the answer; none while the run goes on, whatever is stated of its next sample."""
    size = len(refine.open(folder).correction.theta)
    ending, said = Ending(Status.EXHAUSTED, "stopped"), Statement(np.eye(size), None)
    going = replace(Record.start({}), stated=Statement(2.0 * np.eye(size), None), ending=ending)
    record = replace(going, phase=Phase.DONE, answer=Answer(0, ending, said))
    store.save(folder / "run.h5", store.StoredRun("x", going))
    assert refine.open(folder).covariance is None
    store.save(folder / "run.h5", store.StoredRun("x", record))
    np.testing.assert_array_equal(refine.open(folder).covariance, np.eye(size))


def test_a_checkpoint_of_an_earlier_format_has_no_covariance(folder: Path) -> None:
    """What result.json says is read without it."""
    before = refine.open(folder)
    store.save(folder / "run.h5", store.StoredRun("x", Record.start({})))
    with h5py.File(folder / "run.h5", "r+") as file:
        file.attrs["format"] = 2
        del file["record"]
    found = refine.open(folder)
    assert found.covariance is None
    assert found.summary == before.summary


@pytest.mark.parametrize(
    ("version", "says"), [(99, "checkpoint format 99 is not known here"), (None, "the checkpoint is damaged")]
)
def test_a_checkpoint_that_cannot_be_read_is_one_line(folder: Path, version: int | None, says: str) -> None:
    store.save(folder / "run.h5", store.StoredRun("x", Record.start({})))
    if version is None:
        (folder / "run.h5").write_bytes((folder / "run.h5").read_bytes()[:1000])
    else:
        with h5py.File(folder / "run.h5", "r+") as file:
            file.attrs["format"] = version
    with pytest.raises(CheckpointError, match=says) as caught:
        refine.open(folder)
    assert "\n" not in str(caught.value)

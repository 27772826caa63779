"""The loss terms of a run: rows, columns, curves."""

import sys

import pytest

from impasto.errors import MissingPackageError
from impasto.job.history import LossHistory

ROWS = [
    {"scale": 0, "size_px": 32, "step": 1, "time_s": 0.1, "style:relu1_1": 5.0, "total": 8.0},
    {"scale": 0, "size_px": 32, "step": 2, "time_s": 0.2, "style:relu1_1": 3.0, "total": 4.0},
    {"scale": 1, "size_px": 48, "step": 3, "time_s": 0.4, "style:relu1_1": 6.0, "total": 7.0},
]


@pytest.fixture
def history():
    return LossHistory(ROWS)


def test_a_history_is_a_sequence_of_rows(history):
    assert len(history) == 3
    assert list(history) == ROWS
    assert history[-1]["total"] == 7.0
    assert history[1:] == LossHistory(ROWS[1:])
    assert history != LossHistory(ROWS[1:])


def test_columns_are_the_rows_by_name(history):
    columns = history.columns()
    assert list(columns) == list(ROWS[0])
    assert columns["total"] == [8.0, 4.0, 7.0]
    assert columns["size_px"] == [32, 32, 48]


def test_losses_leave_out_where_the_run_stood(history):
    assert history.terms == ("style:relu1_1", "total")
    assert history.losses() == {"style:relu1_1": 6.0, "total": 7.0}
    assert history.losses(0) == {"style:relu1_1": 5.0, "total": 8.0}


def test_later_steps_of_the_run_do_not_reach_a_history():
    rows = list(ROWS)
    history = LossHistory(rows)
    rows.append({"step": 4})
    assert len(history) == 3


def test_a_run_without_steps_has_no_terms():
    history = LossHistory()
    assert not history
    assert (history.terms, history.columns(), history.losses()) == ((), {}, {})


def test_a_long_history_has_a_short_name(history):
    assert repr(history) == "<LossHistory of 3 steps: style:relu1_1, total>"


def test_the_plot_has_a_curve_for_each_term_and_a_mark_for_each_size(history):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert history.plot(axes) is axes
    curves = {line.get_label(): line for line in axes.lines if len(line.get_xdata()) == 3}
    assert list(curves) == ["style:relu1_1", "total"]
    assert list(curves["total"].get_ydata()) == [8.0, 4.0, 7.0]
    assert [text.get_text() for text in axes.texts] == ["32 px", "48 px"]
    assert [text.xy[0] for text in axes.texts] == [1, 3]
    assert axes.get_yscale() == "log"


def test_a_run_without_steps_can_be_plotted():
    from matplotlib.figure import Figure

    assert not LossHistory().plot(Figure().subplots()).lines


def test_without_matplotlib_the_plot_says_what_to_install(history, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(MissingPackageError, match=r"matplotlib.*pip install '\.\[notebook\]'"):
        history.plot()

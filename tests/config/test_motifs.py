"""Motifs: how deep the layers of style go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.config.motifs import motif_layers
from impasto.config.networks import NetworkSpec
from impasto.config.registry import NETWORKS
from impasto.config.settings import Settings, make_settings, overlay
from impasto.engine.defaults import complete
from impasto.errors import SettingsError
from impasto.job.job import Job

SHALLOW = NetworkSpec("shallow", (1, 1, 1), (4, 4, 4))


def test_without_motifs_no_layer_is_deeper_than_strokes_need():
    assert motif_layers(0) == {"relu1_1": 16, "relu2_1": 8, "relu3_1": 4}


def test_with_all_motifs_the_paper_s_layers_fall_with_depth():
    assert list(motif_layers(1).values()) == [16, 8, 4, 2, 1]


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_motifs_never_weigh_an_object_less(one, other):
    fewer, more = (motif_layers(motifs) for motifs in sorted((one, other)))
    assert list(more)[: len(fewer)] == list(fewer)
    assert all(more[name] >= weight for name, weight in fewer.items())
    assert all(weight > 0 for weight in more.values())


def test_motifs_and_style_layers_replace_each_other():
    named = {"style_layers": {"relu1_1": 1.0}}
    assert overlay(named, {"motifs": 0.5}) == {"motifs": 0.5}
    assert overlay({"motifs": 0.5}, named) == named
    assert overlay(named, {"motifs": None}) == {**named, "motifs": None}
    assert make_settings(preset="crowson", motifs=0).style_layers is None
    assert make_settings(preset="crowson").motifs is None


def test_beside_other_layers_motifs_are_refused_and_beside_their_own_they_are_not():
    with pytest.raises(SettingsError, match=r"motifs, or style_layers, got motifs 0\.5"):
        make_settings(motifs=0.5, style_layers="relu1_1")
    both = make_settings(motifs=0.5, style_layers=motif_layers(0.5))
    assert both.layers_of_style == Settings(motifs=0.5).layers_of_style == motif_layers(0.5)


@pytest.mark.parametrize("motifs", [-0.1, 1.1, "many", float("nan")])
def test_motifs_are_a_number_from_0_to_1(motifs):
    with pytest.raises(SettingsError, match=r"^motifs: expected a "):
        make_settings(motifs=motifs)


def test_a_statistic_with_layers_of_its_own_has_no_motifs():
    assert list(Settings(statistic="neighbours").layers_of_style) == [
        "relu2_1", "relu3_1", "relu4_1",
    ]  # fmt: skip
    with pytest.raises(SettingsError, match=r"no motifs with statistic neighbours, .* 0\.5; leave"):
        make_settings(statistic="neighbours", motifs=0.5)


def test_a_network_without_the_layers_is_refused_by_name(monkeypatch):
    monkeypatch.setitem(NETWORKS.builtin, "shallow", f"{__name__}:SHALLOW")
    options = {"network": "shallow", "content_layers": "relu2_1"}
    assert make_settings(**options, style_layers="relu1_1").motifs is None
    with pytest.raises(SettingsError, match="motifs: shallow has no layer 'relu4_1'"):
        make_settings(**options, motifs=0.5)
    job = Job("style_transfer", settings=make_settings(**options))
    with pytest.raises(SettingsError, match="motifs: shallow has no layer 'relu4_1'"):
        complete(job, job.settings)

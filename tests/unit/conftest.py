"""What the tests of the loop need: jobs for the small network."""

import pytest

from impasto import modes, network, weights


@pytest.fixture
def job_of(small_network, picture, monkeypatch):
    """``job_of(mode, **options)``: a job of two sizes, painted by the small network."""

    def load(name, *, dtype, pooling, padding, **_):
        return small_network(name, dtype=dtype, pooling=pooling, padding=padding)

    monkeypatch.setattr(network, "load", load)
    monkeypatch.setattr(weights, "sha256", lambda *_, **__: "0" * 64)

    def make(mode="style_transfer", *, painting=2, **options):
        options = {"size": 48, "coarsest": 32, "iterations": 12, "precision": "fp32"} | options
        if "strength" not in options:
            options = {"alpha": 1.0, "beta": 5e4} | options
        content = None if mode == "style" else picture(48, 40, seed=1).float()
        styles = [picture(40, 44, seed=seed).float() for seed in (painting, 3)]
        return modes.make_job(
            mode, content, () if mode == "content" else styles, threads=1, **options
        )

    return make

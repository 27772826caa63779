"""How large strokes are: at which size a painting is shown, and what that costs."""

import pytest
import torch

from impasto import api, images
from impasto.engine import inputs
from impasto.engine.cache import Cache
from impasto.engine.scale_setup import ScaleSetup
from impasto.errors import SettingsError
from impasto.planning.plan import ScalePlan

WHOLE = ScalePlan(None, 1, None, cache_content=True, peak_bytes=0)


@pytest.fixture
def targets(picture, small_network):
    """``targets(**options)``: the statistics of the finest size, and the pictures they are of."""

    def compute(count=1, **options):
        job = api.make_job(
            "style",
            None,
            [picture(160, 128, seed=seed, dtype=torch.float32) for seed in range(count)],
            **{"size": 64, "style_layers": "relu1_1,relu2_1", **options},
        )
        given = inputs.read(job)
        preparation = ScaleSetup(given, small_network(dtype=torch.float32), "cpu", Cache())
        return preparation.targets(given.scales[-1], WHOLE), given

    return compute


@pytest.mark.parametrize(("scale", "longest_px"), [(0.5, 32), (1.0, 64), (2.0, 128), (9.0, 160)])
def test_a_painting_is_shown_at_its_scale_and_never_enlarged(
    targets, small_network, scale, longest_px
):
    found, given = targets(style_scale=[scale])
    size = images.fit(160, 128, longest_px)
    shown = images.resize(given.styles[0].pixels, *size)
    maps = small_network(dtype=torch.float32).features(shown, ["relu1_1"])["relu1_1"]
    gram = torch.einsum("bihw,bjhw->ij", maps, maps) / maps[0, 0].numel()
    torch.testing.assert_close(found.style["relu1_1"], gram, rtol=1e-4, atol=1e-5)
    assert bool(given.notes) == (scale * 64 > 160)


def test_one_number_serves_all_paintings_and_several_one_each(targets):
    one, _ = targets(2, style_scale=[0.5])
    same, _ = targets(2, style_scale=[0.5, 0.5])
    other, _ = targets(2, style_scale=[0.5, 2])
    assert torch.equal(one.style["relu2_1"], same.style["relu2_1"])
    assert not torch.allclose(one.style["relu2_1"], other.style["relu2_1"], rtol=1e-3)


def test_as_many_scales_as_paintings(targets):
    with pytest.raises(SettingsError, match=r"one for each style picture \(2\), got 3"):
        targets(2, style_scale=[1, 1, 1])

"""What a frame takes over from earlier ones."""

import pytest
import torch
import torch.nn.functional as F

from impasto.film.coherence import PaintedFrame, guide, interpolate

MARGIN_PX = 4


def canvas_of(frame, seed=0):
    """Some painting of a frame, with its margin."""
    height, width = (side + 2 * MARGIN_PX for side in frame.shape[-2:])
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 12, 12, generator=generator)
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def painted(index, frame, canvas):
    return PaintedFrame(index, frame, canvas, torch.ones_like(canvas[:, :1]))


def inside(values):
    return values[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


@pytest.fixture
def scene(texture):
    return texture[..., :80, :100]


def test_an_equal_frame_is_taken_over_whole(scene):
    canvas = canvas_of(scene)
    found = guide(scene.clone(), [painted(0, scene, canvas)], MARGIN_PX)
    assert torch.equal(found.image, canvas)
    assert torch.equal(found.start(torch.zeros_like(canvas)), canvas)
    assert torch.equal(found.keep_still(torch.zeros_like(canvas)), canvas)
    assert found.new_share == 0


def test_still_parts_keep_their_bits(scene):
    canvas = canvas_of(scene)
    after = scene.clone()
    after[..., 50:70, 70:90] = scene[..., 50:70, 60:80]
    found = guide(after, [painted(0, scene, canvas)], MARGIN_PX)
    other = canvas_of(scene, seed=1)
    kept = inside(found.keep_still(other))
    assert torch.equal(kept[..., :40], inside(canvas)[..., :40])
    assert torch.equal(kept[..., 56:64, 76:84], inside(other)[..., 56:64, 76:84])


def test_what_is_new_starts_afresh(texture):
    before, after = texture[..., :80, 10:110], texture[..., :80, 2:102]
    canvas = canvas_of(before)
    found = guide(after, [painted(0, before, canvas)], MARGIN_PX)
    fresh = torch.full_like(canvas, 0.5)
    start = inside(found.start(fresh))
    assert torch.equal(start[..., :4], inside(fresh)[..., :4])
    torch.testing.assert_close(
        start[..., 10:70, 20:90], inside(canvas)[..., 10:70, 12:82], atol=0.05, rtol=0
    )
    assert 0.04 < found.new_share < 0.2


def test_what_reappears_is_taken_from_an_earlier_frame(scene):
    hidden = scene.clone()
    hidden[..., 20:60, 30:70] = 0.1
    first, second = canvas_of(scene, 1), canvas_of(scene, 2)
    earlier = [painted(1, hidden, second), painted(0, scene, first)]
    found = guide(scene, earlier, MARGIN_PX)
    middle = (..., slice(35, 45), slice(45, 55))
    assert torch.equal(inside(found.image)[middle], inside(first)[middle])
    assert inside(found.certainty)[middle].all()
    assert torch.equal(inside(found.image)[..., :10], inside(second)[..., :10])


def test_what_is_new_becomes_firm_over_several_frames(texture):
    frames = [texture[..., :80, 40 - 8 * n : 140 - 8 * n] for n in range(3)]
    canvas = canvas_of(frames[0])
    first = guide(frames[1], [painted(0, frames[0], canvas)], MARGIN_PX)
    assert inside(first.firmness)[..., 20:60, 20:90].min() > 0.9
    assert inside(first.firmness)[..., :4].max() == 0
    assert inside(first.firmer)[..., :4].max() == 0.25
    then = PaintedFrame(1, frames[1], canvas, first.firmer)
    second = guide(frames[2], [then], MARGIN_PX)
    assert float(inside(second.firmness)[..., 20:60, 9:11].mean()) == pytest.approx(0.25, abs=0.1)


def test_a_frame_between_two_is_moved_along_the_flow(texture):
    frames = [texture[..., :80, 40 - 4 * n : 140 - 4 * n] for n in range(3)]
    paintings = [1 - frame for frame in frames]
    found = interpolate(frames[1], (frames[0], paintings[0]), (frames[2], paintings[2]), 0.5)
    off = (found - paintings[1])[..., 10:-10, 10:-10]
    assert float(off.abs().mean()) < 0.02
    still = interpolate(frames[0], (frames[0], paintings[0]), (frames[2], paintings[2]), 0.5)
    assert torch.equal(still, paintings[0])

"""The losses at arguments whose answer is known on paper."""

import pytest
import torch

from impasto import losses
from impasto.errors import ShapeError


def ones(*shape, dtype=torch.float64):
    return torch.ones(*shape, dtype=dtype)


def test_content_loss_is_half_the_sum_of_squares():
    assert losses.content_loss(3 * ones(1, 2, 3, 4), ones(1, 2, 3, 4)) == 0.5 * 24 * 2**2


def test_gram_matrix_of_a_known_map():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    assert losses.gram_matrix(features).tolist() == [[5.0, 1.0], [1.0, 10.0]]


def test_gram_matrix_takes_features_without_a_batch():
    features = torch.arange(24.0).view(2, 3, 4)
    assert losses.gram_matrix(features).equal(losses.gram_matrix(features[None]))


def test_each_item_of_a_batch_has_a_gram_matrix():
    features = torch.arange(48.0).view(2, 2, 3, 4)
    grams = losses.gram_matrix(features)
    assert grams.shape == (2, *grams.shape[-1:] * 2)
    for item, gram in zip(features, grams, strict=True):
        assert gram.equal(losses.gram_matrix(item))


def test_style_loss_of_known_matrices():
    G, A = torch.eye(2, dtype=torch.float64), 3 * torch.eye(2, dtype=torch.float64)
    assert losses.style_loss(G, A, channels=2, positions=5).item() == pytest.approx(
        (2**2 + 2**2) / (4 * 2**2 * 5**2)
    )


def test_style_loss_of_a_large_picture_stays_finite_in_float32():
    positions = 65536**2
    G = torch.full((64, 64), 1e3 * positions)
    loss = losses.style_loss(G, torch.zeros(64, 64), 64, positions)
    assert loss.item() == pytest.approx(1e6 / 4, rel=1e-5)


def test_total_variation_of_a_lone_bright_pixel():
    image = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    image[..., 1, 1] = 2.0
    assert losses.total_variation(image) == 4 * 2**2 + 0.5 * 4 * 2**2


def test_total_variation_of_the_unit_matrix():
    # 18 neighbours side by side differ along the diagonal of eye(10), 18 one above another,
    # and 16 pairs of the other diagonal; along its own diagonal nothing changes.
    image = torch.eye(10, dtype=torch.float64)[None, None]
    assert losses.total_variation(image) == 18 + 18 + 0.5 * 16


def test_total_variation_of_a_ramp():
    image = torch.arange(5.0).expand(1, 3, 4, 5)
    sides, diagonals = 3 * 4 * 4, 3 * 3 * 4
    assert losses.total_variation(image) == sides + 0.5 * 2 * diagonals


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 1, 4), (1, 3, 4, 1)])
def test_total_variation_of_the_narrowest_pictures(shape):
    assert losses.total_variation(ones(*shape)) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_features_are_compared_in_float32(dtype):
    # 100 000 squares of 1: float16 ends at 65504, bfloat16 stops counting at 256.
    loss = losses.content_loss(ones(1, 100, 100, 10, dtype=dtype), 0 * ones(1, 100, 100, 10))
    assert loss.item() == 50_000
    assert losses.content_loss(
        ones(1, 1, 1, 1, dtype=dtype), ones(1, 1, 1, 1, dtype=dtype)
    ).dtype == (torch.float32)


@pytest.mark.parametrize(
    "compute",
    [
        lambda F: losses.content_loss(F, torch.zeros_like(F) + 0.3),
        lambda F: losses.style_loss(losses.gram_matrix(F), torch.eye(3).double(), 3, 20),
        losses.total_variation,
    ],
    ids=["content", "style", "total_variation"],
)
def test_the_gradient_is_the_slope(compute):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(1, 3, 4, 5, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(compute, (features.requires_grad_(),))


def test_features_of_two_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"got \(1, 2, 3, 4\) and \(1, 2, 4, 3\)"):
        losses.content_loss(ones(1, 2, 3, 4), ones(1, 2, 4, 3))


def test_features_that_would_broadcast_are_refused():
    with pytest.raises(ShapeError):
        losses.content_loss(ones(1, 2, 3, 4), ones(1, 1, 1, 1))
    with pytest.raises(ShapeError):
        losses.style_loss(ones(2, 2), ones(1, 1), 2, 4)


@pytest.mark.parametrize("shape", [(2, 2), (1, 1, 2, 3, 4)])
def test_features_with_too_few_or_many_axes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"expected features \(B, C, H, W\) or \(C, H, W\), got"):
        losses.gram_matrix(ones(*shape))


def test_structure_is_how_parts_resemble_each_other():
    features = torch.rand(1, 5, 6, 7, generator=torch.Generator().manual_seed(1)) - 0.5
    other = torch.rand(1, 5, 6, 7, generator=torch.Generator().manual_seed(2)) - 0.5
    turned = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3))).Q
    # The same turn of all features, and a size of its own at each position, change nothing.
    same = torch.einsum("ij,bjhw->bihw", turned, features) * (torch.rand(1, 1, 6, 7) + 0.1)
    assert losses.structure_distance(features, features) == 0
    assert losses.structure_distance(same, features) < 1e-5
    far = losses.structure_distance(other, features)
    assert far == pytest.approx(losses.structure_distance(features, other))
    assert far > losses.structure_distance(0.7 * features + 0.3 * other, features) > 0.01


def test_structure_of_known_features():
    # Two parts: alike, and at right angles to each other.
    alike = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    apart = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    # Distances over their row's mean: [[0, 2], [2, 0]] beside [[0, 0], [0, 0]].
    assert losses.structure_distance(apart, alike) == pytest.approx(1)


def test_structure_of_large_features_is_compared_at_fewer_positions():
    features = torch.rand(1, 4, 40, 60, generator=torch.Generator().manual_seed(1))
    other = torch.rand(1, 4, 40, 60, generator=torch.Generator().manual_seed(2))
    means = [torch.nn.functional.adaptive_avg_pool2d(maps, (20, 29)) for maps in (features, other)]
    assert losses.structure_distance(features, other) == losses.structure_distance(*means)
    with pytest.raises(ShapeError):
        losses.structure_distance(features, features[..., 1:])

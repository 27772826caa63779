"""The statistics of style: against plain loops, and at answers known on paper."""

import math

import pytest
import torch

from impasto import losses
from impasto.config.registry import STATISTICS
from impasto.config.settings import make_settings
from impasto.losses.statistics import gram_sum, moment_sum
from impasto.losses.style import matching_term, mean_and_covariance

# The others are terms of their own.
SUMMED = [
    name for name in STATISTICS.names() if matching_term(make_settings(statistic=name)) is None
]


def seeded(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def moments(mean, covariance):
    """What moment_sum would give, per position, of a cloud with this mean and covariance."""
    mean, covariance = (torch.tensor(part, dtype=torch.float64) for part in (mean, covariance))
    return torch.cat([covariance + torch.outer(mean, mean), mean[None]])


def statistic(name):
    return STATISTICS.load(name)(["relu1_1"])


def per_position(name, features):
    (total,) = statistic(name).sum({"relu1_1": features}, {"relu1_1": None}).values()
    return total / features[0, 0].numel()


def distance_to(name, target):
    """What compares one layer's sums per position with ``target``."""
    compare = statistic(name).distance({"relu1_1": target})
    return lambda sums: compare({"relu1_1": sums})["relu1_1"]


def test_moments_are_sums_over_positions():
    features = seeded(2, 3, 4, 5)
    total = [[0.0] * 3 for _ in range(4)]
    for b in range(2):
        for y in range(4):
            for x in range(5):
                F = features[b, :, y, x].tolist()
                for i in range(3):
                    total[3][i] += F[i]
                    for j in range(3):
                        total[i][j] += F[i] * F[j]
    expected = torch.tensor(total, dtype=torch.float64)
    torch.testing.assert_close(moment_sum(features), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("summed", [gram_sum, moment_sum])
def test_weights_count_positions(summed):
    # A weight of 4 is that position four times over.
    features = seeded(1, 3, 2, 2)
    roots = torch.tensor([[[[0.0, 1.0], [2.0, 0.0]]]], dtype=torch.float64)
    listed = [features[..., 0, 1]] + 4 * [features[..., 1, 0]]
    expected = summed(torch.stack(listed, dim=-1)[:, :, None])
    torch.testing.assert_close(summed(features, roots), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("summed", [gram_sum, moment_sum])
@pytest.mark.parametrize("weighed", [False, True])
def test_the_gradient_is_the_slope(summed, weighed):
    features = seeded(1, 3, 3, 4).requires_grad_()
    roots = seeded(1, 1, 3, 4, seed=1).abs() if weighed else None
    assert torch.autograd.gradcheck(lambda F: summed(F, roots), (features,))


def test_moments_of_many_positions_are_summed_in_parts():
    features = seeded(1, 2, 200, 201, dtype=torch.float32).requires_grad_()
    total = moment_sum(features)
    wide = features.detach().double().requires_grad_()
    torch.testing.assert_close(total, moment_sum(wide), rtol=1e-5, atol=1e-2)
    slope = seeded(3, 2, seed=1)
    narrow_slope, wide_slope = (
        torch.autograd.grad((part * slope).sum(), leaf)[0]
        for part, leaf in ((total, features), (moment_sum(wide), wide))
    )
    torch.testing.assert_close(narrow_slope.double(), wide_slope, rtol=1e-4, atol=1e-4)


def test_a_small_covariance_survives_a_large_mean():
    # In float32 the difference of E[x^2] and E[x]^2 would drown in rounding.
    features = (100 + 0.01 * seeded(1, 2, 64, 64)).float()
    _, covariance = mean_and_covariance(moment_sum(features) / 64**2)
    exact = torch.cov(features.double()[0].flatten(1), correction=0)
    assert (covariance - exact).norm() / exact.norm() < 0.05


def independent(first, second, floor):
    """The distance between two clouds by the eigenvalues of a product that is not symmetric."""
    total = 0.0
    clouds = [torch.cov(cloud[0].flatten(1), correction=0) for cloud in (first, second)]
    lift = floor * clouds[1].diagonal().mean() * torch.eye(len(clouds[0]), dtype=torch.float64)
    S, T = clouds[0] + lift, clouds[1] + lift
    total = (first.mean((2, 3)) - second.mean((2, 3))).square().sum() + S.trace() + T.trace()
    return (total - 2 * torch.linalg.eigvals(S @ T).real.sqrt().sum()) / len(S)


def test_moments_are_compared_by_the_distance_between_gaussians():
    first, second = seeded(1, 4, 9, 8), 1 + 2 * seeded(1, 4, 6, 7, seed=1)
    distance = distance_to("moments", per_position("moments", second))
    found = distance(per_position("moments", first))
    assert found.item() == pytest.approx(independent(first, second, 1e-3).item(), rel=1e-10)


def test_the_distance_between_known_gaussians():
    # Along each axis: (difference of means)^2 + (difference of deviations)^2.
    roots = torch.diag(torch.tensor([2.0, 5.0], dtype=torch.float64))
    loss = losses.wasserstein_loss(
        torch.tensor([1.0, 2.0], dtype=torch.float64),
        torch.diag(torch.tensor([1.0, 9.0], dtype=torch.float64)),
        torch.tensor([4.0, 2.0], dtype=torch.float64),
        roots,
    )
    assert loss.item() == pytest.approx(3**2 + (1 - 2) ** 2 + (3 - 5) ** 2)


def test_the_distance_is_finite_where_a_cloud_is_flat():
    # Fewer positions than channels, and a channel that is dark everywhere.
    target = per_position("moments", seeded(1, 6, 2, 2).relu())
    flat = per_position("moments", torch.zeros(1, 6, 3, 3, dtype=torch.float64))
    flat.requires_grad_()
    loss = distance_to("moments", target)(flat)
    (gradient,) = torch.autograd.grad(loss, flat)
    assert loss > 0
    assert gradient.isfinite().all()


def test_deviations_by_loops():
    first, second = seeded(1, 3, 4, 4), seeded(1, 3, 5, 5, seed=1) * 3
    expected = 0.0
    least = 1e-3 * second[0].flatten(1).var(1, correction=0).mean().item()
    for channel in range(3):
        F, S = first[0, channel].flatten().tolist(), second[0, channel].flatten().tolist()
        mean, other = sum(F) / len(F), sum(S) / len(S)
        spread, width = (
            sum((x - m) ** 2 for x in some) / len(some) for some, m in ((F, mean), (S, other))
        )
        expected += (mean - other) ** 2
        expected += (math.sqrt(spread + least) - math.sqrt(width + least)) ** 2
    gram, both = (
        distance_to(name, per_position(name, second))(per_position(name, first))
        for name in ("gram", "gram+mean+std")
    )
    assert (both - gram).item() == pytest.approx(expected / 3, rel=1e-9)


@pytest.mark.parametrize("name", SUMMED)
def test_every_distance_is_zero_at_its_target_and_never_negative(name):
    target = per_position(name, seeded(1, 5, 6, 7))
    assert distance_to(name, target)(target).item() == pytest.approx(0, abs=1e-12)
    for seed in range(5):
        assert distance_to(name, target)(per_position(name, seeded(1, 5, 4, 4, seed=seed))) >= 0


@pytest.mark.parametrize("name", SUMMED)
def test_the_slope_of_every_distance(name):
    distance = distance_to(name, per_position(name, seeded(1, 3, 6, 7)))
    features = seeded(1, 3, 5, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda F: distance(per_position(name, F)), (features,))


@pytest.mark.parametrize("name", SUMMED)
def test_every_distance_is_blind_to_the_order_of_positions(name):
    features = seeded(1, 3, 4, 4)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    shuffled = features.flatten(2)[..., order].view_as(features)
    torch.testing.assert_close(per_position(name, shuffled), per_position(name, features))

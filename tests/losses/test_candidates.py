"""What neighbours are chosen from: which positions, of which picture, and how they are centred."""

import pytest
import torch

from impasto.losses import candidates as candidates_module
from impasto.losses.candidates import candidates_of
from impasto.losses.targets import StylePicture

LAYERS = ("relu1_1", "relu2_1")


def features_of(network, image, name):
    return network.features(image, [name])[name][0].flatten(1).t()


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def test_candidates_are_all_positions_centred_and_of_length_one(small_network, picture):
    network, image = small_network(), picture(20, 24)
    found = candidates_of(network, [StylePicture(image)], LAYERS)
    for name, size in (("relu1_1", 20 * 24), ("relu2_1", 10 * 12)):
        rows = features_of(network, image, name)
        assert len(found[name]) == size
        torch.testing.assert_close(found[name], unit(rows - rows.mean(0)))


def test_more_positions_than_are_searched_are_sampled_alike_whole_and_in_tiles(
    small_network, picture, monkeypatch
):
    network, shown = small_network(), StylePicture(picture(40, 56))
    (every,) = candidates_of(network, [shown], ["relu1_1"]).values()
    monkeypatch.setattr(candidates_module, "MOST_CANDIDATES", 100)
    whole = candidates_of(network, [shown], LAYERS)
    tiled = candidates_of(network, [shown], LAYERS, tile_px=16)
    assert [len(rows) for rows in whole.values()] == [100, 100]
    for name in LAYERS:
        torch.testing.assert_close(tiled[name], whole[name], rtol=1e-9, atol=1e-12)
    # They are centred by the mean of all positions, and are some of those of the whole.
    assert (torch.cdist(whole["relu1_1"], every).amin(1) < 1e-6).all()
    assert len(whole["relu1_1"].unique(dim=0)) > 90


def test_a_mask_says_what_may_be_chosen_and_what_is_the_mean(small_network, picture):
    network, image = small_network(), picture(16, 24)
    mask = torch.zeros(1, 1, 16, 24, dtype=torch.float64)
    mask[..., :12] = 1
    found = candidates_of(network, [StylePicture(image, mask=mask)], LAYERS)
    rows = features_of(network, image, "relu2_1").view(8, 12, -1)[:, :6].flatten(0, 1)
    torch.testing.assert_close(found["relu2_1"], unit(rows - rows.mean(0)))
    # Of a mask that is faint everywhere, the strongest part counts.
    faint = candidates_of(network, [StylePicture(image, mask=mask * 0.25)], LAYERS)
    torch.testing.assert_close(faint["relu2_1"], found["relu2_1"])


def test_a_layer_of_which_a_mask_leaves_nothing_is_left_out(small_network, picture):
    network = small_network()
    image, mask = picture(17, 17), torch.zeros(1, 1, 17, 17, dtype=torch.float64)
    mask[..., 16:] = 1  # a column that pooling drops
    found = candidates_of(network, [StylePicture(image, mask=mask)], LAYERS)
    assert [*found] == ["relu1_1"]


@pytest.mark.parametrize(("shares", "counts"), [((0.5, 0.5), (96, 96)), ((0.25, 0.75), (32, 96))])
def test_each_picture_gives_candidates_in_proportion_to_its_share(
    shares, counts, small_network, picture
):
    network, images = small_network(), [picture(8, 12, seed=seed) for seed in (1, 2)]
    pictures = [StylePicture(*one) for one in zip(images, shares, strict=True)]
    (found,) = candidates_of(network, pictures, ["relu1_1"]).values()
    assert len(found) == sum(counts)
    rows = [features_of(network, image, "relu1_1") for image in images]
    mean = sum(share * part.mean(0) for share, part in zip(shares, rows, strict=True))
    # All of the second, in the order of its positions, about the mean of both.
    torch.testing.assert_close(found[-96:], unit(rows[1] - mean))


def test_a_picture_that_does_not_count_gives_nothing(small_network, picture):
    network, image = small_network(), picture(12, 12)
    alone = candidates_of(network, [StylePicture(image)], LAYERS)
    pictures = [StylePicture(image, 1.0), StylePicture(picture(12, 12, seed=4), 0.0)]
    beside = candidates_of(network, pictures, LAYERS)
    for name in LAYERS:
        assert beside[name].equal(alone[name])


def test_a_picture_of_one_colour_has_candidates_without_a_direction(small_network):
    network, image = small_network(padding="circular"), torch.full((1, 3, 8, 8), 0.5).double()
    (found,) = candidates_of(network, [StylePicture(image)], ["relu1_1"]).values()
    assert found.isfinite().all()

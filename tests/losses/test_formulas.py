"""The specification's five formulas, as plain loops over float64 numbers, against ours.

    content   1/2 * sum_ij (F_ij - P_ij)^2
    Gram      G_ij = sum_k F_ik F_jk
    style     1/(4 N^2 M^2) * sum_ij (G_ij - A_ij)^2, with A brought to M positions
    L_style   sum_l w_l L^l_style
    total     alpha * L_content + beta * L_style

Gatys, Ecker and Bethge (2015), eqs. 1 to 7. Weights w_l are shares: they sum to 1.
"""

import pytest
import torch

from impasto import losses
from impasto.config.settings import make_settings
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_targets

CONTENT_LAYERS = {"relu2_2": 1.0, "conv3_1": 3.0}
STYLE_LAYERS = {"relu1_1": 4.0, "conv2_1": 2.0, "relu3_1": 1.0, "pool3": 1.0}


def flat(features):
    """F as the paper writes it: a list of N rows of M numbers."""
    return features[0].flatten(1).tolist()


def content_by_loops(F, P):
    total = 0.0
    for i in range(len(F)):
        for j in range(len(F[0])):
            total += (F[i][j] - P[i][j]) ** 2
    return total / 2


def gram_by_loops(F):
    N, M = len(F), len(F[0])
    G = [[0.0] * N for _ in range(N)]
    for i in range(N):
        for j in range(N):
            for k in range(M):
                G[i][j] += F[i][k] * F[j][k]
    return G


def style_by_loops(G, A, N, M):
    total = 0.0
    for i in range(N):
        for j in range(N):
            total += (G[i][j] - A[i][j]) ** 2
    return total / (4 * N**2 * M**2)


def scaled(A, factor):
    return [[factor * number for number in row] for row in A]


@pytest.fixture(scope="module")
def pictures(picture):
    """The painting under way, the photograph, and two paintings of other sizes."""
    return {
        "painted": picture(25, 31, seed=1),
        "content": picture(25, 31, seed=2),
        "styles": [picture(40, 18, seed=3), picture(17, 50, seed=4)],
    }


@pytest.fixture
def evaluate(small_network, pictures):
    def evaluate(**options):
        settings = make_settings(
            content_layers=CONTENT_LAYERS, style_layers=STYLE_LAYERS, **options
        )
        ours = small_network()
        targets = Targets(
            content_targets(ours, pictures["content"], settings),
            style_targets(ours, pictures["styles"], settings),
        )
        return Objective(ours, targets, settings).evaluate(pictures["painted"]).values()

    return evaluate


def test_content_loss(plain_features, pictures):
    F = plain_features(pictures["painted"])["relu3_1"]
    P = plain_features(pictures["content"])["relu3_1"]
    assert losses.content_loss(F, P).item() == pytest.approx(
        content_by_loops(flat(F), flat(P)), rel=1e-12
    )


def test_gram_matrix(plain_features, pictures):
    F = plain_features(pictures["painted"])["relu3_1"]
    expected = torch.tensor(gram_by_loops(flat(F)), dtype=torch.float64)
    torch.testing.assert_close(losses.gram_matrix(F), expected, rtol=1e-12, atol=1e-12)


def test_style_loss_between_pictures_of_two_sizes(plain_features, pictures):
    F = plain_features(pictures["painted"])["relu3_1"]
    S = plain_features(pictures["styles"][0])["relu3_1"]
    N, M, M_style = F.shape[1], F[0, 0].numel(), S[0, 0].numel()
    assert M_style != M
    expected = style_by_loops(
        gram_by_loops(flat(F)), scaled(gram_by_loops(flat(S)), M / M_style), N, M
    )
    A = losses.gram_matrix(S) * (M / M_style)
    ours = losses.style_loss(losses.gram_matrix(F), A, N, M)
    assert ours.item() == pytest.approx(expected, rel=1e-12)


@pytest.fixture(scope="module")
def by_loops(plain_features, pictures):
    """The whole specification: each term, alpha and beta not yet applied."""

    def compute(normalisation, style_weights):
        painted = plain_features(pictures["painted"])
        content = plain_features(pictures["content"])
        styles = [plain_features(style) for style in pictures["styles"]]
        terms = {}
        for name, weight in CONTENT_LAYERS.items():
            F, P = flat(painted[name]), flat(content[name])
            positions = len(F[0]) if normalisation == "position" else 1
            share = weight / sum(CONTENT_LAYERS.values())
            terms[f"content:{name}"] = share * content_by_loops(F, P) / positions
        for name, weight in STYLE_LAYERS.items():
            F = flat(painted[name])
            N, M = len(F), len(F[0])
            A = [[0.0] * N for _ in range(N)]
            for style, style_weight in zip(styles, style_weights, strict=True):
                S = flat(style[name])
                gram = gram_by_loops(S)
                for i in range(N):
                    for j in range(N):
                        part = gram[i][j] * M / len(S[0])
                        A[i][j] += part * style_weight / sum(style_weights)
            share = weight / sum(STYLE_LAYERS.values())
            terms[f"style:{name}"] = share * style_by_loops(gram_by_loops(F), A, N, M)
        return terms

    return compute


@pytest.mark.parametrize("style_weights", [(1.0, 1.0), (3.0, 1.0), (0.0, 2.0)])
@pytest.mark.parametrize("normalisation", ["position", "paper"])
def test_the_objective_is_the_specification(normalisation, style_weights, evaluate, by_loops):
    alpha, beta = 0.7, 300.0
    expected = {
        name: term * (alpha if name.startswith("content") else beta)
        for name, term in by_loops(normalisation, style_weights).items()
    }
    expected["total"] = sum(expected.values())
    assert min(expected.values()) > 0
    found = evaluate(
        alpha=alpha,
        beta=beta,
        total_variation=0,
        normalisation=normalisation,
        style_weights=style_weights,
    )
    assert found == pytest.approx(expected, rel=1e-10)


def test_total_variation_is_a_mean_over_pixels_beside_the_five(evaluate, by_loops, pictures):
    x = pictures["painted"][0].tolist()
    height, width = len(x[0]), len(x[0][0])
    total = 0.0
    for plane in x:
        for i in range(height):
            for j in range(width):
                for di, dj, weight in ((0, 1, 1), (1, 0, 1), (1, 1, 0.5), (1, -1, 0.5)):
                    if i + di < height and 0 <= j + dj < width:
                        total += weight * (plane[i][j] - plane[i + di][j + dj]) ** 2
    found = evaluate(alpha=1, beta=1, total_variation=5.0)
    assert found["total_variation"] == pytest.approx(5.0 * total / (height * width), rel=1e-12)
    rest = sum(by_loops("position", (1.0, 1.0)).values())
    assert found["total"] == pytest.approx(found["total_variation"] + rest, rel=1e-10)

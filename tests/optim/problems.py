"""Functions to minimise whose answer is known."""

import math

import torch

from impasto.config.settings import make_settings
from impasto.losses.objective import Evaluation
from impasto.optim.minimizer import Minimizer, State

SHAPE = (1, 3, 4, 4)


PIXELS = math.prod(SHAPE)


def seeded(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def problem(function):
    """Turn a function of a flat vector into something that a Minimizer can evaluate."""

    def evaluate(image):
        leaf = image.detach().clone().requires_grad_()
        with torch.enable_grad():
            total = function(leaf.flatten())
            (gradient,) = torch.autograd.grad(total, leaf)
        return Evaluation({"f": total.detach()}, total.detach(), gradient)

    return evaluate


def quadratic(condition, lowest=0.0):
    """A convex bowl with its bottom, of value ``lowest``, at ``target``."""
    basis, _ = torch.linalg.qr(seeded(PIXELS, PIXELS))
    scales = torch.logspace(0, math.log10(condition), PIXELS, dtype=torch.float64) / condition
    hessian = basis @ torch.diag(scales) @ basis.t()
    target = torch.rand(PIXELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def function(x):
        return lowest + 0.5 * (x - target) @ hessian @ (x - target)

    return problem(function), target.view(SHAPE)


def rosenbrock(x):
    """A bent valley with its bottom, 0, at ones (Rosenbrock, 1960; chained)."""
    return (100 * (x[1:] - x[:-1] ** 2).square() + (1 - x[:-1]).square()).sum()


def options(optimiser="lbfgs", **others):
    return make_settings(optimiser=optimiser, **others)


def descend(evaluate, image, iterations, settings, *, history_dtype=None):
    descent = Minimizer(State(image), settings, history_dtype)
    del image  # as a painting holds it no longer
    for left in range(iterations - 1, -1, -1):
        yield descent.step(evaluate, is_last=not left)


def run(evaluate, image, iterations, settings):
    return list(descend(evaluate, image, iterations, settings))


def at_calls(evaluate, calls, spoil):
    """The same problem, with ``spoil`` done to what is found at some calls, counted from 1."""
    count = 0

    def spoilt(image):
        nonlocal count
        count += 1
        found = evaluate(image)
        return spoil(found) if count in calls else found

    return spoilt


def broken_at(evaluate, *calls, value=math.nan):
    """The same problem, whose loss is ``value`` at the given calls, counted from 1."""

    def spoil(found):
        total = torch.full_like(found.total, value)
        return Evaluation({"f": total}, total, found.gradient)

    return at_calls(evaluate, calls, spoil)


START = torch.full(SHAPE, 0.5, dtype=torch.float64)


def problem_in_float32(evaluate):
    def narrow(image):
        found = evaluate(image.double())
        terms = {name: term.float() for name, term in found.terms.items()}
        return Evaluation(terms, found.total.float(), found.gradient.float())

    return narrow

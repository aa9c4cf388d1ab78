"""Allocation: against trying everything, and the invariants of the published methods."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.formats import parse_format
from hwq.ptq import allocate
from hwq.ptq.allocate import Problem

torch.set_num_threads(1)


def example() -> Problem:
    """The literature's toy: 100, 400 and 50 parameters at 8 or 4 bits within 3,025 bits."""
    parameters = np.array([100, 400, 50])
    return Problem.of([[0, 0.5], [0, 0.3], [0, 2.0]], np.stack([8 * parameters, 4 * parameters], 1), 3025)


def test_the_toy_of_the_literature() -> None:
    for method in (allocate.brute_force, allocate.greedy, allocate.integer_program):
        chosen = method(example())
        assert chosen.tolist() == [0, 1, 0]
        assert example().objective(chosen) == 0.3


def problems(resources: int = 2) -> st.SearchStrategy[Problem]:
    """Random small problems with ties, pair terms and shared costs."""

    def make(seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        layers, choices = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        loss = np.sort(rng.integers(0, 50, (layers, choices)), 1)
        cost = -np.sort(-rng.integers(0, 50, (layers, choices, resources)), 1)
        pair = rng.integers(-5, 20, (layers, layers)) if seed % 3 == 0 else np.zeros((layers, layers))
        pair = np.triu(pair, 1) + np.triu(pair, 1).T
        shared = rng.integers(0, 40, (choices, resources)) if seed % 2 == 0 else np.zeros((choices, resources))
        ties = [(0, layers - 1)] if seed % 5 == 0 else []
        budget = cost.sum(0).max(0) * rng.uniform(0.4, 1.2, resources) + 40
        return Problem.of(loss, cost, budget, ties, pair, shared)

    return st.builds(make, st.integers(0, 1 << 30))


@settings(max_examples=150, deadline=None)
@given(problems())
def test_the_integer_program_is_the_best_of_all(problem: Problem) -> None:
    try:
        best = allocate.brute_force(problem)
    except HwqError:
        with pytest.raises(HwqError, match=r"^budgets must allow the cheapest choices"):
            allocate.integer_program(problem)
        return
    found = allocate.integer_program(problem)
    assert problem.fits(found)
    assert math.isclose(problem.objective(found), problem.objective(best), abs_tol=1e-9)
    for tie in problem.ties:
        assert len({int(found[layer]) for layer in tie}) == 1
    stepped = (
        allocate.greedy(problem) if problem.fits(allocate.brute_force(problem)) and _cheapest_fits(problem) else best
    )
    assert problem.fits(stepped)


def _cheapest_fits(problem: Problem) -> bool:
    return problem.fits(np.full(problem.layers, problem.choices - 1))


@settings(max_examples=60, deadline=None)
@given(problems(1), st.floats(1.0, 2.0))
def test_a_larger_budget_is_never_worse(problem: Problem, factor: float) -> None:
    plain = Problem.of(problem.loss, problem.cost, problem.budget, problem.ties)
    more = Problem.of(problem.loss, problem.cost, problem.budget * factor, problem.ties)
    for method in (allocate.brute_force, allocate.greedy, allocate.integer_program):
        try:
            least = plain.objective(method(plain))
        except HwqError:
            continue
        assert more.objective(method(more)) <= least + 1e-9


def test_greedy_is_optimal_where_all_steps_save_the_same() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        loss = np.sort(rng.random((6, 2)), 1)
        problem = Problem.of(loss, np.tile([8.0, 4.0], (6, 1)), float(rng.integers(24, 49)))
        assert allocate.greedy(problem).tolist() == allocate.brute_force(problem).tolist()


def test_bisection_finds_what_a_scan_finds() -> None:
    rng = np.random.default_rng(0)
    for layers in (1, 2, 7, 12):
        harm = rng.random(layers)
        order = allocate.ordered(harm)
        assert order == np.argsort(harm).tolist()
        for target in (0.0, 0.3, 1.0, 9.0):
            asked: list[int] = []

            def holds(chosen: np.ndarray, target: float, harm: np.ndarray, asked: list[int]) -> bool:
                asked.append(0)
                return float((harm * chosen).sum()) <= target

            chosen = allocate.bisected(order, 2, partial(holds, target=target, harm=harm, asked=asked))
            scan = max(k for k in range(layers + 1) if harm[order[:k]].sum() <= target)
            assert int(chosen.sum()) == scan
            assert len(asked) <= 1 + math.ceil(math.log2(layers + 1))
    with pytest.raises(HwqError, match=r"^the target must be met before any layer is lowered"):
        allocate.bisected([0], 2, lambda chosen: False)


def test_pair_terms_change_the_order() -> None:
    pair = np.zeros((3, 3))
    pair[0, 1] = pair[1, 0] = 10
    assert allocate.ordered([1, 2, 3]) == [0, 1, 2]
    assert allocate.ordered([1, 2, 3], pair) == [0, 2, 1]


def test_problems_wrong() -> None:
    for make, message in (
        (lambda: Problem.of([[1, 2]], [[1, 2, 3]], 3), r"^losses, costs and budgets must be \[L, K\]"),
        (lambda: Problem.of([[1, math.nan]], [[1, 2]], 3), "^losses must be finite"),
        (lambda: Problem.of([[1, 2]] * 2, [[1, 2]] * 2, 3, pair=[[0, 1], [2, 0]]), "^pair terms must be a symmetric"),
        (lambda: allocate.brute_force(Problem.of([[0, 1]] * 21, [[1, 0]] * 21, 3)), "^brute force must have at most"),
        (lambda: allocate.greedy(Problem.of([[0, 1]], [[3, 2]], 1)), r"^budgets must allow .*, \[2.0\] without"),
    ):
        with pytest.raises(HwqError, match=message):
            make()


def test_losses_of_resnet8_are_measured_and_traced() -> None:
    """One layer at a time, by divergence; curvature times error puts few bits above many, too."""
    model = zoo.load("resnet8")
    engine = ptq.quantizer(model, 64)
    layers = ["block1.conv1", "block3.conv2"]
    assignment = dict.fromkeys(("first", "body", "last"), "int8*int8")
    images = model.calibration()[:64]
    told: list[int] = []
    loss = allocate.measured(engine, assignment, layers, ["int8*int8", "int8*int(2)"], images, done=told.append)
    assert told == [1, 2, 3, 4]
    assert (loss[:, 0] < 1e-3).all()
    assert (loss[:, 1] > 10 * loss[:, 0]).all()
    traces = allocate.hessian_traces(engine.graph, layers, images, probes=4)
    scores = allocate.traced(engine.graph, layers, [parse_format(f"int({n})") for n in (8, 4, 2)], traces)
    assert (scores > 0).all()
    assert all((a < b).all() for a, b in itertools.pairwise(scores.T))


def test_hessian_traces_are_those_of_autograd() -> None:
    """Of a linear layer with two classes: the exact Hessian's diagonal, summed."""
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2).double()
    images = torch.randn(8, 3, dtype=torch.float64)
    graph = ptq.trace(net, images)
    labels = net(images).argmax(1)

    def loss(weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(images @ weight.T + net.bias, labels)

    exact = torch.autograd.functional.hessian(loss, net.weight.detach()).reshape(6, 6).diagonal().mean()
    (found,) = allocate.hessian_traces(graph, [graph.output.name], images, probes=4000)
    assert found == pytest.approx(float(exact), rel=0.05)

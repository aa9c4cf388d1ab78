"""Allocation: against trying everything, and the invariants of the published methods."""

import itertools
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import Transformer, random_images

from hwq import ptq, zoo
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import packed_bytes, parse_format
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
    choices = {layer: [Datapath.parse(text) for text in ("int8*int8", "int8*int(2)")] for layer in layers}
    loss = allocate.measured(engine, assignment, choices, images, done=told.append)
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


# ---------------------------------------------------------------- as a pass of a recipe

MIXED = dict.fromkeys(("first", "last", "add"), "int16*int8") | {"body": "int16*int4", "matmul": "int16*int16"}


@pytest.fixture(scope="module")
def engine() -> ptq.Quantizer:
    return ptq.Quantizer(Transformer().eval(), random_images(48, 7, 6))


def weights_of(made: ptq.QuantizedModel) -> dict[str, str]:
    return {layer.name: str(layer.datapath.mac.w) for layer in made.layers if layer.op == "linear"}


def stored(made: ptq.QuantizedModel) -> tuple[int, int]:
    """Bytes of all weights, and the products of the linear layers in pairs of bits."""
    size, work = 0, 0
    for layer in (layer for layer in made.layers if layer.op == "linear"):
        mac = layer.datapath.mac
        size += packed_bytes(mac.w, tuple(made.state[layer.name, "weight"].shape))
        work += made.graph.macs(layer.node) * mac.a.bits * mac.w.bits
    return size, work


@pytest.mark.parametrize("word", ["program", "greedy"])
def test_formats_are_shared_out_within_what_the_assignment_takes(word: str, engine: ptq.Quantizer) -> None:
    plain, made = (engine.quantize(MIXED, recipe) for recipe in ("rtn+bc", f"{word}+rtn+bc"))
    assert stored(made)[0] <= stored(plain)[0]
    found = weights_of(made)
    assert (found["embed"], found["head"]) == ("int8", "int8")
    assert len(set(found.values())) > 1
    assert len(engine.products(MIXED, f"{word}+rtn+bc")) == len(made.products())
    named = engine.quantize(MIXED | {"*.qkv.0": "int16*int6"}, f"{word}+rtn+bc")  # has no part in it
    assert {text for name, text in weights_of(named).items() if name.endswith("qkv.0")} == {"int6"}


def test_the_program_is_the_best_of_all_and_knows_work(engine: ptq.Quantizer, tmp_path: Path) -> None:
    """Losses measured again: of all ways to share out two formats within both budgets none loses less."""
    file = tmp_path / "mine.toml"
    file.write_text('passes = ["program", "rtn"]\n[program]\nweights = ["int6", "int3"]\nsize = 1.2\nwork = 1.1\n')
    made = engine.quantize(MIXED, str(file))
    plain = engine.quantize(MIXED, "rtn")
    assert all(x <= 1.2 * y for x, y in zip(stored(made), stored(plain), strict=True))
    layers = [name for name in weights_of(made) if name.startswith("blocks")]
    paths = [Datapath.parse(text) for text in ("int16*int6", "int16*int3")]
    base = MIXED | dict.fromkeys(layers, paths[0])
    choices = dict.fromkeys(layers, paths)
    loss = allocate.measured(engine, base, choices, engine.calibrated.prefix[:64], "rtn")
    rows = {name: engine.graph.state[name, "weight"] for name in layers}
    size = np.array([[packed_bytes(path.mac.w, tuple(rows[name].shape)) for path in paths] for name in layers])
    work = np.array(
        [[engine.graph.macs(engine.graph[name]) * 16 * path.mac.w.bits for path in paths] for name in layers]
    )
    limit = [1.2 * size[:, 1].sum() * 4 / 3, 1.1 * work[:, 1].sum() * 4 / 3]
    problem = Problem.of(loss, np.stack([size, work], -1), limit)
    chosen = np.array([("int6", "int3").index(weights_of(made)[name]) for name in layers])
    assert problem.fits(chosen)
    assert problem.objective(chosen) == pytest.approx(problem.objective(allocate.brute_force(problem)))


def test_bisection_lowers_layers_while_classes_agree(engine: ptq.Quantizer, tmp_path: Path) -> None:
    images = engine.calibrated.prefix[:64]
    classes = engine.graph.run(images).argmax(1)
    finest = engine.quantize(MIXED | {"body": "int16*int8"}, "rtn").outputs(images, "fake").argmax(1) == classes
    bits = []
    for agreement in (0.99, 0.5):
        file = tmp_path / f"{agreement}.toml"
        options = f'weights = ["int8", "int4", "int(2)"]\nagreement = {agreement}\nprobes = 4\n'
        file.write_text(f'passes = ["bisect", "rtn"]\n[bisect]\n{options}')
        made = engine.quantize(MIXED, str(file))
        same = made.outputs(images, "fake").argmax(1) == classes
        assert float(same.double().mean()) >= agreement * float(finest.double().mean())
        bits.append(stored(made)[0])
    assert bits[1] < bits[0]


def test_pairs_lose_what_is_beyond_their_sum(engine: ptq.Quantizer) -> None:
    images, low = engine.calibrated.prefix[:16], Datapath.parse("int16*int(2)")
    base, names = MIXED | {"body": "int16*int8"}, ["blocks.0.up", "blocks.0.down"]
    pair = allocate.measured_pairs(engine, base, dict.fromkeys(names, low), images, "rtn")
    with torch.no_grad():
        want = engine.graph.run(images)
    lost = [
        allocate.divergence(engine.quantize(base | dict.fromkeys(which, low), "rtn").fake(images), want)
        for which in ([], names[:1], names[1:], names)
    ]
    assert pair[0, 1] == pair[1, 0] == pytest.approx(lost[3] - lost[1] - lost[2] + lost[0])
    assert (pair.diagonal() == 0).all()


def test_allocations_wrong(engine: ptq.Quantizer, tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text('passes = ["greedy", "rtn"]\n[greedy]\nweights = ["int4"]\n')
    with pytest.raises(HwqError, match=r"^an allocation must have 2 formats of weights or more, not 1$"):
        engine.quantize(MIXED, str(file))
    with pytest.raises(HwqError, match=r"^a recipe must have at most one of bisect, greedy, program, not "):
        ptq.Recipe.parse("greedy+program+rtn")
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    small = ptq.Quantizer(net, random_images(8, 4))
    with pytest.raises(
        HwqError, match=r"^an allocation must have layers between the first and the last one, not none$"
    ):
        small.quantize(dict.fromkeys(("first", "last"), "int8*int8"), "program+rtn")

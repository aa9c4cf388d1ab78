"""Weight solvers against brute force, float64 linear algebra, their definitions and published examples."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hwq
from hwq import ptq
from hwq.errors import HwqError
from hwq.ptq.moments import input_rows
from hwq.ptq.weights import CROSS, HESSIAN, Answer, Points, Rows, Solver, hessian, ldlq, ptqtp, rescaled, two_planes
from hwq.ptq.weights.decoupleq import best_gain, decoupleq, descend
from hwq.ptq.weights.ldlq import block_ldl
from hwq.ptq.weights.rows import damped
from hwq.ptq.weights.trits import refinements

CODES_ONLY = ["gpfq", "gptq", "gptq-ordered", "ldlq", "rtn"]
TO_NEAREST = [*CODES_ONLY, "decoupleq"]  # kept only where better than rounding to nearest


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated(count: int, width: int, seed: int = 1) -> Tensor:
    return normal(count, width, seed=seed) @ normal(width, width, seed=seed + 1)


def rows_of(text: str, count: int, width: int, seed: int = 5) -> Rows:
    """Rows whose inputs reach them with some noise, so that the float ones are others."""
    seen = correlated(4 * width, width, seed)
    floats = seen + 0.2 * normal(4 * width, width, seed=seed + 9)
    fmt = hwq.parse_format(text)
    weight = normal(count, width, seed=seed + 10) * max(fmt.span) / 3
    return Rows(weight, fmt, hessian(seen), hessian(seen, floats))


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", CODES_ONLY)
def test_unrelated_inputs_give_rounding(name: str) -> None:
    """A diagonal Hessian, one input never seen; the float inputs are the quantized ones."""
    weight, fmt = normal(3, 5, 40) * 3, hwq.parse_format("int4")
    diagonal = torch.diag_embed(torch.rand(3, 40, dtype=torch.float64))
    diagonal[:, 7] = 0
    answer = ptq.SOLVERS[name](Rows(weight, fmt, diagonal, diagonal))
    assert answer.gain is None
    assert torch.equal(answer.codes, fmt.encode(weight))


@pytest.mark.parametrize("name", TO_NEAREST)
@pytest.mark.parametrize("text", ["int4", "ternary", "fp4_e2m1", "mxfp4_e2m1", "nvfp4"])
def test_no_row_is_worse_than_rounded(name: str, text: str) -> None:
    rows = rows_of(text, 9, 96)
    loss = rows.loss(ptq.SOLVERS[name](rows).values(rows.grid))
    nearest = rows.loss(ptq.rtn(rows).values(rows.grid))
    assert bool((loss <= nearest).all())
    if name in ("gpfq", "gptq", "ldlq", "decoupleq"):
        own = torch.einsum("rk,kl,rl->r", rows.weight, rows.hessian, rows.weight)
        assert float(loss.sum()) < float(nearest.sum()) - 0.001 * float(own.sum())


@pytest.mark.parametrize("name", TO_NEAREST)
def test_no_solver_beats_all_codes(name: str) -> None:
    """Brute force over 3**5 ternary rows, each with its best gain where the solver has one."""
    rows = rows_of("ternary", 6, 5, seed=2)
    assert rows.hessian is not None
    answer = ptq.SOLVERS[name](rows)
    everything = torch.tensor(list(itertools.product((-1.0, 0, 1), repeat=5)), dtype=torch.float64)
    for r in range(6):
        one = Rows(rows.weight[r : r + 1].expand(len(everything), -1), rows.grid, rows.hessian, rows.cross)
        gain = torch.ones(len(everything)) if answer.gain is None else best_gain(one, everything, torch.tensor(1.0))
        best = float(one.loss(everything * gain.unsqueeze(1)).min())
        assert float(rows.loss(answer.values(rows.grid))[r]) >= best - 1e-9 * abs(best)


def test_the_loss_is_that_of_the_products() -> None:
    seen, floats, weight, other = normal(50, 7), normal(50, 7, seed=1), normal(3, 7, seed=2), normal(3, 7, seed=3)
    rows = Rows(weight, Points(torch.round), hessian(seen))
    wanted = 2 * (seen @ (weight - other).T).square().mean(0)
    torch.testing.assert_close(rows.loss(other), wanted)
    rows = Rows(weight, Points(torch.round), hessian(seen), hessian(seen, floats))
    target = floats @ weight.T
    wanted = 2 * ((target - seen @ other.T).square() - target.square()).mean(0)
    torch.testing.assert_close(rows.loss(other), wanted)


@pytest.mark.parametrize("name", ["decoupleq", "gpfq", "gptq", "gptq-ordered", "ldlq"])
def test_rows_without_a_moment_wrong(name: str) -> None:
    message = r"^rows must have their (hessian|cross) moment for this solver, not None; give Rows\(\.\.\., \1=\.\.\.\)$"
    with pytest.raises(HwqError, match=message):
        ptq.SOLVERS[name](Rows(normal(2, 3), hwq.parse_format("int4")))


# ---------------------------------------------------------------- ldlq


@pytest.mark.parametrize("block", [1, 4, 7, 20])
def test_block_ldl_is_the_matrix(block: int) -> None:
    square = hessian(correlated(60, 20)).expand(2, 20, 20)
    lower, diagonal = block_ldl(square, block)
    torch.testing.assert_close(lower @ diagonal @ lower.mT, square)
    where = torch.arange(20) // block
    same = where.unsqueeze(1) == where
    assert bool((diagonal[:, ~same] == 0).all())
    torch.testing.assert_close(lower * same, torch.eye(20, dtype=torch.float64).expand(2, 20, 20))
    assert bool((lower[:, where.unsqueeze(1) < where] == 0).all())


@pytest.mark.parametrize("text", ["int4", "ternary", "fp4_e2m1"])
def test_ldlq_is_gptq_from_the_last_column(text: str) -> None:
    rows = rows_of(text, 9, 150)
    assert rows.hessian is not None
    back = Rows(rows.weight.flip(-1), rows.grid, rows.hessian.flip((-2, -1)))
    forth = Rows(rows.weight, rows.grid, rows.hessian)
    assert torch.equal(ptq.gptq(back).codes.flip(-1), ldlq(forth).codes)


def test_ldlq_of_blocks_is_the_best_continuation() -> None:
    """Before a block is rounded, it stands where it and all before it, unrounded, would make up for the rest best."""
    fmt = hwq.parse_format("mxfp4_e2m1")
    rows = Rows(normal(5, 100) * 2, fmt, hessian(correlated(300, 100)))
    assert rows.hessian is not None
    square, weight = damped(rows.hessian).numpy(), rows.weight.numpy()
    solved = weight.copy()
    for start in (96, 64, 32, 0):
        stop = min(start + 32, 100)
        error = (weight - solved)[:, stop:]
        shift = np.linalg.solve(square[:stop, :stop], (error @ square[stop:, :stop]).T).T
        block = torch.from_numpy(weight[:, start:stop] + shift[:, start:])
        solved[:, start:stop] = fmt.decode(fmt.encode(block)).numpy()
    wanted = rows.loss(torch.from_numpy(solved))
    nearest = ptq.rtn(rows).values(fmt)
    kept = torch.where((wanted > rows.loss(nearest)).unsqueeze(-1), nearest.double(), torch.from_numpy(solved))
    assert torch.equal(ldlq(rows).values(fmt).double(), kept)


def test_the_loss_of_ldlq_is_that_of_its_roundings() -> None:
    """tr(E H E^T) is the sum of e_k D_k e_k^T, where e_k is what the rounding of column k itself left."""
    weight, square = normal(4, 30) * 3, hessian(correlated(90, 30))
    lower, diagonal = block_ldl(square, 1)
    error = torch.zeros_like(weight)
    own = torch.zeros_like(weight)
    for k in reversed(range(30)):
        wanted = weight[:, k] + error[:, k + 1 :] @ lower[k + 1 :, k]
        own[:, k] = wanted - wanted.round()
        error[:, k] = weight[:, k] - wanted.round()
    torch.testing.assert_close(
        ptq.weights.proxy_loss(error, torch.zeros_like(error), square), own**2 @ diagonal.diagonal()
    )


# ---------------------------------------------------------------- gpfq


def test_gpfq_follows_the_products_themselves() -> None:
    """The definition, on vectors: u += w_t x_t; q_t is nearest to <x~_t, u> / |x~_t|**2; u -= q_t x~_t."""
    seen, floats, fmt = correlated(200, 24).numpy(), correlated(200, 24, seed=4).numpy(), hwq.parse_format("int4")
    floats = seen + 0.3 * floats
    weight = normal(5, 24, seed=8) * 3
    moments = (hessian(torch.from_numpy(seen)), hessian(torch.from_numpy(seen), torch.from_numpy(floats)))
    rows = Rows(weight, fmt, *moments)
    nearest = ptq.rtn(rows).values(fmt)
    found = ptq.SOLVERS["gpfq"](rows).values(fmt)
    greedy = 0
    for r, row in enumerate(weight.numpy()):
        left, solved = np.zeros(200), []
        for t in range(24):
            left = left + row[t] * floats[:, t]
            step = np.clip(np.rint(seen[:, t] @ left / (seen[:, t] @ seen[:, t])), -8, 7)
            left = left - step * seen[:, t]
            solved.append(step)
        error = [np.sum((floats @ row - seen @ q) ** 2) for q in (np.array(solved), nearest[r].numpy())]
        greedy += error[0] <= error[1]
        assert found[r].tolist() == (solved if error[0] <= error[1] else nearest[r].tolist())
    assert greedy >= 4


# ---------------------------------------------------------------- decoupleq


def test_the_gain_of_decoupleq_is_that_of_least_squares() -> None:
    seen = correlated(100, 20)
    rows = Rows(normal(6, 20, seed=7) * 2, hwq.parse_format("int(2)"), hessian(seen))
    answer = decoupleq(rows)
    assert answer.gain is not None
    values = rows.grid.decode(answer.codes).double().numpy()
    for r in range(6):
        products = (seen.numpy() @ values[r])[:, None]
        fitted = np.linalg.lstsq(products, seen.numpy() @ rows.weight[r].numpy(), rcond=None)[0]
        assert float(answer.gain[r]) == pytest.approx(float(fitted[0]))
    least = rows.loss(answer.values(rows.grid))
    for change in (0.99, 1.01):
        assert bool((rows.loss(Answer(answer.codes, answer.gain * change).values(rows.grid)) > least).all())


def test_decoupleq_is_better_than_gptq() -> None:
    rows = Rows(normal(8, 96, seed=7), hwq.parse_format("int(2)"), hessian(correlated(400, 96)))
    loss = {
        name: float(rows.loss(ptq.SOLVERS[name](rows).values(rows.grid)).sum()) for name in TO_NEAREST if name != "gpfq"
    }
    assert loss["decoupleq"] < 0.9 * min(loss[name] for name in ("gptq", "gptq-ordered", "ldlq"))


def test_one_gain_serves_all_rows() -> None:
    weight, moment, fmt = (
        normal(2, 4, 20) * 2,
        hessian(correlated(100, 20)).expand(2, 20, 20),
        hwq.parse_format("int(2)"),
    )
    for solver in (decoupleq, ptqtp):
        rows = Rows(weight, hwq.parse_format("int4") if solver is ptqtp else fmt, moment, one_gain=True)
        answer = solver(rows)
        assert answer.gain is not None
        assert answer.gain.shape == (2, 4)
        assert bool((answer.gain == answer.gain[0, 0]).all())
    rows = Rows(weight, fmt, moment, one_gain=True)
    losses = [rows.loss(solver(rows).values(fmt)).sum() for solver in (decoupleq, ptq.rtn)]
    assert float(losses[0]) < 0.5 * float(losses[1])


@pytest.mark.parametrize(
    ("name", "one_gain"), [("rtn", False), ("rtn", True), ("gptq-ordered", True), ("decoupleq", False)]
)
def test_a_scale_chosen_by_the_solver_is_the_best_of_eleven(name: str, one_gain: bool) -> None:
    rows = replace(rows_of("int(3)", 6, 32), one_gain=one_gain)
    solver, losses = ptq.SOLVERS[name], []
    for gain in (2 ** (step / 16) for step in range(-6, 5)):
        answer = solver(replace(rows, weight=rows.weight / gain))
        losses.append(rows.loss(answer.values(rows.grid) * gain))
    each = torch.stack(losses)
    least = each.sum(1).min() if one_gain else each.min(0).values.sum()
    answer = rescaled(solver)(rows)
    assert answer.gain is not None and (len({*answer.gain.tolist()}) == 1 or not one_gain)
    assert float(rows.loss(answer.values(rows.grid)).sum()) == pytest.approx(float(least), rel=1e-9)


def test_rows_of_zeros_keep_their_gain() -> None:
    rows = Rows(torch.zeros(2, 8, dtype=torch.float64), hwq.parse_format("int4"), hessian(correlated(30, 8)))
    for solver in (decoupleq, ptqtp):
        answer = solver(rows)
        assert answer.gain is not None
        assert answer.gain.tolist() == [1, 1]
        assert not answer.values(rows.grid).any()


@pytest.mark.parametrize("text", ["int(3)", "fp4_e2m1"])
def test_sweeps_end_where_no_single_weight_helps(text: str) -> None:
    rows = rows_of(text, 4, 12)
    rows = Rows(rows.weight, rows.grid, rows.hessian)
    codes = ptq.rtn(rows).codes
    losses = [rows.loss(rows.grid.decode(codes))]
    for _ in range(30):
        codes = descend(rows, codes)
        losses.append(rows.loss(rows.grid.decode(codes)))
        assert bool((losses[-1] <= losses[-2] * (1 + 1e-9)).all())
    assert float(losses[-1].sum()) < 0.9 * float(losses[0].sum())
    points = torch.from_numpy(hwq.parse_format(text).codes())
    for k, point in itertools.product(range(12), points):
        other = codes.clone()
        other[:, k] = point
        assert bool((rows.loss(rows.grid.decode(other)) >= losses[-1] * (1 - 1e-9)).all())


# ---------------------------------------------------------------- two planes of trits


def test_tied_planes_are_nine_levels() -> None:
    """The normalised error of nine uniform levels on a Gaussian is 3.070e-2; no scale of a fine grid does better."""
    weight = normal(1, 100_000) * 2
    weight = torch.cat([weight, -weight], 1)
    rows = Rows(weight, hwq.parse_format("int4"))
    answer = ptqtp(rows)
    values = answer.values(rows.grid)
    assert rows.grid.decode(answer.codes).unique().tolist() == list(range(-4, 5))
    error = float((weight - values).square().sum() / weight.square().sum())
    assert error == pytest.approx(3.070e-2, rel=0.02)
    scales = torch.linspace(0.2, 4, 200).tolist()
    others = [(weight - (weight / s).round().clamp(-4, 4) * s).square().sum() / weight.square().sum() for s in scales]
    assert error <= float(min(others)) * (1 + 1e-6)


def test_tied_planes_find_what_they_hold() -> None:
    weight = torch.arange(-4, 5, dtype=torch.float64).unsqueeze(0) * torch.tensor([[0.25], [3.0]], dtype=torch.float64)
    rows = Rows(weight, hwq.parse_format("int8"))
    answer = ptqtp(rows)
    assert answer.gain is not None
    torch.testing.assert_close(answer.gain, torch.tensor([0.25, 3.0], dtype=torch.float64))
    torch.testing.assert_close(answer.values(rows.grid), weight)


@pytest.mark.parametrize("text", ["ternary", "int(3)", "uint4", "mxint8"])
def test_grids_without_the_nine_integers_wrong(text: str) -> None:
    with pytest.raises(HwqError, match=r"^weights of tied trit planes must hold the integers -4 to 4, not "):
        ptqtp(Rows(normal(2, 32), hwq.parse_format(text)))


def test_free_planes_of_the_published_counter_example() -> None:
    """-4..4 times 0.25 is exactly representable, but from the signs the turns end at a squared error of 0.068."""
    weight = torch.arange(-4, 5, dtype=torch.float64) * 0.25
    from_signs = list(refinements(weight, weight.sign().expand(2, 9)))[-1]
    assert float((weight - from_signs.values).square().sum()) == pytest.approx(0.068, abs=5e-4)
    found = two_planes(weight)
    torch.testing.assert_close(found.values, weight)
    torch.testing.assert_close(found.scales, torch.tensor([0.75, 0.25], dtype=torch.float64))


def test_free_planes_of_a_gaussian() -> None:
    weight = normal(64, 128)
    turns = list(refinements(weight, weight.sign().unsqueeze(-2).expand(64, 2, 128)))
    errors = torch.stack([(weight - turn.values).square().sum(-1) for turn in turns])
    assert 5 < len(turns) <= 50
    assert bool((errors[1:] <= errors[:-1] * (1 + 1e-6)).all())
    found = two_planes(weight)
    assert set(found.planes.unique().tolist()) == {-1, 0, 1}
    relative = (weight - found.values).norm(dim=-1) / weight.norm(dim=-1)
    assert float(relative.mean()) == pytest.approx(0.15, abs=0.01)
    tied = ptqtp(Rows(weight, hwq.parse_format("int4"))).values(hwq.parse_format("int4"))
    assert bool(((weight - found.values).square().sum(-1) <= (weight - tied).square().sum(-1) + 1e-9).all())


def test_free_planes_recover_one_plane_and_never_beat_all_pairs() -> None:
    exact = torch.tensor([[0.5, -0.5, 0, 0.5, 0], [0, 0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(two_planes(exact).values, exact, atol=1e-6, rtol=0)
    weight = normal(5, 4, seed=3)
    planes = np.array(list(itertools.product((-1, 0, 1), repeat=4)))
    for row, found in zip(weight.numpy(), two_planes(weight).values.numpy(), strict=True):
        best = min(
            np.sum((row - (s := np.stack(pair, 1)) @ np.linalg.lstsq(s, row, rcond=None)[0]) ** 2)
            for pair in itertools.combinations(planes, 2)
        )
        assert np.sum((row - found) ** 2) >= best - 1e-9


# ---------------------------------------------------------------- in a network


class Small(nn.Module):
    """Two convolutions, one of them grouped, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, groups=2)
        self.last = nn.Linear(6 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.two(torch.relu(self.one(x))))
        return self.last(x.flatten(1))


@pytest.fixture(scope="module")
def small() -> ptq.Quantizer:
    torch.manual_seed(1)
    return ptq.Quantizer(Small().eval(), torch.randn(64, 1, 6, 6))


def assigned(weights: str) -> dict[str, str]:
    return {"first": "int8*int8", "body": f"int8*{weights}", "last": "int8*int8"}


def error_of(model: ptq.QuantizedModel, engine: ptq.Quantizer, evaluate: Callable[[Tensor], Tensor]) -> float:
    images = engine.calibrated.prefix
    return float((evaluate(images) - engine.graph.run(images)).square().mean())


@pytest.mark.parametrize("name", TO_NEAREST)
def test_every_solver_betters_rounding_in_a_network(small: ptq.Quantizer, name: str) -> None:
    rounded, solved = (small.quantize(assigned("int(3)"), recipe) for recipe in ("rtn", name))
    errors = [error_of(model, small, model.fake) for model in (rounded, solved)]
    assert errors[1] <= errors[0] * (1 if name == "rtn" else 0.95)
    assert error_of(solved, small, solved.exact) == pytest.approx(errors[1], rel=0.05)


def test_gains_reach_the_scales_of_weights(small: ptq.Quantizer) -> None:
    for recipe in ("ptqtp", "ptqtp+tensor"):
        model = small.quantize(assigned("int4"), recipe)
        weights = hwq.parse_format("int4").decode(model.state["two", "weight"])
        scale = model.state["two", "weight_scale"]
        assert len(scale.unique()) == (1 if "tensor" in recipe else 6)
        assert float(weights.abs().max()) == 4
        restored = weights.double() * scale.reshape(-1, 1, 1, 1)
        own = small.graph.state["two", "weight"].double()
        assert float((restored - own).square().sum() / own.square().sum()) < 0.06


def test_solvers_are_given_the_float_inputs_beside_the_quantized_ones(small: ptq.Quantizer) -> None:
    given: list[Rows] = []

    def watch(rows: Rows) -> Answer:
        given.append(rows)
        return Answer(rows.grid.encode(rows.weight))

    recipe = ptq.Recipe(solver=Solver(watch, frozenset({HESSIAN, CROSS})))
    model = small.quantize(assigned("int(3)"), recipe)
    fake = {layer.name: value for layer, value in model.walk_fake(small.calibrated.prefix)}
    floats = {node.name: value for node, _, value in small.graph.walk(small.calibrated.prefix)}
    weighted = [layer for layer in model.layers if layer.op in ("conv2d", "linear")]
    assert len(given) == len(weighted) == 3
    for rows, layer in zip(given, weighted, strict=True):
        (name,) = layer.node.inputs
        seen, own = (input_rows(layer.node, x[name]) for x in (fake, floats))
        scale = float(model.state[name, "scale"])
        assert rows.hessian is not None and rows.cross is not None
        torch.testing.assert_close(rows.hessian, hessian(seen), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(rows.cross * scale, hessian(seen, own), rtol=1e-4, atol=1e-4)
        assert float((rows.cross - rows.hessian).abs().max()) > 1e-3

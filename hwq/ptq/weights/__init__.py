"""Weight solvers, closed form: which code each weight gets, and where a solver moves it, the gain of its scale."""

from hwq.ptq.weights.decoupleq import decoupleq
from hwq.ptq.weights.fixed import Fixed, Weights
from hwq.ptq.weights.gpfq import gpfq
from hwq.ptq.weights.gptq import gptq, gptq_ordered
from hwq.ptq.weights.ldlq import ldlq
from hwq.ptq.weights.nearest import rtn
from hwq.ptq.weights.rescale import rescaled
from hwq.ptq.weights.rows import CROSS, HESSIAN, Answer, Grid, Points, Rows, Solver, hessian, proxy_loss
from hwq.ptq.weights.trits import Trits, ptqtp, two_planes

__all__ = [
    "CROSS",
    "HESSIAN",
    "SOLVERS",
    "Answer",
    "Fixed",
    "Grid",
    "Points",
    "Rows",
    "Solver",
    "Trits",
    "Weights",
    "decoupleq",
    "gpfq",
    "gptq",
    "gptq_ordered",
    "hessian",
    "ldlq",
    "proxy_loss",
    "ptqtp",
    "rescaled",
    "rtn",
    "two_planes",
]

SOLVERS: dict[str, Solver] = {
    "decoupleq": Solver(decoupleq, frozenset({HESSIAN})),
    "gpfq": Solver(gpfq, frozenset({HESSIAN, CROSS})),
    "gptq": Solver(gptq, frozenset({HESSIAN})),
    "gptq-ordered": Solver(gptq_ordered, frozenset({HESSIAN})),
    "ldlq": Solver(ldlq, frozenset({HESSIAN})),
    "ptqtp": Solver(ptqtp),
    "rtn": Solver(rtn),
}

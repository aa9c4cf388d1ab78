"""Scales: which real step one unit of a format stands for. Blind to what the format is.

One number is chosen for each row, its scale: formats are signed or unsigned and have no zero point, so that searches
over both ends of a range (as published for asymmetric integers) have one dimension here.
"""

from hwq.ptq.scales.beam import beam, fpcs
from hwq.ptq.scales.clipping import dual_clip
from hwq.ptq.scales.grid import least_squares, pnorm
from hwq.ptq.scales.histogram import divergence
from hwq.ptq.scales.ranges import check_finite, ema, minmax, percentile
from hwq.ptq.scales.search import Calibrator, Error, Score, moments, power, products, score, search, squared_error

__all__ = [
    "CALIBRATORS",
    "Calibrator",
    "Error",
    "Score",
    "beam",
    "check_finite",
    "divergence",
    "dual_clip",
    "ema",
    "fpcs",
    "least_squares",
    "minmax",
    "moments",
    "percentile",
    "pnorm",
    "power",
    "products",
    "score",
    "search",
    "squared_error",
]

CALIBRATORS: dict[str, Calibrator] = {
    "ema": ema,
    "fpcs": fpcs,
    "kl": divergence,
    "minmax": minmax,
    "mse": least_squares,
    "percentile": percentile,
    "pnorm": pnorm,
}

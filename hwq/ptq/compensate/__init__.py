"""Compensation: what is changed beside the codes so that a layer's products come nearer to the float ones."""

from hwq.ptq.compensate.bias import empirical, mean_error, retuned
from hwq.ptq.compensate.lowrank import Branch, lorc, svd_branch
from hwq.ptq.compensate.refit import refit

__all__ = ["Branch", "empirical", "lorc", "mean_error", "refit", "retuned", "svd_branch"]

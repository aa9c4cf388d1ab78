"""Compensation: what is changed beside the codes so that a layer's products come nearer to the float ones."""

from hwq.ptq.compensate.bias import empirical, retuned
from hwq.ptq.compensate.lowrank import Branch, lorc, svd_branch
from hwq.ptq.compensate.refit import refit

__all__ = ["Branch", "empirical", "lorc", "refit", "retuned", "svd_branch"]

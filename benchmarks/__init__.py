"""Speed, as ratios measured in one run: `make bench`, or `python -m benchmarks NAME` for one file of this folder.

Each file has a function `measure()` that yields `Line`s. A ratio compares two things timed in turns in the same
process, so that it means the same on a fast and on a slow computer; a line with a limit fails the run where it is
exceeded.
"""

"""What the priced features and the pieces of a design are called by those who build hardware.

A feature that has no words here keeps its own name: a new price is shown before anyone describes it.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["feature_words", "piece_words"]

_PIECES: Mapping[str, str] = {
    "pe": "processing element",
    "pe_first": "processing element of the first row",
    "decode_a": "decoder of a",
    "decode_w": "decoder of w",
    "epilogue": "output path",
    "pe_foot": "sum of a column's banks",
    "edge": "operands' edges",
    "noise": "seeds of the rounding",
    "read_out": "read-out of results",
    "control": "control",
    "parameters": "parameters",
    "ahead": "marks of tiles on their way",
    "merged": "registers found twice",
    "shared": "joined enables, once an array",
    "signs": "registers of equal signs",
    "inside": "registers inside blocks",
    "indices": "indices of banks",
}

_ADDERS, _DIGITS, _MUXES, _TABLES = "adders", "Booth digits", "multiplexers", "tables"
_LIMITS, _GATES, _CONTROL = "comparisons and limits", "gates", "control logic"

# stem of a feature: (the group that it belongs to, what it counts); `{}` is what follows the stem's colon
_FEATURES: Mapping[str, tuple[str, str]] = {
    "row": (_ADDERS, "places of carry chains"),
    "carry": (_ADDERS, "carry cells, two places each"),
    "alone": (_ADDERS, "carry-ins of chains that start from nothing"),
    "narrow": (_ADDERS, "places of sums too short for a chain"),
    "adder": (_ADDERS, "places that add two numbers"),
    "increment": (_ADDERS, "places that add to a constant"),
    "prefix": (_ADDERS, "carry look-ahead, {} chains"),
    "ahead": (_ADDERS, "look-ahead of increments, {} chains"),
    "digit": (_DIGITS, "tables"),
    "unit digit": (_DIGITS, "bits of digits from -1 to 1"),
    "recoder": (_DIGITS, "recoders"),
    "window": (_MUXES, "bits of a shifter wider than what is read, legs live: {}"),
    "table": (_TABLES, "columns that depend on {} bits"),
    "held": (_CONTROL, "bits that clear a sum, by a multiplexer"),
    "gated": (_CONTROL, "bits that clear a sum, in its chain"),
    "blank": (_LIMITS, "bits that a flag clears on their way out"),
    "saturate": (_LIMITS, "bits of saturation"),
    "clamp": (_LIMITS, "bits of clamps"),
    "less": (_LIMITS, "bits of less-than"),
    "equal": (_LIMITS, "bits of equality"),
    "logic": (_GATES, "two-input gates"),
    "and": (_GATES, "AND"),
    "or": (_GATES, "OR"),
    "xor": (_GATES, "XOR"),
    "flag": ("flags", "tables of special numbers"),
    "enable": (_CONTROL, "enables"),
    "joined": (_CONTROL, "enables joined with resets"),
    "control": (_CONTROL, "state machine ({})"),
    "count": (_CONTROL, "bits of counters"),
    "column": (_CONTROL, "waiting bits of columns"),
    "turn": (_CONTROL, "bits of columns' turn counters"),
    "gate": ("operand gates", "bits held at zero outside a run"),
    "valid": ("operand gates", "bits held at zero where none is valid"),
    "alike": (_ADDERS, "places of a second row whose two bits are signs"),
    "lane": ("operand gates", "lanes held at zero outside a run"),
    "shift": ("shift registers", "tables that shift"),
    "read": ("read-out", "bits of multiplexers over rows"),
    "bank": ("banks", "tables of memories"),
    "ff": ("flip-flops", "flip-flops"),
    "dsp": ("multiplier blocks", "multiplier blocks"),
}

# what counts as another thing among standard cells
_CELLS: Mapping[str, tuple[str, str]] = {
    "carry": (_ADDERS, "places above the shorter number"),
    "digit": (_DIGITS, "bits of digits from -2 to 2"),
}

_TAKERS = {"row": ", before an adder", "taken": ", inside an adder", "reg": "", "": ""}


def piece_words(name: str) -> str:
    """What a piece of a design is, from its name in `Cost.breakdown`."""
    return _PIECES.get(name, name)


def feature_words(name: str, cells: bool = False) -> tuple[str, str]:
    """(the group of a feature, what it counts), on an FPGA or among standard `cells`."""
    stem, _, rest = name.partition(":")
    if stem.startswith("mux") and stem[3:].isdigit():
        live, _, taker = rest.partition(":")
        legs = f", {live} leg{'s' * (live != '1')} live" if live != stem[3:] else ""
        return _MUXES, f"bits of {stem[3:]}:1{legs}{_TAKERS.get(taker, f', {taker}')}"
    group, words = (_CELLS if cells and stem in _CELLS else _FEATURES).get(stem, (name, name))
    return group, words.format(rest)

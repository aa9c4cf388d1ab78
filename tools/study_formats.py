"""The sweep of "Shedding the Bits" (arXiv 2311.12359) on this project's networks: minifloats against integers.

    python tools/study_formats.py resnet8 vit_tiny --store study.jsonl --docs docs

Every fp(e,m) and int(n) of 3 to 8 bits: the same format for weights and activations, and as weights beside int8 and
fp(4,3) activations. First and last layer stay int8*int8. Each point is scored by the hardware's own arithmetic and
costs the LUT of a multiply-accumulate of a 16x16 array on xc7. Points that the store has are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hwq import estimate, ptq, zoo
from hwq.errors import HwqError

BITS = range(3, 9)
SIDE = 16
EDGE = "int8*int8 @16x16"
RECIPE = "equalize+smooth+gptq+refit+bc"


def formats(bits: int) -> Iterator[str]:
    """Every format of so many bits: the integer, and each split of a minifloat."""
    yield f"int({bits})"
    for exponent in range(1, bits):
        yield f"fp({exponent},{bits - 1 - exponent})"


def points() -> Iterator[tuple[str, str]]:
    """(activation, weight) of the sweep."""
    every = [fmt for bits in BITS for fmt in formats(bits)]
    yield from ((fmt, fmt) for fmt in every)
    for activation in ("int(8)", "fp(4,3)"):
        yield from ((activation, fmt) for fmt in every if fmt != activation)


def assignment(model: str, activation: str, weight: str) -> dict[str, str]:
    """Datapaths of all roles; sums of a transformer's residual stream have 16 bits."""
    body = f"{activation}*{weight} @{SIDE}x{SIDE}"
    found = {"first": EDGE, "body": body, "last": EDGE}
    wide = {"add": "int16*int8", "avgpool": "int16*int8", "matmul": f"{activation}*{activation} @{SIDE}x{SIDE}"}
    return found | (wide if model == "vit_tiny" else {"add": "int8*int8"})


def point(model: zoo.Model, engine: ptq.Quantizer, pair: tuple[str, str], recipe: str, images: int) -> dict[str, Any]:
    """Accuracy and LUT of one point."""
    made = engine.quantize(assignment(model.name, *pair), recipe)
    inputs, targets = model.test(images)
    score = model.task.score(made.outputs(inputs), targets)
    body = made.assignment["body"]
    lut = estimate(body, "xc7").figures["lut"].value / SIDE**2
    return {"pair": pair, "body": body, **score.json(), "n": score.n, "lut": lut}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--docs", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = options.store.read_text().splitlines() if options.store.is_file() else []
    kept = {(r["model"], *r["pair"]): r for r in map(json.loads, lines)}
    for name in options.models:
        model = zoo.load(name)
        engine = ptq.quantizer(model, 256)
        for pair in points():
            if (name, *pair) in kept:
                continue
            try:
                found = {"model": name, **point(model, engine, pair, options.recipe, options.images)}
            except HwqError as error:
                found = {"model": name, "pair": pair, "error": str(error)}
            kept[name, *pair] = found
            with options.store.open("a") as file:
                file.write(json.dumps(found) + "\n")
            print(found, flush=True)
    if options.docs:
        write(options.models, list(kept.values()), options.docs)


def write(models: list[str], records: list[dict[str, Any]], docs: Path) -> None:
    """A picture of each model, and the table of its Pareto-optimal points."""
    from matplotlib import pyplot as plt

    for name in models:
        mine = [r for r in records if r["model"] == name and "error" not in r]
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        for kind, colour, marker in (("int", "tab:blue", "s"), ("fp", "tab:orange", "o")):
            some = [r for r in mine if r["pair"][1].startswith(kind)]
            axes.scatter(
                [r["lut"] for r in some],
                [100 * r["value"] for r in some],
                c=colour,
                marker=marker,
                label=f"{kind} weights",
            )
        best = front(mine)
        axes.step([r["lut"] for r in best], [100 * r["value"] for r in best], where="post", c="black", lw=0.8)
        for r in best:
            axes.annotate(
                "*".join(r["pair"]),
                (r["lut"], 100 * r["value"]),
                fontsize=7,
                xytext=(3, -9),
                textcoords="offset points",
            )
        axes.set(
            xlabel="LUT of a multiply-accumulate (xc7, estimated)",
            ylabel=f"{name}: top-1 of {mine[0]['n']:,} images, %",
        )
        axes.legend()
        figure.savefig(docs / "images" / f"formats-{name}.png", dpi=120)


def front(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points that no other beats in both, from the cheapest."""
    best: list[dict[str, Any]] = []
    for record in sorted(records, key=lambda r: (r["lut"], -r["value"])):
        if not best or record["value"] > best[-1]["value"]:
            best.append(record)
    return best


if __name__ == "__main__":
    main()

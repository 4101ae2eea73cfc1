"""Draw the pictures of docs/smallest.md: the bits of every weight, and fronts beside a peer's.

    python scripts/draw_smallest.py bits hls_projects/digits/run
    python scripts/draw_smallest.py fronts --points ours.json --peer hgq2_points.json

The bits are those of a run with learned widths; our points are what `scripts/bench_frontier.py --output` writes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from codesign.comparison.run_charts import COLOURS
from codesign.core.files import write_with
from codesign.core.precision_map import PrecisionMap
from codesign.networks.description import Network

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
_MOST = 5
"""Bits of a colour of their own; more share the last."""


def main() -> int:
    """Draw one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=IMAGES)
    commands = parser.add_subparsers(dest="command", required=True)
    bits = commands.add_parser("bits")
    bits.add_argument("run", type=Path)
    fronts = commands.add_parser("fronts")
    fronts.add_argument("--points", type=Path, required=True)
    fronts.add_argument("--peer", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "bits":
        figure = bits_figure(arguments.run / "quantization")
    else:
        figure = fronts_figure(*(json.loads(path.read_text()) for path in (arguments.points, arguments.peer)))
    path = arguments.output / f"smallest-{arguments.command}.png"
    print(write_with(path, lambda temporary: figure.savefig(temporary, dpi=100)))
    return 0


def bits_figure(folder: Path) -> Figure:
    """Each layer's weights as pixels: the bits from the highest to the lowest that is set, none for zero."""
    network = Network.load(folder / "network.npz")
    precision = PrecisionMap.load(folder / "precision_map.json")
    layers = network.weight_layers
    images = []
    for layer in layers:
        kernel = layer.weights["kernel"]
        codes = np.abs(precision[layer.name].weight.to_integers(kernel)).reshape(-1, kernel.shape[-1])
        odd = codes // np.maximum(codes & -codes, 1)
        images.append(np.where(codes == 0, 0, np.floor(np.log2(np.maximum(odd, 1))).astype(int) + 1))
    # layer after layer on its side, so that wide ones fit the page
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    rows = figure.subplots(len(images), 1, height_ratios=[max(image.shape[1], 12) for image in images])
    shades = ListedColormap(["#f4f4f4", "#4c9f70", "#2f6db5", "#e08e29", "#c4342b", "#5b2a86"])
    for axes, layer, image in zip(np.atleast_1d(rows), layers, images, strict=True):
        shown = axes.imshow(
            np.minimum(image, _MOST).T, cmap=shades, vmin=-0.5, vmax=_MOST + 0.5, aspect="auto"
        )
        live = image[image > 0]
        axes.set_title(
            f"{layer.name}: {live.size / image.size:.0%} of {image.size:,} weights are left, of {live.mean():.1f} bits",
            fontsize=9,
        )
        axes.set_xlabel("input" if layer is layers[-1] else "")
        axes.set_ylabel("unit", fontsize=8)
        axes.tick_params(labelsize=7)
    bar = figure.colorbar(shown, ax=rows, ticks=range(_MOST + 1), label="bits of a weight", shrink=0.6)
    bar.ax.set_yticklabels(["none", *map(str, range(1, _MOST)), f"{_MOST} or more"])
    return figure


def fronts_figure(points: list[dict], peer: list[dict]) -> Figure:
    """Test accuracy against LUTs of the points of the first split that no cheaper one beats on validation, a panel a data set."""
    names = list(dict.fromkeys(point["data"] for point in points))
    figure = Figure(figsize=(4.2 * len(names), 3.4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        seed = min(point["seed"] for point in points if point["data"] == name)
        ours, theirs = (
            [point for point in some if (point["data"], point["seed"]) == (name, seed)]
            for some in (points, peer)
        )
        for number, (label, found) in enumerate(
            (
                (f"learned widths, {max(p['steps'] for p in ours):,} steps", ours),
                (f"HGQ2, up to {max(p['steps'] for p in theirs):,} steps", theirs),
            )
        ):
            front: list[dict] = []
            for point in sorted(found, key=lambda point: (point["luts"], -point["validation"])):
                if not front or point["validation"] > front[-1]["validation"]:
                    front.append(point)
            axes.plot(
                [p["luts"] for p in front],
                [p["test"] for p in front],
                "o-",
                color=COLOURS[number],
                markersize=3,
                lw=1,
                label=label,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(name)
        axes.set_xlabel("LUTs, estimated by alkaid")
        axes.set_ylabel("test accuracy")
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    sys.exit(main())

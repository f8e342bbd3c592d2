"""Draws how two-stream classifiers train: docs/i3d_pose.png and docs/i3d_flow.png.

python docs/draw_schemas.py
"""

import itertools
import pathlib

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

TRAINED, CHOICE, FIXED = "#f6c08d", "#a9cbe8", "#e4e4e4"
LEGEND = {
    TRAINED: "always trains",
    CHOICE: "trains or stays frozen, by its flag",
    FIXED: "computed, nothing to train",
}
STEM = [("Conv3d_1a\n7x7x7, /2", CHOICE), ("Conv3d_2b, 2c\npools", CHOICE)]
TRUNK = [("Mixed\n3b, 3c", CHOICE), ("Mixed\n4b - 4f", CHOICE), ("Mixed\n5b, 5c", CHOICE)]
HEAD = [
    ("concatenate", FIXED),
    ("3-D convolution\nbatch norm, ReLU", TRAINED),
    ("mean over\ntime and space", FIXED),
    ("dropout\nlinear", TRAINED),
]
RGB = ("config.streams.rgb", "RGB clip\nT x 224 x 224 x 3", STEM)
OTHER = {
    "pose": (
        "config.streams.pose",
        "OpenPose maps\nT x 28 x 28 x C",
        [("Adapter\n3x3x3, time /2", CHOICE)],
    ),
    "flow": ("config.streams.flow", "optical flow\nT x 224 x 224 x 2", STEM),
}
SOURCES = {
    "pose": ("OpenPose network\nor keypoint files", CHOICE),
    "flow": ("from file, or DIS,\nFarneback, TV-L1", FIXED),
}
WIDTH, HEIGHT, STEP = 1.55, 0.8, 1.95


def draw(kind):
    """The Figure of the streams rgb and `kind`."""
    figure = Figure((17.5, 3.9))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.2, 21.3), ylim=(0.1, 4.8))
    axes.axis("off")

    def box(column, row, text, colour):
        corner = (column * STEP, row)
        style = "round,pad=0.02,rounding_size=0.08"
        axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, style, fc=colour, ec="#444444"))
        middle = (corner[0] + WIDTH / 2, row + HEIGHT / 2)
        axes.text(*middle, text, ha="center", va="center", fontsize=9)
        return corner

    def arrow(start, end):
        axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12))

    for row, (flag, clip, entry) in ((3.1, RGB), (0.9, OTHER[kind])):
        boxes = [(clip, FIXED), *entry, *TRUNK]
        if row < 2:
            boxes.insert(0, SOURCES[kind])
        first = 0 if row < 2 else 1
        columns = [*range(first, first + len(boxes) - len(TRUNK)), 4, 5, 6]
        for a, (text, colour) in zip(columns, boxes, strict=True):
            box(a, row, text, colour)
        for a, b in itertools.pairwise(columns):
            arrow((a * STEP + WIDTH, row + HEIGHT / 2), (b * STEP, row + HEIGHT / 2))
        axes.text(4 * STEP, row + HEIGHT + 0.15, f"{flag}.train", fontsize=10, weight="bold")
        arrow((6 * STEP + WIDTH, row + HEIGHT / 2), (7 * STEP, 2.0 + HEIGHT / 2))
    for k, (text, colour) in enumerate(HEAD):
        box(7 + k, 2.0, text, colour)
        if k:
            arrow(((6 + k) * STEP + WIDTH, 2.4), ((7 + k) * STEP, 2.4))
    axes.text(7 * STEP, 2.0 + HEIGHT + 0.15, "head", fontsize=10, weight="bold")
    end = 10 * STEP + WIDTH
    axes.text(end - WIDTH / 2, 1.65, "the dance", ha="center", fontsize=10, style="italic")
    handles = [Patch(fc=colour, ec="#444444", label=text) for colour, text in LEGEND.items()]
    axes.legend(handles=handles, loc="lower right", ncols=3, frameon=False, fontsize=10)
    title = {"pose": "RGB and pose", "flow": "RGB and optical flow"}[kind]
    axes.text(0, 4.35, f"Two-stream I3D on {title}", fontsize=13, weight="bold")
    return figure


if __name__ == "__main__":
    for kind in OTHER:
        path = pathlib.Path(__file__).with_name(f"i3d_{kind}.png")
        draw(kind).savefig(path, dpi=90)
        print(path)

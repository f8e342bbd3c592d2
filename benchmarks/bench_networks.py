"""Training steps and forward passes of the networks, beside compiled PyTorch, each in a process of
its own.

    python benchmarks/bench_networks.py [--rounds 7] [--only older,i3d]
"""

import importlib.util
import sys

from harness import Child, Row, compare, run_figure
from networks import title

SHAPES = {
    "older": (368, 368, 3),
    "newer": (368, 368, 3),
    "demo": (128, 128, 3),
    "i3d": (16, 224, 224, 3),
}
# Work, and how many pictures or clips.
WORK = (
    ("step", {"older": 2, "newer": 2, "demo": 8, "i3d": 1}),
    ("forward", dict.fromkeys(SHAPES, 1)),
    ("forward", dict.fromkeys(SHAPES, 8)),
)


def child(maker: str, *arguments) -> Child:
    """A contestant of networks.py."""
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
import networks
run = networks.{maker}{arguments!r}
"""
    return Child(sys.executable, code)


def measure(rounds: int, only: str = "") -> list[Row]:
    """A row for each network and work."""
    if importlib.util.find_spec("torch") is None:
        sys.exit("no peer: install torch (make parity)")
    rows, chosen = [], only.split(",") if only else SHAPES
    for work, batches in WORK:
        for network in chosen:
            shape = batches[network], *SHAPES[network]
            ours, peer = (child(f"make_{who}", network, work, shape) for who in ("ours", "torch"))
            peers = {"torch compiled": peer}
            rows += compare(title(work, network, shape), ours, peers, rounds)
            ours.close()
            peer.close()
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__, only="networks, with commas between")

"""Training steps and forward passes of the networks, beside compiled PyTorch, each in a process of
its own.

    python benchmarks/bench_networks.py [--rounds 7] [--only older,i3d]
"""

import importlib.util
import sys

from harness import Child, compare, run_figure
from networks import SHAPES

WORK = {"step": {"demo": 8, "i3d": 1, "newer": 2, "older": 2}, "forward": dict.fromkeys(SHAPES, 1)}
TITLES = {
    "older": "the older OpenPose",
    "newer": "the newer OpenPose",
    "demo": "the demo's OpenPose",
    "i3d": "I3D",
}


def child(maker: str, *arguments) -> Child:
    """A contestant of networks.py."""
    code = f"""
import sys
sys.path[:0] = {[*sys.path]!r}
import networks
run = networks.{maker}{arguments!r}
"""
    return Child(sys.executable, code)


def measure(rounds: int) -> list:
    """A row for each network and work; large ones with fewer rounds."""
    if importlib.util.find_spec("torch") is None:
        sys.exit("no peer: install torch (make parity)")
    rows = []
    for work, batches in (*WORK.items(), ("forward", dict.fromkeys(SHAPES, 8))):
        for network, batch in batches.items():
            side = "x".join(map(str, SHAPES[network][:-1]))
            title = f"{work} of {TITLES[network]}, {batch} of {side}"
            ours, peer = (
                child("make_ours", network, work, batch),
                child("make_torch", network, work, batch),
            )
            rows += compare(title, ours, {"torch compiled": peer}, rounds)
            ours.close()
            peer.close()
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__)

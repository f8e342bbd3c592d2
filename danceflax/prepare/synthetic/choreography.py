"""What distinguishes the dances: how fast each channel of movement turns, and nothing else.

A dancer moves through independent channels (steps, hips, bounce, ...). A channel's contribution to
the pose is a smooth function of its phase. The phases of a clip start uniformly at random and
advance at constant speed, so at every moment they are uniform and independent whatever the dance:
a single frame says nothing about it. The amplitudes come from the same distributions for all.
"""

import numpy as np
from jaxtyping import Float

CHANNELS = "steps hips bounce left_arm right_arm twist head turn travel".split()

# Cycles per second of each channel, in the order of CHANNELS. Two dances differ in three channels
# or more, by a factor of 1.5 or by rest against movement, far more than the tempo varies, and do so
# in a mirror too. No channel reaches 2 Hz: 12 frames a second show them all without aliasing.
TEMPI = {
    #            steps hips bounce l_arm r_arm twist head   turn travel
    "waltz":     (0.8, 0.0, 0.8,   0.0,  0.0,  0.0,  0.0,  0.35,  0.35),
    "rumba":     (0.4, 0.9, 0.0,   0.45, 0.45, 0.0,  0.4,   0.0,   0.0),
    "tango":     (0.9, 0.0, 0.0,   0.0,  0.0,  0.9,  0.9,   0.0, -0.35),
    "cha":       (1.8, 1.8, 0.0,   0.9,  0.9,  0.0,  0.0,   0.0,   0.0),
    "samba":     (0.9, 0.9, 1.8,   0.45, 0.0,  0.9,  0.0,   0.0,   0.0),
    "jive":      (1.8, 0.0, 1.8,   1.8,  1.8,  0.0,  0.9,   0.0,   0.0),
    "quickstep": (1.8, 0.0, 0.9,   0.0,  0.0,  0.0,  0.0,   0.0,   0.7),
    "swing":     (0.9, 0.0, 0.9,   0.9,  0.9,  0.45, 0.0,   0.6,   0.0),
}  # fmt: skip
DANCES = tuple(TEMPI)
TEMPO_SPREAD = 0.08

# Range of each amplitude and habit of a dancer, drawn uniformly: metres for a person of one metre,
# radians, or a share of a cycle (lag).
STYLE = {
    "stride": (0.05, 0.10), "stride_angle": (-0.7, 0.7), "lift": (0.05, 0.11),
    "stance": (0.005, 0.04), "turnout": (0.1, 0.5),
    "sway": (0.025, 0.05), "hip_roll": (0.10, 0.22), "side_lean": (0.05, 0.14),
    "bounce": (0.05, 0.09), "lean": (-0.03, 0.12),
    "left_raise": (0.6, 1.0), "left_mid": (1.1, 1.8), "left_side": (0.1, 0.9),
    "left_sweep": (0.15, 0.4), "left_bend": (0.6, 1.4), "left_flex": (0.2, 0.55),
    "left_lag": (0.0, 1.0),
    "right_raise": (0.6, 1.0), "right_mid": (1.1, 1.8), "right_side": (0.1, 0.9),
    "right_sweep": (0.15, 0.4), "right_bend": (0.6, 1.4), "right_flex": (0.2, 0.55),
    "right_lag": (0.0, 1.0),
    "turn": (0.5, 1.3), "twist": (0.4, 0.75), "head_turn": (0.4, 0.8), "nod": (0.05, 0.15),
    "travel": (0.12, 0.22),
}  # fmt: skip


def sample_style(rng: np.random.Generator, people: int) -> dict[str, Float[np.ndarray, "P 1"]]:
    """Draws the dancers' amplitudes; they broadcast against time."""
    return {name: rng.uniform(low, high, (people, 1)) for name, (low, high) in STYLE.items()}


def sample_phases(
    rng: np.random.Generator, dance: str, people: int, frames: int, fps: float
) -> dict[str, Float[np.ndarray, "P T"]]:
    """Draws where the dancers of a clip begin and lets them dance.

    Returns each channel's phases in radians. The draws do not depend on the
    dance: with equal generators, two dances share their first frame.
    """
    start = rng.uniform(0, 2 * np.pi, (people, len(CHANNELS), 1))
    tempo = rng.uniform(1 - TEMPO_SPREAD, 1 + TEMPO_SPREAD)
    speed = 2 * np.pi * tempo * np.array(TEMPI[dance])[:, None]
    phases = start + speed * np.arange(frames) / fps
    return {name: phases[:, k] for k, name in enumerate(CHANNELS)}

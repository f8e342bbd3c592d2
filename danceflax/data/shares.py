"""Clips shared out: dances in proportion, no group in two shares."""

import collections
from collections.abc import Sequence

import numpy as np

from danceflax.data.clip_table import ClipNote, group_of
from danceflax.data.splits import Clip
from danceflax.errors import UserError

FRACTIONS = (0.8, 0.1, 0.1)  # of train, val and test


def assign_clips(
    clips: Sequence[Clip],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    table: dict[str, ClipNote] | None = None,
) -> list[list[Clip]]:
    """Shares clips out to splits.

    Groups are placed one after the other, those with most clips first, where the distance to the
    wanted numbers of clips grows least; then single groups are moved while that brings it down. The
    distance is the sum of squares over dances and splits.

    Args:
      clips: of all splits.
      fractions: of each split; they add up to 1.
      seed: which of the equally good divisions it is.
      table: of `read_clip_table` or `read_groups`: what stays together.

    Returns:
      The clips of each split, in the order given.

    Raises:
      UserError: the fractions are not that.
    """
    fractions = np.array(fractions, float)
    if (fractions < 0).any() or abs(fractions.sum() - 1) > 1e-6:
        raise UserError(f"fractions {fractions.tolist()}: expected numbers >= 0 that add up to 1")
    groups = collections.defaultdict(list)
    for number, clip in enumerate(clips):
        groups[group_of(clip, table)].append(number)
    dances = sorted({clip.dance for clip in clips})
    order = np.random.default_rng(seed).permutation(len(groups))
    members = [numbers for _, numbers in sorted(groups.items())]
    members = sorted((members[i] for i in order), key=len, reverse=True)
    sizes = np.zeros((len(members), len(dances)))  # clips of each dance in each group
    for g, numbers in enumerate(members):
        for number in numbers:
            sizes[g, dances.index(clips[number].dance)] += 1

    # A last column for all dances together, too light to matter but between equals.
    sizes = np.column_stack([sizes, 0.05 * sizes.sum(1)])
    # missing[s, d]: clips of dance d that split s still lacks, negative beyond what it should have.
    missing = fractions[:, None] * sizes.sum(0)
    chosen = np.zeros(len(members), int)
    for g, size in enumerate(sizes):
        chosen[g] = np.argmin(_growth(missing, size))
        missing[chosen[g]] -= size
    moved = True
    while moved:
        moved = False
        for g, size in enumerate(sizes):
            missing[chosen[g]] += size
            growth = _growth(missing, size)
            best = np.argmin(growth)
            if growth[best] < growth[chosen[g]] - 1e-9:
                chosen[g], moved = best, True
            missing[chosen[g]] -= size

    split_of = {number: chosen[g] for g, numbers in enumerate(members) for number in numbers}
    return [
        [clip for number, clip in enumerate(clips) if split_of[number] == s]
        for s in range(len(fractions))
    ]


def _growth(missing, size):
    """[S]: by how much the sum of squares grows if a group with those clips goes to each split."""
    return ((missing - size) ** 2 - missing**2).sum(1)

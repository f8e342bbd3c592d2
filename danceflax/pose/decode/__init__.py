"""From maps to people: peaks, limbs, assembly; one jitted function, batched, with static shapes.

decode = make_decoder(skeleton)
people, scores = decode(heatmaps, pafs)
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.pose.decode.assembly import collect_people, join_limbs
from danceflax.pose.decode.interpolation import cubic_weights, linear_weights
from danceflax.pose.decode.limbs import match_greedily, score_limbs
from danceflax.pose.decode.loops import can_mark
from danceflax.pose.decode.one_by_one import decode_one_by_one
from danceflax.pose.decode.peaks import find_peaks_on_grid, find_peaks_upsampled, limit_peaks
from danceflax.pose.grid import to_pixels
from danceflax.skeleton import FOOT_JOINTS, Skeleton

# What each rule's authors use where no value is given. "global": OpenPose (its GPU connector).
# "tree": the authors' Python code of 2017, and its PyTorch port.
PUBLISHED = {
    "global": dict(peak_threshold=0.05, paf_threshold=0.05, paf_ratio=0.95, min_joints=3),
    "tree": dict(peak_threshold=0.1, paf_threshold=0.05, paf_ratio=0.8, min_joints=4),
}


def make_decoder(
    skeleton: Skeleton,
    *,
    rule: str = "global",
    refine: str = "grid",
    stride: int = 8,
    max_people: int = 20,
    max_peaks: int = 32,
    peak_threshold: float | None = None,
    paf_threshold: float | None = None,
    paf_ratio: float | None = None,
    min_joints: int | None = None,
    min_score: float = 0.4,
    samples: int = 10,
) -> Callable:
    """Makes the function that turns maps into people.

    Rules (reference: OpenPose, bodyPartConnectorBase.cpp; Cao et al., CVPR 2017, section 2.4):
      "global": the limbs of all kinds, sorted by PAF + 0.1 (first + second peak), join people one
        by one; a limb whose ends already belong to two people with a joint in common is dropped.
        The L * max_peaks best candidates are looked at. A limb shorter than a cell ("grid") or a
        150th of the image ("upsample") needs no field: its score is then peak_threshold.
      "tree": limb by limb in `skeleton.assembly` order; within a limb peaks are matched one to one,
        best first; a limb longer than half the image's height is marked down; the skeleton's
        redundant limbs only add lone peaks.

    Refinements:
      "grid": peaks and limbs are read on the grid; a Gaussian fitted to three cells an axis gives
        the place within a cell. Exact for Gaussian peaks (sigma 7 pixels, maximum over people) at
        least 3.2 cells apart; from 2.9 cells each is still found, to half a cell an axis; nearer
        ones may merge.
      "upsample": as published, on maps upsampled to the input's size. Tens of times slower, right
        to a pixel, and to half a cell within 12 pixels of the border.

    A person's score is (sum of joint scores + sum of limb scores) / (J + L), as in OpenPose: at
    most about 1, and higher for fuller people.

    Args:
      skeleton: of the maps.
      rule: "global" or "tree".
      refine: "grid" or "upsample".
      stride: input pixels a map cell.
      max_people: P, people returned; the best are kept.
      max_peaks: K, the most peaks a joint; the highest are kept.
      peak_threshold: a peak must exceed it. Published: global 0.05, tree 0.1.
      paf_threshold: a point on a limb supports it above this. Published: 0.05.
      paf_ratio: a limb needs more than this share of supporting points. Published: global 0.95,
        tree 0.8.
      min_joints: people with fewer are dropped; foot joints do not count, as in OpenPose (the same
        foot often fires as left and right). Published: global 3, tree 4.
      min_score: people whose joint and limb scores sum to less than this a counted joint are
        dropped. Published: 0.4.
      samples: points on each limb.

    Returns:
      decode(heatmaps, pafs) -> people (x, y, score) in input pixels, (0, 0, 0) for an absent joint,
      and their scores, best first, 0 for no person. h and w at least 3. Jitted; works inside
      another jit, where the maps may be constants but nothing computed from constants alone, and
      under vmap.

    Raises:
      UserError: an unknown rule or refinement.
    """
    options = fill_options(
        dict(
            rule=rule,
            peak_threshold=peak_threshold,
            paf_threshold=paf_threshold,
            paf_ratio=paf_ratio,
            min_joints=min_joints,
        )
    )
    if refine not in ("grid", "upsample"):
        raise UserError(f"decoding refinement {refine!r} is not known; choose grid or upsample")
    limbs = np.array(skeleton.limbs)
    counted = np.array([name not in FOOT_JOINTS for name in skeleton.joints])
    rank = np.argsort(skeleton.assembly)  # limb -> its place in the assembly order

    def find_people(
        heatmaps: Float[Array, "B h w C"], pafs: Float[Array, "B h w D"], one_by_one: bool
    ) -> tuple[Float[Array, "B P J 3"], Float[Array, "B P"]]:
        _check_shapes(heatmaps, pafs, skeleton)
        maps = heatmaps.astype(jnp.float32), pafs.astype(jnp.float32)
        if not (one_by_one and rule == "global" and refine == "grid"):
            return find_people_at_once(*maps, one_by_one)
        return lax.platform_dependent(*maps, cpu=find_people_on_cpu, default=find_people_at_once)

    def find_people_on_cpu(heatmaps, pafs):
        return decode_one_by_one(
            heatmaps,
            pafs,
            limbs,
            counted,
            stride=stride,
            max_people=max_people,
            max_peaks=limit_peaks(max_peaks, *heatmaps.shape[1:3]),
            min_score=min_score,
            samples=samples,
            **{key: options[key] for key in PUBLISHED[rule]},
        )

    def find_people_at_once(heatmaps, pafs, one_by_one=False):
        height, width = heatmaps.shape[1:3]
        of_joints = heatmaps, skeleton.num_joints, options["peak_threshold"], max_peaks
        if refine == "grid":
            xy, score = find_peaks_on_grid(*of_joints, one_by_one)
        else:
            xy, score = find_peaks_upsampled(*of_joints, stride, one_by_one)

        def rate(every, passing, supports, length):
            good = supports > options["paf_ratio"] * samples
            if rule == "global":
                # Joints that nearly coincide have no field between them, yet may be a limb: the
                # weakest. "Near" is published for upsampled maps; on the grid it is one cell.
                near = length < (1.0 if refine == "grid" else np.sqrt(height * width) / 150)
                mean = passing / jnp.maximum(supports, 1.0)
                return jnp.where(good, mean, jnp.where(near, options["peak_threshold"], -jnp.inf))
            mean = every / samples + jnp.minimum(0.5 * height / jnp.maximum(length, 1e-6) - 1, 0.0)
            return jnp.where(good & (mean > 0), mean, -jnp.inf)

        limb_score = score_limbs(
            pafs,
            xy,
            (score > 0).sum(-1),
            limbs,
            samples,
            options["paf_threshold"],
            linear_weights if refine == "grid" else cubic_weights,
            rate,
        )
        if rule == "global":
            first, second = score[:, limbs[:, 0], :, None], score[:, limbs[:, 1], None, :]
            order, fill_only = limb_score + 0.1 * (first + second), None
        else:
            limb_score = match_greedily(limb_score)
            order = jnp.broadcast_to(-rank[:, None, None].astype(np.float32), limb_score.shape)
            fill_only = skeleton.redundant
        label, held, limb_total = join_limbs(
            limb_score, order, limbs, skeleton.num_joints, fill_only
        )
        return collect_people(
            label,
            held,
            limb_total,
            to_pixels(xy, stride),
            score,
            counted,
            len(limbs),
            max_people,
            options["min_joints"],
            min_score,
        )

    def make(one_by_one):
        @jax.custom_batching.custom_vmap
        def decode(heatmaps, pafs):
            return find_people(heatmaps, pafs, one_by_one)

        @decode.def_vmap
        def decode_batches(size, mapped, *maps):
            """All batches as one."""
            every = zip(maps, mapped, strict=True)
            maps = (x if m else jnp.broadcast_to(x, (size, *x.shape)) for x, m in every)
            found = decode(*(x.reshape(-1, *x.shape[2:]) for x in maps))
            return tuple(x.reshape(size, -1, *x.shape[1:]) for x in found), (True, True)

        return jax.jit(decode)

    fast, general = make(can_mark()), make(False)
    with jax.core.eval_context():
        untraced = get_opaque_trace_state(convention="flax")

    def decode(heatmaps: jax.typing.ArrayLike, pafs: jax.typing.ArrayLike):
        # Constants of a program that is being traced are what `one_function` does not bear.
        own = not all(isinstance(x, jax.core.Tracer) for x in (heatmaps, pafs))
        constants = own and get_opaque_trace_state(convention="flax") != untraced
        return (general if constants else fast)(heatmaps, pafs)

    return decode


def fill_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of `make_decoder`: what is given, else its default, else what the rule's authors
    use. Raises UserError: the rule is not known."""
    parameters = inspect.signature(make_decoder).parameters.values()
    options = {x.name: x.default for x in parameters if x.default is not x.empty} | dict(given)
    if options["rule"] not in PUBLISHED:
        raise UserError(f"decoding rule {options['rule']!r} is not known; choose global or tree")
    published = PUBLISHED[options["rule"]]
    return options | {key: x for key, x in published.items() if options[key] is None}


def _check_shapes(heatmaps, pafs, skeleton):
    channels = (skeleton.num_heatmaps, skeleton.num_pafs)
    if (heatmaps.shape[-1], pafs.shape[-1]) != channels or heatmaps.shape[:-1] != pafs.shape[:-1]:
        raise ValueError(
            f"heatmaps {heatmaps.shape} and pafs {pafs.shape} do not fit skeleton {skeleton.name}, "
            f"which has {channels[0]} and {channels[1]} channels"
        )
    if heatmaps.ndim != 4 or min(heatmaps.shape[1:3]) < 3:
        raise ValueError(f"maps must be [B, h, w, C] with h and w at least 3, not {heatmaps.shape}")

"""Features of keypoint sequences: what a frame shows, and the rhythm of a clip.

Rhythm is what tells dances of the same steps apart, so amplitudes and not phases are kept.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from danceflax.models.sequences.layers import find_bones, find_motion, find_root

PERIOD = 64  # frames of the slowest oscillation
HARMONICS = 11  # of it; what limbs do at 25 frames a second is slower
SPEED = 8.0  # motion of a frame in these parts of a torso is of the size of places
FLOOR = 0.1  # amplitude below which nothing is told apart


def frame_features(
    places: Float[Array, "N T J 2"], seen: Float[Array, "N T J 1"], centre: Sequence[int]
) -> Float[Array, "N T D"]:
    """Places about the body's root, and the motion of these and of the root, frame by frame."""
    root, rooted = find_root(places, seen, centre)
    values = [*_flat((places - root) * seen), *_flat(SPEED * find_motion(root, rooted)[0])]
    motion, _ = find_motion((places - root) * seen, seen * rooted)
    return jnp.concatenate([*values, *_flat(SPEED * motion), *_flat(seen)], -1)


def rhythm_features(
    places: Float[Array, "N T J 2"],
    seen: Float[Array, "N T J 1"],
    parents: Sequence[int],
    centre: Sequence[int],
    ends: Sequence[int],
) -> Float[Array, "N D"]:
    """What the whole clip moves like.

    Log amplitudes of the first `HARMONICS` of `PERIOD` frames, of the places about the root, the
    bones, the root itself and the ends (hands and feet), and of the speeds of these; means and
    spreads of the first two; and how far the ends go along with each joint, by harmonic.
    """
    root, rooted = find_root(places, seen, centre)
    body = (places - root) * seen
    bones = find_bones(places, seen, parents)
    moving, moved = find_motion(body, seen * rooted)
    ends = np.array(ends)
    free = places[:, :, ends], seen[:, :, ends]
    free_moving, free_moved = find_motion(*free)
    found = [
        _amplitudes(body, seen),
        _amplitudes(*bones),
        _amplitudes(SPEED * jnp.abs(moving), moved),
        _amplitudes(root, rooted),
        _amplitudes(*free),
        _amplitudes(SPEED * jnp.abs(free_moving), free_moved),
        *_statistics(body, seen),
        *_statistics(*bones),
        _coherence(body, seen, ends),
    ]
    return jnp.concatenate([x.reshape(places.shape[0], -1) for x in found], -1)


def harmonics(
    values: Float[Array, "N T *d"], known: Float[Array, "N T *k"]
) -> tuple[Float[Array, "N F *d"], Float[Array, "N F *d"]]:
    """Real and imaginary parts of the first harmonics, about the mean, in units of a whole period.

    What is not known counts as the mean, and the rest for more.
    """
    count = jnp.maximum(known.sum(1, keepdims=True), 1.0)
    values = (values - (values * known).sum(1, keepdims=True) / count) * known
    phase = 2 * np.pi / PERIOD * np.outer(np.arange(1, HARMONICS + 1), np.arange(values.shape[1]))
    scale = PERIOD / count
    parts = (jnp.asarray(wave(phase), jnp.float32) for wave in (np.cos, np.sin))
    real, imaginary = (jnp.einsum("ft,nt...->nf...", part, values) * scale for part in parts)
    return real, imaginary


def _amplitudes(values, known):
    real, imaginary = harmonics(values, known)
    return jnp.log(jnp.sqrt(real**2 + imaginary**2 + 1e-6) + FLOOR)


def _statistics(values, known):
    """Mean and spread over the frames."""
    count = jnp.maximum(known.sum(1), 1.0)
    mean = (values * known).sum(1) / count
    variance = (((values - mean[:, None]) * known) ** 2).sum(1) / count
    return mean, jnp.sqrt(variance + 1e-4)


def _coherence(body, seen, ends):
    """In -1..1, and 0 of what hardly moves: how far two joints swing alike."""
    real, imaginary = harmonics(body, seen)
    size = jnp.sqrt(real**2 + imaginary**2 + 1e-6) + 0.5
    real, imaginary = real / size, imaginary / size
    pairs = [real * real[:, :, [end]] + imaginary * imaginary[:, :, [end]] for end in ends.tolist()]
    return jnp.stack(pairs, 1)


def _flat(*arrays):
    return [x.reshape(*x.shape[:2], -1) for x in arrays]

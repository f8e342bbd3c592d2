"""Features of keypoint sequences: what a frame shows, and the rhythm of a clip.

Rhythm is what tells dances of the same steps apart, so amplitudes and not phases are kept: of short
spans, for a step is short, and softly cut, for a rhythm does not begin and end with the span.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from danceflax.models.sequences.layers import find_bones, find_motion, find_root

WINDOWS = 4  # spectra begun within the span of one
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
    span: int,
    count: int,
) -> tuple[Float[Array, "N D"], Float[Array, "N D"]]:
    """(what the whole clip moves like, whether each number is known).

    Of the places and of the bones: mean and spread over the clip, the places about the root; and
    mean and spread of the short-time spectra, the first `count` harmonics of `span` frames.
    """
    root, rooted = find_root(places, seen, centre)
    bones = find_bones(places, seen, parents)
    found = [
        *_statistics((places - root) * seen, seen * rooted),
        *_statistics(*bones),
        *_spectra(places, seen, span, count),
        *_spectra(*bones, span, count),
    ]
    known = [known for _, known in found]
    return _join([values for values, _ in found]), _join(known)


def harmonics(
    values: Float[Array, "N T *d"], known: Float[Array, "N T *k"], count: int
) -> tuple[Float[Array, "N {count} *d"], Float[Array, "N {count} *d"]]:
    """Real and imaginary parts of the first `count` harmonics of the T frames, about the mean,
    under a Hann window.

    What is not known counts as the mean, and the rest for more.
    """
    frames = values.shape[1]
    total = jnp.maximum(known.sum(1, keepdims=True), 1.0)
    values = (values - (values * known).sum(1, keepdims=True) / total) * known * (frames / total)
    phase = 2 * np.pi / frames * np.outer(np.arange(1, count + 1), np.arange(frames))
    window = np.hanning(frames + 2)[1:-1]
    parts = (jnp.asarray(window * wave(phase), jnp.float32) for wave in (np.cos, np.sin))
    real, imaginary = (jnp.einsum("ft,nt...->nf...", part, values) for part in parts)
    return real, imaginary


def _spectra(values, known, span, count):
    """Mean and spread, over windows of `span` frames, of the log amplitudes; windows count by the
    share of their frames that is known. What is shorter than a window is filled with unknowns."""
    rest = ((0, 0), (0, max(0, span - values.shape[1])), (0, 0), (0, 0))
    values, known = jnp.pad(values, rest), jnp.pad(known, rest)
    starts = range(0, values.shape[1] - span + 1, max(1, span // WINDOWS))
    found, weights = [], []
    for start in starts:
        part = known[:, start : start + span]
        real, imaginary = harmonics(values[:, start : start + span], part, count)
        found.append(jnp.log(jnp.sqrt(real**2 + imaginary**2 + 1e-6) + FLOOR))
        weights.append(part.mean(1, keepdims=True))
    return _statistics(jnp.stack(found, 1), jnp.stack(weights, 1))


def _statistics(values, known):
    """Two pairs: mean and spread over the frames or windows, and whether anything is known."""
    count = known.sum(1)
    total = jnp.maximum(count, 1e-3)
    mean = (values * known).sum(1) / total
    variance = ((values - mean[:, None]) ** 2 * known).sum(1) / total
    known = jnp.broadcast_to(count > 0, mean.shape).astype(values.dtype)
    return (mean, known), (jnp.sqrt(variance + 1e-4), known)


def _join(arrays):
    return jnp.concatenate([x.reshape(x.shape[0], -1) for x in arrays], -1)


def _flat(*arrays):
    return [x.reshape(*x.shape[:2], -1) for x in arrays]

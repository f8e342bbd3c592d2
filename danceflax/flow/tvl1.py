"""TV-L1 optical flow on the device: what I3D's flow network was trained on.

Zach, Pock and Bischof 2007; Sanchez Perez, Meinhardt-Llopis and Facciolo (IPOL 2013): the
algorithm of OpenCV's DualTVL1OpticalFlow, with its parameters. From coarse to fine, the second
image is warped by the flow so far, and the flow is sought that explains what differs with the least
total variation: a pointwise threshold alternates with steps of Chambolle's dual method.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Num

from danceflax.flow.images import central_gradient, median, resize, sample

TAU = 0.25  # step of the dual method
DATA = 0.15  # lambda: weight of the images against smoothness
THETA = 0.3  # how loosely the flow is tied to what the images say
SCALES, SHRINK, SMALLEST = 5, 0.8, 16  # sizes; each of the one before; least side in pixels
WARPS, OUTER, INNER = 5, 10, 30  # a size; at most, a median filter before each; at most
STOP = 0.01  # pixels: a smaller root mean square change ends the search
WINDOW = 5  # side of the median filter


@jax.jit
def tvl1_flow(a: Num[Array, "B H W"], b: Num[Array, "B H W"]) -> Float[Array, "B H W 2"]:
    """The flow (u, v) in pixels from images a to images b, grey, 0..255.

    b[y + v, x + u] looks like a[y, x]. What a pair gives does not depend on the others; on a CPU
    they go one by one, each as long as it needs, elsewhere all at once.
    """
    size = None if jax.default_backend() == "cpu" else len(a)
    pairs = a.astype(jnp.float32), b.astype(jnp.float32)
    return jnp.moveaxis(lax.map(_flow_of_pair, pairs, batch_size=size), 1, -1)


def _flow_of_pair(pair):
    pyramid = [jnp.stack(pair)]
    for _ in range(SCALES - 1):
        size = tuple(int(np.rint(side * SHRINK)) for side in pyramid[-1].shape[1:])
        if min(size) < SMALLEST:
            break
        pyramid.append(resize(pyramid[-1], size, 1 / SHRINK))
    flow = jnp.zeros_like(pyramid[-1])
    for images in reversed(pyramid):
        if flow.shape != images.shape:
            flow = resize(flow, images.shape[1:]) / SHRINK
        flow = _refine(*images, flow)
    return flow


def _refine(a, b, flow):
    """The flow [2, h, w] between two images of one size, from a guess."""
    layers = jnp.stack([b, *central_gradient(b)])

    def warp(_, state):
        flow, dual = state
        warped, *gradient = sample(layers, jnp.stack(flow))
        constant = warped - sum(g * u for g, u in zip(gradient, flow, strict=True)) - a
        return _search(constant, gradient, flow, dual)

    dual = tuple((jnp.zeros_like(a), jnp.zeros_like(a)) for _ in range(2))
    return jnp.stack(lax.fori_loop(0, WARPS, warp, (tuple(flow), dual))[0])


def _search(constant, gradient, flow, dual):
    """Flow and dual variables of least energy, where the images differ by constant + gradient flow.

    Components are arrays of their own, of which XLA makes tight loops; dual[c] is (px, py) of
    flow[c].
    """
    bound = DATA * THETA
    flatness = 1 / jnp.maximum(sum(g**2 for g in gradient), jnp.finfo(jnp.float32).eps)

    def step(state):
        count, _, flow, dual = state
        residual = constant + sum(g * u for g, u in zip(gradient, flow, strict=True))
        shift = jnp.clip(-residual * flatness, -bound, bound)
        new = tuple(
            u + shift * g + THETA * (_back(px, 1) + _back(py, 0))
            for u, g, (px, py) in zip(flow, gradient, dual, strict=True)
        )
        change = sum(((n - u) ** 2).mean() for n, u in zip(new, flow, strict=True))
        return count + 1, change, new, tuple(map(_ascend, new, dual))

    def rounds(state):
        count, change, flow, dual = state
        state = 0, change, tuple(median(jnp.stack(flow), WINDOW)), dual
        return count + 1, *lax.while_loop(_goes_on(INNER), step, state)[1:]

    state = 0, jnp.float32(jnp.inf), flow, dual
    return lax.while_loop(_goes_on(OUTER), rounds, state)[2:]


def _goes_on(most):
    return lambda state: (state[0] < most) & (state[1] > STOP**2)


def _ascend(u, dual):
    """A step of the dual variables towards the slope of u."""
    slope = _ahead(u, 1), _ahead(u, 0)
    shrink = 1 / (1 + TAU / THETA * jnp.sqrt(slope[0] ** 2 + slope[1] ** 2))
    return tuple((p + TAU / THETA * s) * shrink for p, s in zip(dual, slope, strict=True))


def _ahead(x, axis):
    """The next value minus this along an axis, 0 at its end."""
    end = [(0, 0)] * x.ndim
    end[axis] = (0, 1)
    return jnp.pad(jnp.diff(x, axis=axis), end)


def _back(x, axis):
    """This value minus the one before along an axis, the first itself: minus the adjoint of
    `_ahead`."""
    start = [(0, 0)] * x.ndim
    start[axis] = (1, 0)
    return x - jnp.pad(lax.slice_in_dim(x, 0, -1, axis=axis), start)

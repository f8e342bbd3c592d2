"""TV-L1 against a plain implementation, OpenCV's parts, a known motion and published flow."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import shared_data

from danceflax.flow import images
from danceflax.flow.tvl1 import tvl1_flow
from danceflax.io.videos import read_video


def plain_tvl1(a, b):
    """[h, w, 2] by numpy and OpenCV, pixel arrays as they stand in the papers."""
    tau, data, theta, stop = 0.25, 0.15, 0.3, 0.01
    pyramid = [(a.astype(np.float32), b.astype(np.float32))]
    while len(pyramid) < 5:
        smaller = tuple(cv2.resize(x, None, fx=0.8, fy=0.8) for x in pyramid[-1])
        if min(smaller[0].shape) < 16:
            break
        pyramid.append(smaller)
    flow = np.zeros((2, *pyramid[-1][0].shape), np.float32)
    for a, b in reversed(pyramid):
        height, width = a.shape
        if flow.shape[1:] != a.shape:
            flow = np.stack([cv2.resize(x, (width, height)) for x in flow]) / np.float32(0.8)
        rim = np.pad(b, 1, "edge")
        slopes = (rim[1:-1, 2:] - rim[1:-1, :-2]) / 2, (rim[2:, 1:-1] - rim[:-2, 1:-1]) / 2
        y, x = np.mgrid[:height, :width].astype(np.float32)
        dual = np.zeros((2, 2, height, width), np.float32)
        for _ in range(5):
            place = x + flow[0], y + flow[1]
            warped, *slope = (cv2.remap(z, *place, cv2.INTER_CUBIC) for z in (b, *slopes))
            slope = np.stack(slope)
            constant, square = warped - (slope * flow).sum(0) - a, (slope**2).sum(0)
            change, outer = np.inf, 0
            while outer < 10 and change > stop**2:
                flow, inner = np.stack([cv2.medianBlur(u, 5) for u in flow]), 0
                while inner < 30 and change > stop**2:
                    rho = constant + (slope * flow).sum(0)
                    step = np.where(square > 1e-6, -rho / np.maximum(square, 1e-6), 0)
                    step[rho < -data * theta * square] = data * theta
                    step[rho > data * theta * square] = -data * theta
                    before, flow = flow, flow + step * slope
                    for c in range(2):
                        flow[c] += theta * np.diff(dual[c, 0], axis=1, prepend=0)
                        flow[c] += theta * np.diff(dual[c, 1], axis=0, prepend=0)
                        ahead = np.stack(
                            [
                                np.diff(flow[c], axis=1, append=flow[c][:, -1:]),
                                np.diff(flow[c], axis=0, append=flow[c][-1:]),
                            ]
                        )
                        dual[c] += tau / theta * ahead
                        dual[c] /= 1 + tau / theta * np.hypot(*ahead)
                    change, inner = 2 * ((flow - before) ** 2).mean(), inner + 1
                outer += 1
    return np.moveaxis(flow, 0, -1)


def textured(seed, size):
    noise = np.random.default_rng(seed).integers(0, 255, size, np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture(scope="module")
def moved():
    """Pictures; and moved by (1.5, -1) pixels, turned by 2 degrees, and not at all."""
    size = (24, 30)  # two scales: few to compile
    a = np.stack([textured(i, size) for i in range(3)])
    turn = cv2.getRotationMatrix2D((14.5, 11.5), 2, 1.0)
    maps = np.float32([[1, 0, 1.5], [0, 1, -1]]), turn, np.float32([[1, 0, 0], [0, 1, 0]])
    option = {"borderMode": cv2.BORDER_REPLICATE}
    b = [cv2.warpAffine(x, m, size[::-1], **option) for x, m in zip(a, maps, strict=True)]
    return a, np.stack(b), np.asarray(tvl1_flow(a, np.stack(b)))


def test_as_a_plain_implementation(moved):
    a, b, flow = moved
    for n in range(2):
        distance = np.linalg.norm(flow[n] - plain_tvl1(a[n], b[n]), axis=-1)
        assert distance.mean() < 0.02 and np.percentile(distance, 99) < 0.2


def test_known_motion_is_recovered(moved):
    _, _, flow = moved
    inside = flow[:, 6:-6, 6:-6]
    np.testing.assert_allclose(np.median(inside[0], (0, 1)), (1.5, -1), atol=0.05)
    y, x = np.mgrid[6:18, 6:24] - np.array([11.5, 14.5])[:, None, None]
    angle = -np.deg2rad(2)
    true = np.stack(
        [x * np.cos(angle) - y * np.sin(angle) - x, x * np.sin(angle) + y * np.cos(angle) - y], -1
    )
    assert np.linalg.norm(inside[1] - true, axis=-1).mean() < 0.15
    np.testing.assert_allclose(flow[2], 0, atol=1e-6)


def test_a_pair_does_not_depend_on_the_others(moved):
    a, b, flow = moved
    again = np.asarray(tvl1_flow(a[::-1], b[::-1]))[::-1]
    np.testing.assert_array_equal(again, flow)


def test_the_parts_are_opencvs():
    rng = np.random.default_rng(0)
    pictures = rng.random((2, 37, 41), np.float32)
    smaller = np.stack([cv2.resize(x, None, fx=0.8, fy=0.8) for x in pictures])
    ours = images.resize(jnp.asarray(pictures), smaller.shape[1:], 1.25)
    np.testing.assert_allclose(ours, smaller, atol=1e-6)
    larger = np.stack([cv2.resize(x, (53, 49)) for x in pictures])
    np.testing.assert_allclose(images.resize(jnp.asarray(pictures), (49, 53)), larger, atol=1e-6)
    filtered = np.stack([cv2.medianBlur(x, 5) for x in pictures])
    np.testing.assert_array_equal(images.median(jnp.asarray(pictures), 5), filtered)
    flow = np.float32(np.round(rng.normal(0, 8, (2, 37, 41)) * 32) / 32)  # some lead outside
    y, x = np.mgrid[:37, :41].astype(np.float32)
    warped = [cv2.remap(z, x + flow[0], y + flow[1], cv2.INTER_CUBIC) for z in pictures]
    ours = images.sample(jnp.asarray(pictures), jnp.asarray(flow))
    np.testing.assert_allclose(ours, warped, atol=1e-6)


def test_the_flow_published_with_i3d():
    """Of the same frames, in pictures of x and y, red and green, 255 / 20 a pixel about 127.5. Over
    every sixth frame OpenCV's own TV-L1 has correlations of 0.92 and 0.83, 0.181 pixels apart."""
    rgb, published = (
        [frame for _, frame in read_video(shared_data("i3d", f"v_CricketShot_g04_c01_{kind}.gif"))]
        for kind in ("rgb", "flow")
    )
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb])
    index = np.arange(0, 78, 6)
    ours = np.asarray(tvl1_flow(grey[index], grey[index + 1]))
    theirs = (np.stack(published)[index, ..., :2] / 255 - 0.5) * 20
    for axis, least in enumerate((0.90, 0.81)):
        assert np.corrcoef(ours[..., axis].ravel(), theirs[..., axis].ravel())[0, 1] > least
    assert np.linalg.norm(ours - theirs, axis=-1).mean() < 0.19

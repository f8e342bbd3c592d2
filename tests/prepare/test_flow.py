import cv2
import numpy as np
import pytest
from conftest import shared_data

from danceflax.data.flow import METHODS, compute_flow
from danceflax.data.root import open_index
from danceflax.errors import UserError
from danceflax.io.flow_files import BOUND, decode_flow, encode_flow, read_flow, write_flow
from danceflax.io.videos import read_video
from danceflax.prepare import flow
from danceflax.prepare.flow import compute_clip, plan_flow


def textured(rng, size=(96, 128)):
    noise = rng.integers(0, 255, size, np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("method", METHODS[:2])  # the other: tests/flow
def test_flow_of_a_shift_points_where_pixels_went(method):
    a = textured(np.random.default_rng(0))
    b = cv2.warpAffine(a, np.float32([[1, 0, 2.5], [0, 1, -1.5]]), a.shape[::-1])
    flow = compute_flow(a, b, method)
    assert flow.dtype == np.float32 and flow.shape == (*a.shape, 2)
    np.testing.assert_allclose(np.median(flow, (0, 1)), (2.5, -1.5), atol=0.1)


def test_flow_of_the_published_pair():
    """Against the TV-L1 flow that was published with I3D, of the same frames.

    Its picture holds x and y in red and green. Correlations of OpenCV's methods with it were
    measured beforehand, over every sixth frame: DIS 0.76 and 0.58, Farneback 0.73 and 0.58.
    """
    rgb, published = (
        [frame for _, frame in read_video(shared_data("i3d", f"v_CricketShot_g04_c01_{kind}.gif"))]
        for kind in ("rgb", "flow")
    )
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
    for method, least in {"dis": (0.73, 0.55), "farneback": (0.70, 0.55)}.items():
        for axis in (0, 1):
            ours = [compute_flow(grey[i], grey[i + 1], method)[..., axis] for i in range(0, 78, 6)]
            following, before = (
                np.corrcoef(np.ravel(ours), np.ravel([published[i + n][..., axis] for i in index]))
                for n, index in ((0, range(0, 78, 6)), (1, range(0, 78, 6)))
            )
            assert following[0, 1] > least[axis]
            assert following[0, 1] > before[0, 1]  # flow i is from frame i to i + 1


def test_encoding():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encode_flow(decode_flow(levels)), levels)
    flow = np.random.default_rng(0).uniform(-BOUND, BOUND, 1000).astype(np.float32)
    assert np.abs(decode_flow(encode_flow(flow)) - flow).max() <= BOUND / 255 + 1e-5
    assert encode_flow(np.array([-99, -20, 20, 99.0])).tolist() == [0, 0, 255, 255]


def test_unknown_methods():
    with pytest.raises(UserError, match="'raft' is not there; choose dis or farneback or tvl1"):
        compute_flow(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8), "raft")


@pytest.fixture
def root(tmp_path):
    """Two clips; the first moves by one pixel a frame and lacks its frame 3."""
    (tmp_path / "frames" / "tap").mkdir(parents=True)
    picture = textured(np.random.default_rng(1), (80, 120))
    for clip, numbers in (("abcdefghij-_000", (0, 1, 2, 4, 5)), ("klmnopqrstu_010", (1, 2))):
        for i in numbers:
            name = f"frames/tap/{clip}_{i:04d}.png"
            cv2.imwrite(str(tmp_path / name), np.roll(picture, i, 1))
    return tmp_path


def write_all(root, **options):
    tasks = plan_flow(root, "frames", open_index(root).files, **options)
    return [compute_clip(task) for task in tasks]


def test_files_follow_the_frames_and_their_gaps(root):
    assert write_all(root, short_side=40) == [(3, []), (1, [])]
    files = sorted(path.name for path in (root / "flow" / "tap").iterdir())
    assert files == [
        "abcdefghij-_000_0000.png",
        "abcdefghij-_000_0001.png",
        "abcdefghij-_000_0004.png",
        "klmnopqrstu_010_0001.png",
    ]
    for name in files:
        flow = read_flow(root / "flow" / "tap" / name)
        assert flow.shape == (40, 60, 2)
        np.testing.assert_allclose(np.median(flow, (0, 1)), (0.5, 0), atol=0.17)


def test_pairs_go_to_the_device_in_batches_of_one_size(root, monkeypatch):
    """Frames of another size amid a clip: as if each pair had been computed by itself."""
    small = np.roll(textured(np.random.default_rng(2), (24, 32)), 1, 1)
    for i in (6, 7):
        path = root / "frames" / "tap" / f"abcdefghij-_000_{i:04d}.png"
        cv2.imwrite(str(path), np.roll(small, i, 1))
    sizes = []

    def compute_flows(a, b, method):
        sizes.append(a.shape)
        return np.stack([compute_flow(*pair, "dis") for pair in zip(a, b, strict=True)])

    monkeypatch.setattr(flow, "compute_flows", compute_flows)
    monkeypatch.setattr(flow, "BATCH", 2)
    (count, messages), other = write_all(root, method="tvl1")
    assert count == 4 and other == (1, []) and "_0006.png: not of the size" in messages[0]
    assert sorted(sizes) == [(2, 24, 32), *3 * [(2, 80, 120)]]  # threads take them in any order


def test_flow_goes_on_where_it_stopped_and_never_mixes(root):
    write_all(root)
    (root / "flow" / "tap" / "abcdefghij-_000_0001.png").unlink()
    assert write_all(root) == [(1, []), (0, [])]
    with pytest.raises(UserError, match=r"flow\.json: the flow there was made with .*dis"):
        write_all(root, method="farneback")
    with pytest.raises(UserError, match="no flow can be read"):
        read_flow(root / "flow" / "tap" / "none.png")


def test_a_bad_frame_costs_its_pairs_only(root):
    (root / "frames" / "tap" / "abcdefghij-_000_0000.png").write_bytes(b"")
    (count, messages), other = write_all(root)
    assert count == 2 and other == (1, []) and "0000.png" in messages[0] and len(messages) == 1


def test_a_flow_that_claims_more_pixels_than_any_is_refused(tmp_path):
    path = tmp_path / "a.png"
    write_flow(path, np.zeros((8, 10, 2)))
    data = bytearray(path.read_bytes())
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    with pytest.raises(UserError, match="40000x40000 pixels"):
        read_flow(path)

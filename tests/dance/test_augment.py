"""Clips: which frames are picked, and what is cut out of them."""

import cv2
import numpy as np
import pytest
from conftest import letsdance_json
from hypothesis import given, settings
from hypothesis import strategies as st

from danceflax.dance import augment
from danceflax.data.clips import ClipSource, check_classes, nearest, sample_frames
from danceflax.errors import BadSampleError, UserError
from danceflax.io.flow_files import decode_flow
from danceflax.prepare.flow import compute_clip, plan_flow
from danceflax.skeleton import COCO18

CLIP = dict(frames=4, fps=0.0, stride=1, sampling="contiguous", size=32)
AUGMENT = dict(crop=(1.0, 1.0), flip=0.0, colour=(0.0, 0.0, 0.0))
VIEWS = dict(clips=2, crops=1, crop=1.0)
FLOW = dict(source="dis", bound=8.0, every=1)
POSE = dict(skeleton=COCO18, max_people=2)
NAME = "-2W1_fHl-RM_033"


def make_clips(root, dances=("tango", "waltz"), numbers=range(1, 9), size=(48, 64)):
    """A root whose pictures are a bright square that goes right by 2 pixels a frame."""
    for dance in dances:
        for folder in ("frames", "keypoints"):
            (root / folder / dance).mkdir(parents=True)
        for k in numbers:
            image = np.full((*size, 3), 40, np.uint8)
            cv2.rectangle(image, (20 + 2 * k, 20), (27 + 2 * k, 27), (240, 200, 160), -1)
            stem = f"{dance}/{NAME}_{k:04d}"
            cv2.imwrite(f"{root}/frames/{stem}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])
            people = np.full((1, 17, 2), (23.5 + 2 * k, 23.5))
            (root / f"keypoints/{stem}.json").write_text(letsdance_json(people))
    (root / "videos_split").mkdir()
    listed = str([f"{k:04d}" for k in numbers])
    rows = [f'{NAME},{dance},"{listed}"' for dance in dances]
    text = "\n".join(["video_id,dance_type,frames", *rows]) + "\n"
    (root / "videos_split/train_videos.csv").write_text(text)
    return root


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 400), min_size=1, max_size=60, unique=True).map(sorted),
    length=st.integers(1, 40),
    stride=st.integers(1, 4),
    fps=st.sampled_from([0.0, 12.5, 25.0, 60.0]),
    sampling=st.sampled_from(["contiguous", "uniform"]),
    clips=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_sampled_frames_are_of_the_clip(numbers, length, stride, fps, sampling, clips, seed):
    options = dict(length=length, stride=stride, fps=fps, sampling=sampling)
    rng = np.random.default_rng(seed)
    for picked, views in (
        (sample_frames(numbers, 30.0, clips=clips, **options), clips),
        (sample_frames(numbers, 30.0, rng=rng, **options), 1),
    ):
        assert picked.shape == (views, length)
        assert picked.min() >= 0 and picked.max() < len(numbers)
        if sampling == "uniform":
            assert (np.diff(picked) >= 0).all()


def test_windows_and_rates():
    numbers = np.arange(1, 302)  # 10 s at 30 a second
    windows = sample_frames(numbers, 30.0, length=64, fps=25.0, clips=3)
    assert windows[0, 0] == 0 and abs(windows[2, -1] - 300) <= 1
    np.testing.assert_allclose(np.diff(windows), 1.2, atol=0.8)
    assert abs(windows[1].mean() - 150) < 1
    starts = {
        sample_frames(numbers, 30.0, length=8, fps=0, rng=np.random.default_rng(s))[0, 0]
        for s in range(300)
    }
    assert min(starts) < 10 and max(starts) > 283
    # Segments: one frame of each tenth.
    picked = sample_frames(
        numbers, 30.0, length=10, sampling="uniform", rng=np.random.default_rng(0)
    )
    k = 30.1 * np.arange(11)
    assert (picked[0] + 1 > k[:-1]).all() and (picked[0] < k[1:]).all()


def test_short_clips_play_again_and_gaps_take_the_nearest():
    assert sample_frames([5, 6, 7], 25.0, length=8, fps=25.0)[0].tolist() == [0, 1, 2] * 2 + [0, 1]
    assert nearest(np.array([3, 4, 9]), np.array([3, 6, 7, 9, 12])).tolist() == [0, 1, 2, 2, 2]
    assert nearest(np.array([3]), np.array([3, 7])).tolist() == [0, 0]


def test_a_source_reads_both_lists_and_names_faults(tmp_path):
    root = make_clips(tmp_path, numbers=[1, 2, 3, 6, 7])
    source = ClipSource(root, "train")
    record = source[1]
    assert record["name"] == f"waltz/{NAME}" and record["label"] == 1 and record["fps"] == 1.0
    assert record["numbers"].tolist() == [1, 2, 3, 6, 7]
    counted = tmp_path / "list.tsv"
    counted.write_text(f"tango\t{NAME}\t5\n")
    assert ClipSource(root, str(counted))[0]["files"] == source[0]["files"]
    with pytest.raises(UserError, match="no clip of waltz"):
        check_classes(source, ClipSource(root, str(counted), source.class_names))
    with pytest.raises(UserError, match="row 1: the dance 'tango' is not among"):
        ClipSource(root, str(counted), ["rumba", "waltz"])
    counted.write_text("tango\tabcdefghijk_000\t5\n")
    with pytest.raises(BadSampleError, match="no frame is in"):
        ClipSource(root, str(counted))[0]
    with pytest.raises(UserError, match="no split 'val'"):
        ClipSource(root, "val")


def square_centre(frame):
    """(x, y) of the bright square of a crop."""
    weight = np.clip(frame.astype(float).mean(-1) - 60, 0, None)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_pixels_keypoints_and_flow_agree(tmp_path, flip):
    record = ClipSource(make_clips(tmp_path), "train", fps=12.0)[0]
    options = dict(needs=("rgb", "flow", "people"), flow=FLOW, pose=POSE)
    for seed in range(4):
        item = augment.augment_clip(
            record,
            np.random.default_rng(seed),
            clip=CLIP,
            augment=AUGMENT | {"flip": flip},
            **options,
        )
        assert item["rgb"].shape == (4, 32, 32, 3) and item["flow"].shape == (4, 32, 32, 2)
        for t in range(4):
            (x, y), person = square_centre(item["rgb"][t]), item["people"][t, 0]
            np.testing.assert_allclose(person[person[:, 2] > 0][:, :2] - (x, y), 0, atol=0.6)
            u, v = decode_flow(item["flow"][t], FLOW["bound"])[round(y), round(x)]
            scale = 32 / 48
            assert abs(u - (-2 if flip else 2) * scale) < 0.6 and abs(v) < 0.5


def test_large_frames_are_decoded_at_a_fraction(tmp_path, monkeypatch):
    record = ClipSource(make_clips(tmp_path, size=(145, 194)), "train", fps=12.0)[0]
    clip = dict(needs=("rgb", "people"), clip=CLIP, flow=None, pose=POSE)
    read, sizes = augment.read_image, []

    def note(*args):
        sizes.append(read(*args).shape[:2])
        return read(*args)

    monkeypatch.setattr(augment, "read_image", note)
    item = augment.read_views(record, views=VIEWS | {"crop": 0.9}, **clip)
    assert set(sizes) == {(37, 49), (145, 194)}  # the whole for the keypoints' pixels
    monkeypatch.setattr(augment, "read_image", lambda path, where, least_side: read(path))
    whole = augment.read_views(record, views=VIEWS | {"crop": 0.9}, **clip)
    np.testing.assert_array_equal(item["people"], whole["people"])
    assert np.abs(item["rgb"].astype(int) - whole["rgb"]).mean() < 2


def test_flow_files_are_scaled_and_missing_ones_stood_in_for(tmp_path):
    root = make_clips(tmp_path, ("tango", "waltz"), [1, 2, 3, 5, 6])
    source = ClipSource(root, "train", fps=12.0)
    files = np.array([f"{f}.jpg".encode() for i in range(2) for f in source[i]["files"]])
    for task in plan_flow(root, "frames", files, short_side=96):
        compute_clip(task)
    clip, views = CLIP | {"frames": 6}, VIEWS | {"clips": 1}
    view = dict(needs=("flow",), clip=clip, views=views, pose=None)
    live = augment.read_views(source[0], flow=FLOW, **view)["flow"]
    kept = augment.read_views(source[0], flow=FLOW | {"source": "files"}, **view)["flow"]
    assert live.shape == kept.shape == (1, 6, 32, 32, 2)
    difference = decode_flow(live, 8.0) - decode_flow(kept, 8.0)
    assert np.abs(difference).mean() < 0.1
    # Frame 3 is before a gap and 6 is the last: their neighbours' flow stands in.
    assert (live[0, 2] == live[0, 1]).all() and (live[0, 5] == live[0, 4]).all()
    every = augment.read_views(source[0], flow=FLOW | {"every": 2}, **view)["flow"]
    assert (every == live[:, ::2]).all()
    (root / "flow/tango" / f"{NAME}_0001.png").unlink()
    with pytest.raises(BadSampleError, match=r"prepare_data\.py flow"):
        augment.read_views(source[0], flow=FLOW | {"source": "files"}, **view)


def test_colours_hold_for_the_whole_clip_and_flips_swap_sides(tmp_path):
    record = ClipSource(make_clips(tmp_path), "train", fps=12.0)[0]
    options = dict(needs=("rgb",), flow=None, pose=None)
    strong = AUGMENT | {"colour": (24.0, 0.25, 0.3)}
    backgrounds = []
    for how in (AUGMENT, strong):
        rng = np.random.default_rng(4)
        rgb = augment.augment_clip(record, rng, clip=CLIP, augment=how, **options)["rgb"]
        corner = rgb[:, -4:, :4].astype(int)
        assert np.ptp(corner.mean((1, 2)), axis=0).max() < 2
        backgrounds.append(corner.mean())
    assert abs(backgrounds[0] - backgrounds[1]) > 3
    people = np.zeros((1, 18, 3), np.float32)
    people[0, COCO18.joints.index("left_wrist")] = (10, 5, 2)
    placed = augment.place_people(people, (0, 0, 32), 32, True, COCO18)
    assert placed[0, COCO18.joints.index("right_wrist")].tolist() == [21, 5, 2]
    assert (placed[..., 2] > 0).sum() == 1


def test_views_are_windows_times_crops(tmp_path):
    record = ClipSource(make_clips(tmp_path), "train", fps=12.0)[0]
    options = dict(needs=("rgb",), clip=CLIP, flow=None, pose=None)
    item = augment.read_views(record, views=VIEWS | {"crops": 3}, **options)
    assert item["rgb"].shape == (6, 4, 32, 32, 3)
    x = [square_centre(view[0])[0] for view in item["rgb"][:3]]  # left, middle, right crop
    assert x[0] > x[1] > x[2]
    with pytest.raises(UserError, match=r"eval\.crops=2"):
        augment.read_views(record, views=VIEWS | {"crops": 2}, **options)

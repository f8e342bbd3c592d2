"""Settings by the amount: sensible of a few videos and of many, and known to the configs."""

import pathlib

import pytest

from configs import i3d, sequence
from danceflax.config_checks import check_config
from danceflax.errors import UserError
from danceflax.study import settings
from danceflax.study.disk import bytes_needed
from danceflax.study.plan import Request, plan_steps, require_networks
from danceflax.study.videos import Amount


def amount(videos, seconds, fps=25.0, sources=5, cut=10.0):
    lengths = (min(seconds, cut),) * 4
    return Amount(videos, 4, sources, videos * seconds, fps, lengths, 40_000.0, 0.01)


def request(**changes):
    return Request("videos", pathlib.Path("out"), "", "", 25.0, 10.0, 360, 0, 0, 1)._replace(
        **changes
    )


@pytest.mark.parametrize("videos", [4, 20, 2_000])
@pytest.mark.parametrize("seconds", [0.9, 4.0, 60.0])
def test_fields_are_known_and_fit_the_amount(videos, seconds):
    found = amount(videos, seconds)
    for module, fields in (
        (sequence, settings.sequence_fields(found)),
        (i3d, settings.i3d_fields(found, "checkpoints/i3d_rgb")),
    ):
        config = module.get_config()
        config.update_from_flattened_dict(fields | {"clip.fps": float(fields["clip.fps"])})
        check_config(config)
        assert settings.STEPS[0] <= config.steps <= settings.STEPS[1]
        assert settings.LEAST_BATCH <= config.batch_size <= 64
        assert config.clip.frames / found.fps <= max(seconds, 0.9) + 0.05
        assert config.steps % config.eval_every == 0 == config.steps % config.save_every
    assert settings.sequence_fields(found, 12)["steps"] == 12


def test_more_videos_train_longer_and_in_larger_batches():
    few, many = (settings.sequence_fields(amount(n, 30.0)) for n in (20, 2_000))
    assert few["batch_size"] == 64 and few["steps"] == 600 and few["eval.clips"] == 4
    windows = 0.8 * 2_000 * 3 * 4
    assert many["steps"] == pytest.approx(settings.EPOCHS * windows / 64, rel=0.05)


def test_shares_leave_every_split_a_source():
    assert settings.share_out(2) == (50, 50, 0)
    assert settings.share_out(3) == (66, 34, 0)
    assert settings.share_out(9) == (80, 20, 0)
    assert settings.share_out(10) == (70, 15, 15)
    for sources in range(2, 40):
        shares = settings.share_out(sources)
        assert sum(shares) == 100 and all(s * sources >= 99 for s in shares if s)


def test_the_disk_is_asked_for_what_is_missing():
    found = amount(100, 60.0)
    whole, half = (bytes_needed(request(), found, missing) for missing in (100, 50))
    assert whole == pytest.approx(150_000 * 42_048 + 50e6)
    assert whole - half == pytest.approx(150_000 * 42_048 / 2)


def test_without_a_network_there_is_nothing_to_do():
    with pytest.raises(UserError, match="give --pose_checkpoint"):
        require_networks(request())


def test_the_split_measured_is_test_where_there_is_one(tmp_path):
    for sources, split in ((5, "val"), (12, "test")):
        steps = plan_steps(request(i3d="net"), amount(60, 20.0, sources=sources))
        assert [step.name for step in steps] == [
            "frames", "index", "check", "split", "train i3d", "evaluate i3d"
        ]  # fmt: skip
        assert f"--split={split}" in steps[-1].words

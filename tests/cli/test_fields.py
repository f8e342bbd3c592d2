"""Every field of every config has a text, and it is the one that stands where the field is set."""

import pathlib

import pytest

from danceflax.cli import fields

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
VARIANTS = {
    "openpose_body25.py": ("", "demo", "photos"),
    "openpose_coco.py": ("", "final", "demo"),
    "i3d.py": ("rgb", "rgb+flow+pose", "flow+pose,demo"),
    "c3d.py": ("flow", "pose,demo"),
    "frames.py": ("openpose", "rgb,demo"),
    "sequence.py": ("rhythm", "stgcn", "transformer", "gru", "posec3d,demo"),
}


def test_no_config_is_forgotten():
    files = {path.name for path in CONFIGS.glob("*.py") if not path.stem.endswith(("base", "__"))}
    assert files == set(VARIANTS)


@pytest.mark.parametrize(("name", "variant"), [(n, v) for n in VARIANTS for v in VARIANTS[n]])
def test_every_field_has_its_text(name, variant):
    described = fields.describe_fields(CONFIGS / name, variant)
    assert list(described) == list(fields.flatten(fields.load_config(CONFIGS / name, variant)))
    assert not [field for field, (_, text) in described.items() if not text]


def test_texts_are_those_of_the_statement(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from ml_collections import ConfigDict\n"
        "def part(size):\n"
        "    config = ConfigDict()\n"
        "    config.size = size  # of a part\n"
        "    return config\n"
        "def get_config():\n"
        "    config = ConfigDict()\n"
        "    config.size = 1  # of all\n"
        "    config.parts = ConfigDict()\n"
        "    for name in 'ab':\n"
        "        config.parts[name] = part(2)\n"
        "    # Above it,\n"
        "    # on two lines.\n"
        "    config.long = (\n"
        "        3\n"
        "    )\n"
        "    alias = config.parts.b\n"
        "    alias.size = 5  # of the second\n"
        "    config.size = 4\n"
        "    return config\n"
    )
    assert fields.describe_fields(path) == {
        "size": (4, "of all"),
        "parts.a.size": (2, "of a part"),
        "parts.b.size": (5, "of the second"),
        "long": (3, "Above it, on two lines."),
    }

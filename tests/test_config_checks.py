"""Every field of every config, with a wrong type and a wrong value: one line that names it."""

import functools
import math
import pathlib

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from danceflax import cli
from danceflax.cli.fields import flatten, load_config
from danceflax.config_checks import check_config, find_rule
from danceflax.errors import UserError

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
VARIANTS = [
    "openpose_coco.py", "openpose_coco.py:final", "openpose_body25.py:demo",
    "openpose_body25.py:photos", "c3d.py:pose",
    "i3d.py:rgb+flow+pose", "i3d.py:flow+pose,demo", "frames.py:openpose", "frames.py:rgb,demo",
    *(f"sequence.py:{name}" for name in ("rhythm,demo", "stgcn", "transformer", "gru", "posec3d")),
]  # fmt: skip
TYPES = (3, 2.5, "nonsense", True, (), ("a", "b"), None, {"a": 1}.keys(), b"bytes")
VALUES = (
    -1, -2, 0, 2**40, -1.0, 0.0, 1.0, 1.5, 1e9, math.nan, math.inf, "", "nonsense", "(", "\0", (),
    (0, 0), (8,), (9, 9), (2.0, 1.0), (-1.0, 0.5), (-1.0,), (1, 2, 3, 4, 5), ("\0",), (0, 0, 0),
)  # fmt: skip


def fields_of_all():
    found = {}
    for name in VARIANTS:
        path, _, variant = name.partition(":")
        found |= {key: name for key in flatten(load_config(CONFIGS / path, variant))}
    return found


FIELDS = fields_of_all()


@functools.cache
def load(name):
    path, _, variant = name.partition(":")
    return load_config(CONFIGS / path, variant)


def put(field, value):
    config = load(FIELDS[field]).to_dict()
    *parents, last = field.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    return config


def refusal(field, value):
    with pytest.raises(UserError) as error:
        check_config(put(field, value))
    message = str(error.value)
    assert message.startswith(f"config.{field}={value!r}: expected ") and "\n" not in message
    return message


@pytest.mark.parametrize("name", VARIANTS)
def test_all_defaults_fit(name):
    check_config(load(name))
    check_config(load(name).to_dict())  # as a checkpoint has it: tuples as lists


def test_every_field_has_a_rule():
    assert [field for field in FIELDS if find_rule(field) is None] == []


def test_a_wrong_type_in_every_field():
    for field in FIELDS:
        wrong = [value for value in TYPES if not find_rule(field).fits(value)]
        assert len(wrong) >= 5, field
        for value in wrong[:3]:
            refusal(field, value)


def test_a_wrong_value_in_every_field():
    """Of the field's own type, where there is such a one: flags have none, and a path is a path."""
    without = set()
    for field, name in FIELDS.items():
        kind = type(flatten(load(name))[field])
        same = [v for v in VALUES if type(v) is kind and not find_rule(field).fits(v)]
        if same:
            refusal(field, same[0])
        else:
            without.add(kind.__name__)
    assert without <= {"bool", "NoneType"}


def test_what_is_said():
    assert "from 1 on" in refusal("batch_size", 0)
    assert "(height, width) in multiples of 8" in refusal("augment.size", (368,))
    assert "(height, width) in multiples of 8" in refusal("eval.size", (100, 100))
    assert "(low, high)" in refusal("augment.scale", (1.0,))
    assert "adamw, adam, sgd" in refusal("optimizer.groups.paf.optimizer", "adm")
    assert "float32, bfloat16" in refusal("model.dtype", "float33")
    assert "1 or 3" in refusal("eval.crops", 2)
    assert "None, or a number from 0 to 1" in refusal("decode.paf_ratio", 3.0)


def parse(*words):
    """The config of a command line, as the trainers read it."""
    values, argv = flags.FlagValues(), ["train", *words]
    config_flags.DEFINE_config_file("config", None, "", flag_values=values, sys_argv=argv)
    cli.read_flags(argv, values)
    return values.config


@pytest.mark.parametrize("name", ["openpose_coco.py:final", "i3d.py:rgb+flow+pose"])
def test_a_wrong_word_on_the_command_line_for_every_field(name):
    """A word where a number, a flag or a list should be: one line, from the flags or the rules."""
    for field in flatten(load(name)):
        rule = find_rule(field)
        if rule.fits("many") or rule.fits(("many",)):
            continue  # a text, a pattern or a list of texts
        with pytest.raises(UserError) as error:
            check_config(parse(f"--config={CONFIGS / name}", f"--config.{field}=many"))
        message = str(error.value)
        assert field in message and "\n" not in message and "Unknown" not in message, field


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config={}/openpose_coc.py"], "no such file; did you mean {}/openpose_coco.py?"),
        (["--config={}/nowhere/a.py"], "a.py: no such file"),
        (["--config={}/openpose_coco.py:finl"], "not 'finl'; did you mean final?"),
        (["--config={}/i3d.py:rgb+flw"], "did you mean rgb+flow?"),
        (["--config={}/README.md"], "cannot be run: "),
        (["--config={}/openpose_coco.py", "--config.stepz=3"], "nearest: steps"),
        (["--config={}/openpose_coco.py", "--config.steps=1.5"], "invalid literal"),
        (["--config={}/openpose_coco.py", "--config.augment.size=3,,"], "augment.size"),
        (["--nowhere=3"], "Unknown command line flag 'nowhere'"),
    ],
)
def test_a_command_line_that_is_not_understood(words, message):
    with pytest.raises(UserError) as error:
        parse(*(word.format(CONFIGS) for word in words))
    assert message.format(CONFIGS) in str(error.value) and "\n" not in str(error.value)


def test_home_folders(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert cli.expand_home("~/a~/b") == "/home/ann/a~/b" and cli.expand_home("~") == "/home/ann"
    assert cli.expand_home(["~/a", "b", "c/~/d"]) == ["/home/ann/a", "b", "c/~/d"]
    for value in ("a~", "~.*|x", None, 3, "x/~"):
        assert cli.expand_home(value) == value
    config = ConfigDict({"data": {"root": "~/set"}, "init_allow_missing": "~.*"})
    cli.expand_fields(config)
    assert config.to_dict() == {"data": {"root": "/home/ann/set"}, "init_allow_missing": "~.*"}

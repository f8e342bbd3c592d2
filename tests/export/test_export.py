"""Exported networks, run by onnxruntime and `jax.export`, against the networks themselves; and what
is trained, lowered for platforms that are not here."""

import functools
import json
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import random_variables

from danceflax import skeleton
from danceflax.dance.classifiers import assemble
from danceflax.dance.inputs import make_prepare
from danceflax.dance.loss import make_apply
from danceflax.dance.loss import make_loss as make_dance_loss
from danceflax.dance.sequences.body import make_body
from danceflax.errors import UserError
from danceflax.export import onnx_file
from danceflax.export.forward import make_forward
from danceflax.models.layers import portable
from danceflax.models.normalisation import OPENPOSE, SYMMETRIC, on_images
from danceflax.models.registry import MODELS, create_model, list_options
from danceflax.models.sequences import posec3d, stgcn
from danceflax.pose.loss import make_loss
from danceflax.scripts import convert_weights
from danceflax.training import checkpoints
from danceflax.training.step import AXIS, create_state, make_train_step

CLIP = dict(frames=16, fps=25.0, stride=1, sampling="contiguous", size=32)
VIEWS = dict(clips=1, crops=1, crop=1.0)
FLOW = dict(source="dis", bound=20.0, every=1)
EATEN = dict(skeleton="coco18", max_people=2, longest_gap=0.5)
NETWORKS = {
    "openpose_coco": dict(width=0.1, stages=2),
    "openpose_body25": dict(width=0.1, paf_stages=1, heatmap_stages=1, batch_norm=True),
    "i3d": dict(width=0.05, last="Mixed_4b"),
    "streams": dict(streams=("rgb", "flow"), width=0.05, last="Mixed_3c", head_kind="time"),
    "c3d": dict(width=0.02),
    "frames": dict(channels=(4,), temporal="gru"),
    "rhythm": dict(channels=(8,), towers=2),
    "stgcn": dict(width=8, streams=("bone_motion",)),
    "transformer": dict(width=16, layers=1),
    "gru": dict(width=8, layers=1),
    "posec3d": dict(width=4, size=8),
}
POSE = ("openpose_coco", "openpose_body25")
SEQUENCES = ("rhythm", "stgcn", "transformer", "gru", "posec3d")


@pytest.fixture(scope="module", autouse=True)
def deep_networks_are_shallow():
    """A block of each kind proves what ten do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stgcn, "STAGES", (1, 1, 2))
        patched.setattr(posec3d, "STAGES", ((2, 1), (1, 3)))
        yield


@functools.cache
def make(name):
    """(model, variables, checkpoint config) of a tiny network with random weights."""
    options = dict(NETWORKS[name])
    if name in POSE:
        network = create_model(name, skeleton="coco18", **options)
        config = {"skeleton": skeleton.load("coco18").to_dict(), "normalisation": OPENPOSE}
        inputs = jnp.zeros((1, 16, 16, 3))
    else:
        options["num_classes"] = 3
        people, picture = jnp.zeros((1, 16, 2, 18, 3)), jnp.zeros((1, 16, 32, 32, 3))
        streams = ["people"] if name in SEQUENCES else list(options.get("streams", ("rgb",)))
        made = dict(streams=streams, clip=CLIP, views=VIEWS, pose=None, openpose=None)
        made |= dict(flow=FLOW if "flow" in streams else None, people=None)
        inputs = picture
        if name in SEQUENCES:
            body = make_body(skeleton.load("coco18"))._asdict()
            options |= {key: body[key] for key in body if key in list_options(name)}
            made["people"], inputs = EATEN, people
        if name == "streams":
            inputs = {"rgb": picture, "flow": picture[..., :2]}
        network = create_model(name, **options)
        config = {"class_names": list("abc"), "normalisation": SYMMETRIC, "inputs": made}
    config["model"] = {"name": name, "options": options}
    return network, dict(random_variables(network, inputs)), config


def draw_inputs(forward, size, rng):
    """Arrays for a `Forward`, all its symbols being `size`."""
    arrays = []
    for name, (shape, dtype) in forward.inputs.items():
        shape = [n if isinstance(n, int) else int(n.partition("*")[0]) * size if "*" in n else size
                 for n in shape]  # fmt: skip
        if name == "people":
            array = rng.normal(size=shape).astype(dtype)
            array[..., 2] = array[..., 2] > -1
            arrays.append(array * array[..., 2:])
        else:
            arrays.append(rng.integers(0, 256, shape).astype(dtype))
    return arrays


@pytest.fixture(scope="module", params=NETWORKS)
def forward(request):
    return make_forward(*make(request.param))


def test_onnxruntime_gives_the_networks_answer(forward):
    """At two sizes of batch (and image, of a pose network)."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(onnx_file.make_model(forward).SerializeToString())
    about = json.loads(session.get_modelmeta().custom_metadata_map["danceflax"])
    assert about == json.loads(forward.describe())
    assert [x.name for x in session.get_inputs()] == list(forward.inputs)
    is_pose = "image" in forward.inputs
    for size in (1, 3) if is_pose else (3,):
        arrays = draw_inputs(forward, size, np.random.default_rng(size))
        expected = jax.jit(forward.function)(*arrays)
        for count in {1, size}:
            some = dict(zip(forward.inputs, (x[:count] for x in arrays), strict=True))
            found = session.run(list(forward.outputs), some)
            for ours, theirs in zip(expected, found, strict=True):
                scale = max(1.0, float(jnp.abs(ours).max()))
                np.testing.assert_allclose(theirs, ours[:count], atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize("name", ["openpose_body25", "rhythm"])
def test_stablehlo_runs_at_any_size(name, tmp_path):
    network, variables, config = make(name)
    checkpoints.save_model(tmp_path / "run", variables, config)
    path = tmp_path / "net.stablehlo"
    lines = convert_weights.export_checkpoint(str(tmp_path / "run"), str(path), "stablehlo")
    assert lines[0].startswith("input ") and lines[1].startswith("outputs: ")
    forward = make_forward(network, variables, config)
    assert json.loads((tmp_path / "net.stablehlo.json").read_text())["model"]["name"] == name
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    arrays = draw_inputs(forward, 2, np.random.default_rng(0))
    for ours, theirs in zip(
        jax.jit(forward.function)(*arrays), exported.call(*arrays), strict=True
    ):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
    with pytest.raises(UserError, match="exist"):
        convert_weights.export_checkpoint(str(tmp_path / "run"), str(path), "stablehlo")


def test_every_network_of_the_project_is_here():
    assert NETWORKS.keys() == MODELS.keys()


def test_forward_lowers_for_cuda_and_tpu(forward):
    with portable():
        export = jax.export.export(jax.jit(forward.function), platforms=["cuda", "tpu"])
        assert export(*forward.specs()).mlir_module_serialized


@pytest.mark.parametrize("name", NETWORKS)
def test_the_training_step_lowers_for_cuda_and_tpu(name):
    """From shapes alone: nothing is drawn or computed."""
    model, variables, config = make(name)
    optimizer = optax.adamw(1e-3)
    state = jax.eval_shape(functools.partial(create_state, optimizer=optimizer), variables)
    trained = jax.tree.map(lambda _: True, variables["params"])
    shapes = dict(weight=((2,), jnp.float32))
    if name in POSE:
        apply, body = on_images(model, OPENPOSE), skeleton.load("coco18")
        loss = make_loss(apply, body, stride=8, sigma=7.0, limb_width=8.0, mode="paper", train=True)
        shapes |= dict(image=((2, 32, 32, 3), jnp.uint8), people=((2, 3, 18, 3), jnp.float32))
        shapes |= dict(mask=((2, 4, 4), jnp.uint8), labelled=((2, 18), bool))
    else:
        prepare = make_prepare(assemble(model, config))
        options = dict(label_smoothing=0.1, class_weights=None, mixup_alpha=0.2)
        loss = make_dance_loss(prepare, make_apply(model), 3, **options)
        clips = make_forward(model, variables, config).inputs
        shapes |= {key: ((2, *shape[1:]), dtype) for key, (shape, dtype) in clips.items()}
        shapes |= dict(label=((2,), jnp.int32))
    batch = {key: jax.ShapeDtypeStruct(*spec) for key, spec in shapes.items()}
    step = make_train_step(loss, optimizer, trained)

    def one_device(state, batch):
        batch = jax.tree.map(lambda x: x[None], batch)
        return jax.vmap(step, (None, 0), axis_name=AXIS)(state, batch)

    with portable():
        exported = jax.export.export(jax.jit(one_device), platforms=["cuda", "tpu"])(state, batch)
    assert exported.platforms == ("cuda", "tpu") and exported.mlir_module_serialized


def test_what_cannot_leave_is_one_line(monkeypatch):
    forward = make_forward(*make("rhythm"))
    sorting = forward._replace(function=lambda x: (jnp.sort(x, 1),))
    with pytest.raises(UserError, match=r"no rule for sort; use --export=stablehlo"):
        onnx_file.make_model(sorting)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'danceflax\[onnx\]'"):
        onnx_file.make_model(forward)

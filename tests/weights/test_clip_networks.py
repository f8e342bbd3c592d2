"""Converters of clip networks against PyTorch modules of the published structure."""

import jax
import numpy as np
import pytest
import torch
from torch_c3d import TorchC3D
from torch_i3d import TorchI3D, published_names

from danceflax.errors import UserError
from danceflax.models.c3d import C3D
from danceflax.models.i3d import I3D
from danceflax.scripts import convert_weights
from danceflax.weights import convert


def variables_of(model, example):
    shapes = convert.flatten(dict(jax.eval_shape(model.init, jax.random.key(0), example)))
    return {path: leaf.shape for path, leaf in shapes.items()}


@pytest.mark.parametrize("numbered", [False, True])
def test_c3d_gives_pytorchs_logits(numbered):
    torch.manual_seed(0)
    network = TorchC3D(classes=11, width=16)
    for module in network.children():
        torch.nn.init.kaiming_normal_(module.weight)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    if numbered:  # another port's nn.Sequential: every convolution and its ReLU, five pools
        layers = dict(zip((0, 3, 6, 8, 11, 13, 16, 18), list(network._modules)[:8], strict=True))
        names = {layer: f"features.{i}" for i, layer in layers.items()}
        names |= {f"fc{i}": f"classifier.{3 * (i - 6)}" for i in (6, 7, 8)}
        state = {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in state.items()}
    model = C3D(11, width=1 / 16)
    clips = np.random.default_rng(0).normal(size=(1, 16, 112, 112, 3)).astype("f")
    target = variables_of(model, clips)
    variables, rows = convert.convert(state, "c3d", target, "file")
    assert len(rows) == 22 and len(set(target)) == 22
    np.testing.assert_allclose(
        jax.jit(model.apply)(variables, clips), network.logits(clips), rtol=1e-3, atol=1e-3
    )
    # Fed blue first, as the published engine is, the same clip says the same.
    blue, _ = convert.convert(state, "c3d", target, "file", bgr=True)
    for path, array in convert.flatten(variables).items():
        other = convert.flatten(blue)[path]
        reversed_ = array[..., ::-1, :] if path == "params/conv1a/kernel" else array
        np.testing.assert_array_equal(other, reversed_)


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_charades_weights_give_pytorchs_logits(stream):
    torch.manual_seed(1)
    channels = {"rgb": 3, "flow": 2}[stream]
    network = TorchI3D(157, channels)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)  # folded away
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    name, state = f"i3d_{stream}_charades", published_names(network.eval())
    config = convert_weights.describe_model(name, state, None, None)
    assert config["model"] == {"name": "i3d", "options": {"num_classes": 157}}
    target = convert_weights.target_shapes(name, config)
    variables, _ = convert.convert(state, name, target, "file")
    assert target["params/Conv3d_1a_7x7/conv/kernel"][3] == channels
    if stream == "rgb":  # one compilation of the whole network is enough
        return
    clips = np.random.default_rng(0).uniform(-1, 1, (1, 9, 32, 32, channels)).astype("f")
    with torch.no_grad():
        theirs = network(torch.from_numpy(clips.transpose(0, 4, 1, 2, 3).copy())).numpy()
    ours = jax.jit(I3D(157).apply)(variables, clips)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        ("i3d_rgb", 157, "157 classes, --model=i3d_rgb has 400; use --model=i3d_rgb_charades, or"),
        ("i3d_flow_charades", 400, "has 157; use --model=i3d_flow, or name its classes"),
        ("i3d_rgb", 16, "the file has 16 classes, --model=i3d_rgb has 400; name its classes"),
        ("c3d", 101, "the file has 101 classes, --model=c3d has 487; name its classes with"),
    ],
)
def test_another_set_of_classes_is_named(model, classes, message, tmp_path):
    last = "fc8" if model == "c3d" else "logits.conv3d"
    tensors = {f"{last}.bias": np.zeros(classes, "f")}
    with pytest.raises(UserError, match=message):
        convert_weights.describe_model(model, tensors, None, None)
    path = tmp_path / "names.txt"
    path.write_text("\n".join(f"dance {i}" for i in range(classes)))
    config = convert_weights.describe_model(model, tensors, None, str(path))
    assert config["class_names"][-1] == f"dance {classes - 1}"

"""Starting from checkpoints: another skeleton, other classes, fewer stages, ImageNet's VGG."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import danceflax
from danceflax.errors import UserError
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import OPENPOSE
from danceflax.models.registry import describe
from danceflax.scripts import convert_weights
from danceflax.skeleton import BODY25, COCO18
from danceflax.training import checkpoints
from danceflax.training.pretrained import start_from


def make(name="openpose_coco", skeleton=COCO18, seed=0, **options):
    model = danceflax.create_model(name, skeleton=skeleton, **{"width": 0.05} | options)
    return model, initialise(model, jnp.zeros((1, 8, 8, 3)), seed)


def save(path, model, variables, labels):
    checkpoints.save_model(path, variables, describe(model, labels, OPENPOSE))
    return path


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


@pytest.mark.parametrize("name", ["openpose_coco", "openpose_body25"])
def test_another_skeleton_starts_all_but_what_depends_on_it(name, tmp_path, capsys):
    model, loaded = make(name)
    path = save(tmp_path / "a", model, loaded, COCO18)
    _, fresh = make(name, BODY25, seed=1)
    merged, _ = start_from(path, fresh, BODY25, "")
    merged, loaded, fresh = (tree["params"] for tree in (merged, loaded, fresh))
    assert same(merged["feature"], loaded["feature"])
    first, second = sorted(m for m in merged if m.startswith("paf"))[:2]
    layers = {
        module: {name for name, leaf in merged[module].items() if same(leaf, fresh[module][name])}
        for module in (first, second)
    }
    assert layers[first] == {"output"} | {n for n in merged[first] if n.startswith("prelu")}
    reads = "conv1" if name == "openpose_coco" else "block1"
    own = merged[second][reads] if reads == "conv1" else merged[second][reads]["conv0"]
    new = fresh[second][reads] if reads == "conv1" else fresh[second][reads]["conv0"]
    assert same(own["kernel"], new["kernel"])  # it reads the maps
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if second in line)
    assert "output" in row and reads in row and "conv2" not in row


def test_a_width_that_differs_is_no_other_skeleton(tmp_path):
    path = save(tmp_path / "a", *make(width=0.1), COCO18)
    with pytest.raises(UserError, match=r"feature/conv1_1/bias is \(6,\), expected \(3,\)"):
        start_from(path, make(skeleton=BODY25)[1], BODY25, "")


def test_a_full_network_is_cut_after_its_first_stages(tmp_path, capsys):
    model, loaded = make(stages=6)
    path = save(tmp_path / "a", model, loaded, COCO18)
    merged, _ = start_from(path, make(stages=3, seed=1)[1], COCO18, "")
    for module, tree in merged["params"].items():
        assert same(tree, loaded["params"][module]), module
    assert len(merged["params"]) == 7
    said = capsys.readouterr().out
    assert re.search(r"paf_stage4 .* 0 .*not in the network", said)
    # The other way round something is missing.
    path = save(tmp_path / "b", make(stages=3)[0], merged, COCO18)
    with pytest.raises(UserError, match=r"heatmap_stage4/conv1/bias is missing"):
        start_from(path, make(stages=6)[1], COCO18, "")


def test_what_is_left_over_in_a_module_is_refused(tmp_path):
    """The newer network's features have PReLUs: the older one would say something else."""
    path = save(tmp_path / "a", *make("openpose_body25"), COCO18)
    fresh = make()[1]
    allowed = r"(paf|heatmap)_stage\d/.*"
    with pytest.raises(UserError, match=r"feature/prelu4_2/slope is not in it"):
        start_from(path, fresh, COCO18, allowed)
    start_from(path, fresh, COCO18, allowed + "|feature/prelu.*")


def test_other_classes_get_a_new_last_layer(tmp_path):
    """C3D's fc8 is replaced, and nothing else."""
    names = [f"class {i}" for i in range(9)]
    clip = jnp.zeros((1, 16, 16, 16, 3))
    c3d = danceflax.create_model("c3d", num_classes=9, width=0.02)
    loaded = initialise(c3d, clip, 0)
    path = save(tmp_path / "c3d", c3d, loaded, names)
    for count, labels in ((4, list("abcd")), (9, list("abcdefghi"))):
        fresh = initialise(danceflax.create_model("c3d", num_classes=count, width=0.02), clip, 1)
        merged, _ = start_from(path, fresh, labels, "")
        same_as = {
            name: same(tree, loaded["params"][name]) for name, tree in merged["params"].items()
        }
        assert [name for name, kept in same_as.items() if not kept] == ["fc8"]
    merged, _ = start_from(path, loaded, names, "")
    assert same(merged, loaded)


class TorchVGG19(nn.Module):
    """torchvision's names: `features.N`, 16 convolutions of 3x3, each with its ReLU, five pools."""

    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for outputs, depth in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    @torch.no_grad()
    def conv4_2(self, images):
        """Before its activation: layer 21 of torchvision's vgg19.features."""
        return self.features[:22](torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vgg")
    torch.manual_seed(0)
    network = TorchVGG19()
    for module in network.features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), folder / "vgg19.pth")
    convert_weights.convert_file("pytorch", "vgg19", str(folder / "vgg19.pth"), str(folder / "a"))
    return network, folder / "a"


@pytest.mark.parametrize("name", ["openpose_coco", "openpose_body25"])
def test_imagenets_vgg_starts_the_features_of_either_network(name, vgg):
    network, path = vgg
    stages = {"stages": 1} if name == "openpose_coco" else {"paf_stages": 1, "heatmap_stages": 0}
    model, fresh = make(name, width=1.0, **stages)
    missing = r"(paf|heatmap)_stage.*|feature/(conv4_[34]_cpm|prelu.*)/.*"
    variables, normalisation = start_from(path, fresh, COCO18, missing)
    assert normalisation["mean"] == pytest.approx([123.675, 116.28, 103.53])
    images = np.random.default_rng(0).normal(size=(1, 16, 24, 3)).astype("f")

    def trunk(variables, images):
        keep = lambda module, _: module.name == "conv4_2"  # noqa: E731
        return model.apply(variables, images, capture_intermediates=keep)[1]

    found = jax.jit(trunk)(variables, images)["intermediates"]["feature"]["conv4_2"]["__call__"][0]
    theirs = network.conv4_2(images).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, theirs, atol=1e-4 * np.abs(theirs).max())

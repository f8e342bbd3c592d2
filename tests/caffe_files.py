"""Writes the networks of OpenPose as Caffe does: a prototxt and a caffemodel, from layer tables.

A writer of its own, so that the readers are tested against something that shares no code with them.
"""

import struct
from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    name: str
    kind: str  # Convolution, PReLU, ReLU, Pooling or Concat
    bottoms: tuple
    top: str
    inputs: int = 0  # channels
    outputs: int = 0
    size: int = 0  # of the kernel


class Net:
    """Grows a list of layers; remembers how many channels each blob has."""

    def __init__(self):
        self.layers, self.channels = [], {"image": 3}

    def conv(self, name, bottom, outputs, size, activation="ReLU"):
        self.layers.append(
            Layer(name, "Convolution", (bottom,), name, self.channels[bottom], outputs, size)
        )
        self.channels[name] = outputs
        if activation:
            new = name.replace("conv", "prelu" if activation == "PReLU" else "relu")
            self.layers.append(Layer(new, activation, (name,), name, outputs, outputs))
        return name

    def pool(self, name, bottom):
        self.layers.append(Layer(name, "Pooling", (bottom,), name))
        self.channels[name] = self.channels[bottom]
        return name

    def concat(self, name, *bottoms):
        self.layers.append(Layer(name, "Concat", bottoms, name))
        self.channels[name] = sum(self.channels[bottom] for bottom in bottoms)
        return name

    def features(self, late):
        x = "image"
        for block, widths in enumerate(((64, 64), (128, 128), (256,) * 4, (512, 512)), 1):
            for i, width in enumerate(widths, 1):
                name = f"conv{block}_{i}"
                x = self.conv(name, x, width, 3, late if name == "conv4_2" else "ReLU")
            x = self.pool(f"pool{block}_stage1", x) if block < 4 else x
        x = self.conv("conv4_3_CPM", x, 256, 3, late)
        return self.conv("conv4_4_CPM", x, 128, 3, late)


def coco_layers(pafs=38, heatmaps=19):
    """The COCO network (18 joints); with 28 and 16 output channels, the MPI network."""
    net = Net()
    features = x = net.features("ReLU")
    for stage in range(1, 7):
        ends = []
        for branch, outputs in (("L1", pafs), ("L2", heatmaps)):
            y = x
            if stage == 1:
                for i, (width, size) in enumerate(((128, 3), (128, 3), (128, 3), (512, 1)), 1):
                    y = net.conv(f"conv5_{i}_CPM_{branch}", y, width, size)
                ends.append(net.conv(f"conv5_5_CPM_{branch}", y, outputs, 1, None))
            else:
                for i in range(1, 7):
                    y = net.conv(f"Mconv{i}_stage{stage}_{branch}", y, 128, 7 if i < 6 else 1)
                ends.append(net.conv(f"Mconv7_stage{stage}_{branch}", y, outputs, 1, None))
        if stage < 6:
            x = net.concat(f"concat_stage{stage + 1}", *ends, features)
    net.concat("net_output", ends[1], ends[0])
    return net.layers


def body25_layers():
    """The BODY_25 network: four PAF stages (L2), two heatmap stages (L1)."""
    net = Net()
    features = x = net.features("PReLU")
    last = {}
    for branch, stage, outputs in (
        ("L2", 0, 52), ("L2", 1, 52), ("L2", 2, 52), ("L2", 3, 52), ("L1", 0, 26), ("L1", 1, 26),
    ):  # fmt: skip
        width, hidden = (96, 256) if stage == 0 else (128, 512)
        suffix = f"stage{stage}_{branch}"
        for block in range(1, 6):
            parts = []
            for i in range(3):
                x = net.conv(f"Mconv{block}_{suffix}_{i}", x, width, 3, "PReLU")
                parts.append(x)
            x = net.concat(f"Mconcat{block}_{suffix}", *parts)
        x = net.conv(f"Mconv6_{suffix}", x, hidden, 1, "PReLU")
        last[branch] = net.conv(f"Mconv7_{suffix}", x, outputs, 1, None)
        inputs = [last["L1"], last["L2"]] if branch == "L1" else [last["L2"]]
        x = net.concat(f"concat_{suffix}", features, *inputs)
    net.layers.pop()  # nothing reads the last concatenation
    net.concat("net_output", last["L1"], last["L2"])
    return net.layers


def vgg19_layers():
    """The 16 convolutions of VGG-19, without the fully connected layers."""
    net, x = Net(), "image"
    for block, (count, width) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), 1):
        for i in range(1, count + 1):
            x = net.conv(f"conv{block}_{i}", x, width, 3)
        x = net.pool(f"pool{block}", x)
    return net.layers


def random_weights(layers, seed=0):
    """{layer: [arrays]}; scaled so that activations keep their size through the network."""
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in layers:
        if layer.kind == "Convolution":
            shape = (layer.outputs, layer.inputs, layer.size, layer.size)
            scale = np.sqrt(2 / np.prod(shape[1:]))
            kernel = rng.standard_normal(shape, np.float32) * np.float32(scale)
            bias = rng.uniform(-0.1, 0.1, layer.outputs).astype(np.float32)
            weights[layer.name] = [kernel, bias]
        elif layer.kind == "PReLU":
            weights[layer.name] = [rng.uniform(0, 0.5, layer.outputs).astype(np.float32)]
    return weights


def tensors(weights):
    """The weights as a flat dict "layer.weight", "layer.bias"."""
    return {
        f"{name}.{('weight', 'bias')[i]}": array
        for name, arrays in weights.items()
        for i, array in enumerate(arrays)
    }


def prototxt(layers, height, width):
    """The network as prototxt text, with one input `image`."""
    dims = " ".join(f"dim: {n}" for n in (1, 3, height, width))
    lines = ['name: "net"', 'input: "image"', f"input_shape {{ {dims} }}"]
    for layer in layers:
        bottoms = " ".join(f'bottom: "{bottom}"' for bottom in layer.bottoms)
        extra = {
            "Convolution": f"convolution_param {{ num_output: {layer.outputs} "
            f"kernel_size: {layer.size} pad: {layer.size // 2} }}",
            "Pooling": "pooling_param { pool: MAX kernel_size: 2 stride: 2 }",
            "Concat": "concat_param { axis: 1 }",
        }.get(layer.kind, "")
        lines.append(
            f'layer {{ name: "{layer.name}" type: "{layer.kind}" {bottoms} top: "{layer.top}" '
            f"{extra} }}"
        )
    return "\n".join(lines) + "\n"


def caffemodel(weights, layout="layer", packed=True, double=False, legacy=False, kinds=None):
    """The weights as the bytes of a .caffemodel file.

    Args:
      layout: "layer", or "layers" as in 2014.
      packed: values in one field; else a field for each.
      double: values as double_data.
      legacy: four dimensions (num, channels, height, width) instead of a shape.
      kinds: {layer: type}; OpenCV wants it, the readers do not.
    """
    net_field, name_field, blobs_field = (100, 1, 7) if layout == "layer" else (2, 4, 6)
    data = _bytes(1, b"net")
    for name, arrays in weights.items():
        layer = _bytes(name_field, name.encode())
        if layout == "layer":
            layer += _bytes(2, (kinds or {}).get(name, "Convolution").encode())
        for array in arrays:
            layer += _bytes(blobs_field, _blob(array, packed, double, legacy))
        data += _bytes(net_field, layer)
    return data


def _blob(array, packed, double, legacy):
    field, dtype, wire = (8, "<f8", 1) if double else (5, "<f4", 5)
    values = array.astype(dtype).ravel()
    if packed:
        blob = _bytes(field, values.tobytes())
    else:
        rows = np.empty((values.size, 1 + values.itemsize), np.uint8)
        rows[:, 0] = field << 3 | wire
        rows[:, 1:] = values.view(np.uint8).reshape(values.size, -1)
        blob = rows.tobytes()
    if legacy:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b"".join(_varint(i << 3) + _varint(n) for i, n in enumerate(shape, 1)) + blob
    return _bytes(7, _bytes(1, b"".join(map(_varint, array.shape)))) + blob


def _bytes(field, data):
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes(data) + struct.pack("B", value)

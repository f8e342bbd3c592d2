"""ONNX files of networks; opset 18 of 2022, which most engines read."""

import os
from typing import Any

from danceflax.errors import UserError
from danceflax.export.forward import Forward
from danceflax.io.files import write_bytes

OPSET, IR_VERSION = 18, 8


def write(forward: Forward, path: str | os.PathLike) -> None:
    """Writes an ONNX file; its metadata "danceflax" is `forward.about` as JSON.

    Raises:
      UserError: the package onnx is missing, or the network has an operation without a rule.
    """
    write_bytes(path, make_model(forward).SerializeToString())


def make_model(forward: Forward) -> Any:
    """The `onnx.ModelProto` of a network; raises as `write`."""
    try:
        import onnx
    except ImportError:
        raise UserError(
            "--export=onnx needs the package onnx: pip install 'danceflax[onnx]'"
        ) from None
    from danceflax.export.onnx_graph import Graph, Value

    closed = forward.trace().jaxpr
    inputs = {n: v.aval for n, v in zip(forward.inputs, closed.jaxpr.invars, strict=True)}
    outputs = {n: v.aval for n, v in zip(forward.outputs, closed.jaxpr.outvars, strict=True)}
    graph = Graph(inputs)
    arguments = [Value(name, tuple(aval.shape)) for name, aval in inputs.items()]
    found = graph.run(closed.jaxpr, closed.consts, arguments)
    for value, (name, aval) in zip(found, outputs.items(), strict=True):
        graph.add("Identity", graph.expand(value, aval), name=name)
    helper = onnx.helper

    def describe(avals):
        return [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(aval.dtype),
                [n if isinstance(n, int) else str(n) for n in aval.shape],
            )
            for name, aval in avals.items()
        ]

    made = helper.make_graph(
        graph.nodes, "danceflax", describe(inputs), describe(outputs), graph.constants
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        made, opset_imports=[opset], ir_version=IR_VERSION, producer_name="danceflax"
    )
    helper.set_model_props(model, {"danceflax": forward.describe()})
    return model

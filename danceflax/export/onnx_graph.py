"""A traced network as an ONNX graph: JAX's operations, one by one, as nodes.

What does not depend on the input is computed while the graph is made. A broadcast is left to the
operation that reads it, wherever that broadcasts by itself.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from danceflax.errors import UserError

# Primitives that are one node of the same arguments; `onnx_rules` has the others.
NODES = {
    "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max",
    "min": "Min", "pow": "Pow", "neg": "Neg", "exp": "Exp", "log": "Log", "tanh": "Tanh",
    "logistic": "Sigmoid", "erf": "Erf", "sqrt": "Sqrt", "abs": "Abs", "floor": "Floor",
    "sign": "Sign", "sin": "Sin", "cos": "Cos", "eq": "Equal", "lt": "Less", "le": "LessOrEqual",
    "gt": "Greater", "ge": "GreaterOrEqual", "and": "And", "or": "Or", "not": "Not",
    "copy": "Identity", "stop_gradient": "Identity", "reduce_precision": "Identity",
}  # fmt: skip
LOGICAL = ("and", "or", "not")  # of whole numbers they are bitwise, which no network needs
INNER = ("jaxpr", "call_jaxpr")  # where primitives that call a function keep it


class Value(NamedTuple):
    """A value of the graph.

    Attributes:
      ref: its name in the graph, or an array, where it depends on no input.
      shape: as it is there; an axis of 1 may stand for a broadcast that was left out.
    """

    ref: Any
    shape: tuple

    @property
    def is_known(self) -> bool:
        return not isinstance(self.ref, str)


class Graph:
    """An ONNX graph that grows.

    Args:
      inputs: {name: aval}, sizes may be symbols.

    Attributes:
      nodes, constants: of the graph.
    """

    def __init__(self, inputs: dict[str, Any]):
        self.inputs, self.nodes, self.constants = inputs, [], []
        self._count, self._known, self._transposed = itertools.count(), {}, {}

    def add(self, op: str, *inputs: Any, name: str | None = None, **attributes: Any) -> str:
        """A node of one result; the name of that. Inputs are values, names or arrays."""
        name = name or f"v{next(self._count)}"
        names = [self._name(value) for value in inputs]
        self.nodes.append(onnx.helper.make_node(op, names, [name], **attributes))
        return name

    def cast(self, value: Any, dtype: Any) -> str:
        """The name of a value as another type."""
        return self.add("Cast", value, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """Axes in another order; of two such one after the other only what they are together."""
        order = [int(axis) for axis in order]
        if value.is_known:
            array = np.transpose(value.ref, order)
            return Value(array, array.shape)
        source, before = self._transposed.get(value.ref, (value.ref, range(len(order))))
        shape = tuple(value.shape[axis] for axis in order)
        order = [before[axis] for axis in order]
        if order == [*range(len(order))]:
            return Value(source, shape)
        name = self.add("Transpose", source, perm=order)
        self._transposed[name] = source, order
        return Value(name, shape)

    def expand(self, value: Value, aval: Any) -> Value:
        """The value with its broadcasts done."""
        if tuple(value.shape) == tuple(aval.shape):
            return value
        if value.is_known and is_static(aval.shape):
            return Value(np.broadcast_to(value.ref, aval.shape), aval.shape)
        have = (1,) * (len(aval.shape) - len(value.shape)) + tuple(value.shape)
        pairs = zip(have, aval.shape, strict=True)
        parts = [np.array([1]) if a == b else self._measure(b) for a, b in pairs]
        return Value(self.add("Expand", value, self.add("Concat", *parts, axis=0)), aval.shape)

    def run(self, jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
        """The results of a jaxpr, whose operations become nodes."""
        known = dict(zip(jaxpr.invars, arguments, strict=True))
        for var, array in zip(jaxpr.constvars, consts, strict=True):
            known[var] = Value(np.asarray(array), np.shape(array))

        def read(atom):
            if isinstance(atom, Literal):
                return Value(np.asarray(atom.val, atom.aval.dtype), np.shape(atom.val))
            return known[atom]

        for equation in jaxpr.eqns:
            found = self._convert(equation, [read(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _convert(self, equation: JaxprEqn, values: list[Value]) -> list[Value]:
        from danceflax.export.onnx_rules import LAZY_RULES, RULES

        name, params = equation.primitive.name, equation.params
        avals, out = [atom.aval for atom in equation.invars], equation.outvars[0].aval
        inner = next((params[key] for key in INNER if key in params), None)
        if inner is not None and name != "scan":
            return self.run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), values)
        is_known = all(value.is_known for value in values)
        if is_known and all(is_static(var.aval.shape) for var in equation.outvars):
            arrays = [self.expand(v, aval).ref for v, aval in zip(values, avals, strict=True)]
            found = equation.primitive.bind(*arrays, **params)
            found = found if equation.primitive.multiple_results else [found]
            return [Value(_as_array(array), array.shape) for array in found]
        if name in NODES and (name not in LOGICAL or out.dtype == bool):
            return [Value(self.add(NODES[name], *values), broadcast(values))]
        if name in LAZY_RULES:
            return [LAZY_RULES[name](self, values, out, **params)]
        if name not in RULES:
            raise UserError(f"--export=onnx: no rule for {name}; use --export=stablehlo")
        values = [self.expand(v, aval) for v, aval in zip(values, avals, strict=True)]
        found = RULES[name](self, values, out, **params)
        return found if isinstance(found, list) else [found]

    def _name(self, value):
        ref = value.ref if isinstance(value, Value) else value
        if isinstance(ref, str):
            return ref
        array = np.ascontiguousarray(ref).reshape(np.shape(ref))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"c{len(self._known)}"
            self.constants.append(onnx.numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def _measure(self, size):
        """An axis' length as int64 [1]: known, or a multiple of an input's."""
        if isinstance(size, int):
            return np.array([size])
        for name, aval in self.inputs.items():
            for axis, other in enumerate(aval.shape):
                factor = None if isinstance(other, int) else size // other
                if isinstance(factor, int) and factor * other == size:
                    length = self.add("Shape", name, start=axis, end=axis + 1)
                    return self.add("Mul", length, np.array([factor]))
        raise UserError(f"--export=onnx: no input tells the size {size}; use --export=stablehlo")


def _as_array(array):
    """In numpy, but for random keys, which only numpy's lack keeps there; no result needs them."""
    return np.asarray(array) if isinstance(array.dtype, np.dtype) else array


def is_static(shape: Sequence[Any]) -> bool:
    """Whether no size is a symbol."""
    return all(isinstance(size, int) for size in shape)


def broadcast(values: Sequence[Value]) -> tuple:
    """The shape of values together."""
    rank = max(len(value.shape) for value in values)
    shapes = [(1,) * (rank - len(value.shape)) + tuple(value.shape) for value in values]
    axes = zip(*shapes, strict=True)
    return tuple(next((n for n in axis if not isinstance(n, int) or n != 1), 1) for axis in axes)

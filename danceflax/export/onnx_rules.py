"""What JAX's primitives are in ONNX, where it takes more than one node of the same arguments.

A rule is (graph, values, aval of the first result, **parameters) -> a value, or a list of them.
"""

import string

import numpy as np

from danceflax.errors import UserError
from danceflax.export.onnx_graph import Value, broadcast

END = np.iinfo(np.int64).max


def _refuse(what):
    raise UserError(f"--export=onnx: no rule for {what}; use --export=stablehlo")


def _ints(numbers):
    return np.array(numbers, np.int64)


def _broadcast_in_dim(graph, values, out, *, shape, broadcast_dimensions, **_):
    (value,) = values
    kept = dict(zip(broadcast_dimensions, value.shape, strict=True))
    short = tuple(kept.get(axis, 1) for axis in range(len(shape)))
    if not isinstance(value.ref, str):
        return Value(np.reshape(value.ref, short), short)
    added = [axis for axis in range(len(shape)) if axis not in kept]
    return Value(graph.add("Unsqueeze", value, _ints(added)) if added else value.ref, short)


def _cast(graph, values, out, **_):
    return Value(graph.cast(values[0], out.dtype), values[0].shape)


def _select(graph, values, out, **_):
    which, no, yes = values
    return Value(graph.add("Where", which, yes, no), broadcast(values))


def _square(graph, values, out, **_):
    return Value(graph.add("Mul", values[0], values[0]), values[0].shape)


def _integer_pow(graph, values, out, *, y):
    if y == 2:
        return _square(graph, values, out)
    return Value(graph.add("Pow", values[0], np.asarray(y, out.dtype)), values[0].shape)


def _rsqrt(graph, values, out, **_):
    return Value(graph.add("Reciprocal", graph.add("Sqrt", values[0])), values[0].shape)


def _not_equal(graph, values, out, **_):
    return Value(graph.add("Not", graph.add("Equal", *values)), broadcast(values))


def _is_finite(graph, values, out, **_):
    broken = [graph.add(test, values[0]) for test in ("IsNaN", "IsInf")]
    return Value(graph.add("Not", graph.add("Or", *broken)), values[0].shape)


def _erfc(graph, values, out, **_):
    one = np.asarray(1, out.dtype)
    return Value(graph.add("Sub", one, graph.add("Erf", values[0])), values[0].shape)


def _iota(graph, values, out, *, dimension, shape, **_):
    short = [1] * len(shape)
    short[dimension] = -1
    numbers = np.arange(shape[dimension], dtype=out.dtype).reshape(short)
    return Value(numbers, numbers.shape)


def _reshape(graph, values, out, *, new_sizes, **_):
    old = values[0].shape
    sizes = [
        n if isinstance(n, int) else 0 if i < len(old) and old[i] == n else -1
        for i, n in enumerate(new_sizes)
    ]
    return Value(graph.add("Reshape", values[0], _ints(sizes)), out.shape)


def _squeeze(graph, values, out, *, dimensions):
    return Value(graph.add("Squeeze", values[0], _ints(dimensions)), out.shape)


def _transpose(graph, values, out, *, permutation):
    return graph.transpose(values[0], permutation)


def _concatenate(graph, values, out, *, dimension):
    return Value(graph.add("Concat", *values, axis=dimension), out.shape)


def _stack(graph, values, out, *, axis):
    parts = [graph.add("Unsqueeze", value, _ints([axis])) for value in values]
    return Value(graph.add("Concat", *parts, axis=axis), out.shape)


def _pad(graph, values, out, *, padding_config):
    low, high, inner = zip(*padding_config, strict=True)
    if any(inner):
        _refuse("padding between elements")
    return Value(graph.add("Pad", values[0], _ints([*low, *high]), values[1]), out.shape)


def _slice(graph, values, out, *, start_indices, limit_indices, strides):
    shape = values[0].shape
    ends = [END if n == size else n for n, size in zip(limit_indices, shape, strict=True)]
    steps = strides or [1] * len(shape)
    bounds = (start_indices, ends, range(len(shape)), steps)
    return Value(graph.add("Slice", values[0], *map(_ints, bounds)), out.shape)


def _dynamic_slice(graph, values, out, *, slice_sizes):
    if any(isinstance(value.ref, str) for value in values[1:]):
        _refuse("slices at places that depend on the input")
    starts = [int(value.ref) for value in values[1:]]
    ends = [start + size for start, size in zip(starts, slice_sizes, strict=True)]
    return _slice(graph, values[:1], out, start_indices=starts, limit_indices=ends, strides=None)


def _split(graph, values, out, *, sizes, axis):
    parts, start = [], 0
    for size in sizes:
        bounds = map(_ints, ([start], [start + size], [axis]))
        shape = tuple(size if i == axis else n for i, n in enumerate(values[0].shape))
        parts.append(Value(graph.add("Slice", values[0], *bounds), shape))
        start += size
    return parts


def _rev(graph, values, out, *, dimensions):
    count = len(dimensions)
    bounds = ([-1] * count, [-END] * count, dimensions, [-1] * count)
    return Value(graph.add("Slice", values[0], *map(_ints, bounds)), out.shape)


def _gather(graph, values, out, *, dimension_numbers, slice_sizes, **_):
    """A part at a known place, or entries of one axis."""
    operand, indices = values
    numbers, count = dimension_numbers, len(indices.shape) - 1
    if indices.is_known and not count:
        axes = list(numbers.start_index_map)
        ends = [start + slice_sizes[i] for start, i in zip(indices.ref, axes, strict=True)]
        part = graph.add("Slice", operand, *map(_ints, (indices.ref, ends, axes)))
        gone = numbers.collapsed_slice_dims
        return Value(graph.add("Squeeze", part, _ints(gone)) if gone else part, out.shape)
    sizes = list(enumerate(zip(slice_sizes, operand.shape, strict=True)))
    cut = tuple(axis for axis, (size, whole) in sizes if size != whole)
    axis = (numbers.start_index_map or (0,))[0]
    others = [i for i in range(len(out.shape)) if not axis <= i < axis + count]
    single = numbers.collapsed_slice_dims == numbers.start_index_map == (axis,)
    if not single or cut not in ((), (axis,)) or list(numbers.offset_dims) != others:
        _refuse("indexing of that kind")
    flat = graph.add("Squeeze", indices, _ints([-1]))
    return Value(graph.add("Gather", operand, flat, axis=axis), out.shape)


def _reduce(op):
    def rule(graph, values, out, *, axes, **_):
        value = values[0]
        if out.dtype == bool:
            whole = graph.add(op, graph.cast(value, np.int32), _ints(axes), keepdims=0)
            return Value(graph.cast(whole, bool), out.shape)
        return Value(graph.add(op, value, _ints(axes), keepdims=0), out.shape)

    return rule


def _argmax(graph, values, out, *, axes, **_):
    found = graph.add("ArgMax", values[0], axis=axes[0], keepdims=0)
    return Value(graph.cast(found, out.dtype), out.shape)


def _dot_general(graph, values, out, *, dimension_numbers, **_):
    (contract, batch), letters = dimension_numbers, iter(string.ascii_lowercase)
    left, right = values
    flat = (len(left.shape) - 1,), (0,)
    if tuple(map(tuple, contract)) == flat and len(right.shape) == 2 and not batch[0]:
        return Value(graph.add("MatMul", left, right), out.shape)
    names = [[next(letters) for _ in value.shape] for value in values]
    for a, b in (*zip(*contract, strict=True), *zip(*batch, strict=True)):
        names[1][b] = names[0][a]
    shared = [names[0][i] for i in batch[0]]
    gone = {names[0][i] for i in (*contract[0], *batch[0])}
    result = shared + [n for part in names for n in part if n not in gone]
    equation = f"{''.join(names[0])},{''.join(names[1])}->{''.join(result)}"
    return Value(graph.add("Einsum", left, right, equation=equation), out.shape)


def _conv(graph, values, out, *, dimension_numbers, padding, window_strides, **params):
    if any(n != 1 for n in params["lhs_dilation"]) or params["batch_group_count"] != 1:
        _refuse("transposed convolutions")
    numbers = dimension_numbers
    image, kernel = (
        graph.transpose(value, order)
        for value, order in zip(values, (numbers.lhs_spec, numbers.rhs_spec), strict=True)
    )
    low, high = zip(*padding, strict=True)
    made = graph.add(
        "Conv", image, kernel,
        strides=list(window_strides),
        pads=[*low, *high],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )  # fmt: skip
    shape = tuple(out.shape[i] for i in numbers.out_spec)
    return graph.transpose(Value(made, shape), np.argsort(numbers.out_spec).tolist())


def _max_pool(graph, values, out, *, window_dimensions, window_strides, padding, **_):
    rank = len(out.shape)
    if window_dimensions[0] != 1 or window_dimensions[-1] != 1:
        _refuse("pooling over samples or channels")
    image = graph.transpose(values[0], (0, rank - 1, *range(1, rank - 1)))
    low, high = zip(*padding[1:-1], strict=True)
    made = graph.add(
        "MaxPool", image,
        kernel_shape=list(window_dimensions[1:-1]),
        strides=list(window_strides[1:-1]),
        pads=[*low, *high],
    )  # fmt: skip
    shape = (out.shape[0], out.shape[-1], *out.shape[1:-1])
    return graph.transpose(Value(made, shape), (0, *range(2, rank), 1))


def _scan(graph, values, out, *, jaxpr, length, reverse, **params):
    """A loop of known length, unrolled."""
    if "ft_in" in params:  # jax 0.12 and newer
        num_consts, num_carry, _ = (len(part.vals) for part in params["ft_in"].unpack())
    else:
        num_consts, num_carry = params["num_consts"], params["num_carry"]
    consts, carry = values[:num_consts], values[num_consts : num_consts + num_carry]
    rows, steps = values[num_consts + num_carry :], {}
    for i in reversed(range(length)) if reverse else range(length):
        here = [Value(graph.add("Gather", x, np.int64(i), axis=0), x.shape[1:]) for x in rows]
        found = graph.run(jaxpr.jaxpr, jaxpr.consts, [*consts, *carry, *here])
        avals = [var.aval for var in jaxpr.jaxpr.outvars]
        found = [graph.expand(value, aval) for value, aval in zip(found, avals, strict=True)]
        carry, steps[i] = found[:num_carry], found[num_carry:]
    stacked = []
    for column in zip(*(steps[i] for i in range(length)), strict=True):
        parts = [graph.add("Unsqueeze", value, _ints([0])) for value in column]
        stacked.append(Value(graph.add("Concat", *parts, axis=0), (length, *column[0].shape)))
    return [*carry, *stacked]


# Rules that take values with broadcasts left out as they are; see `Value`.
LAZY_RULES = {
    "broadcast_in_dim": _broadcast_in_dim,
    "convert_element_type": _cast,
    "select_n": _select,
    "square": _square,
    "integer_pow": _integer_pow,
    "rsqrt": _rsqrt,
    "erfc": _erfc,
    "ne": _not_equal,
    "is_finite": _is_finite,
    "iota": _iota,
    "transpose": _transpose,
}
RULES = {
    "reshape": _reshape,
    "squeeze": _squeeze,
    "concatenate": _concatenate,
    "stack": _stack,
    "pad": _pad,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "split": _split,
    "rev": _rev,
    "gather": _gather,
    "argmax": _argmax,
    "dot_general": _dot_general,
    "conv_general_dilated": _conv,
    "reduce_window_max": _max_pool,
    "scan": _scan,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_and": _reduce("ReduceMin"),
    "reduce_or": _reduce("ReduceMax"),
}

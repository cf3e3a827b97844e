"""A vector of sixteen numbers as a type of numba: load, store, arithmetic, transposition of squares, sums."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, event, types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from tsforecast.events import uncounted
from tsforecast.networks.kernels.memory import ALIGNED, folder

LANES = 16
BLOCK = 8  # rows of a product whose sums stay in registers
SLACK = 16  # rows behind a buffer that may be read, without effect


def kernel(function: Callable[..., Any], counts: bool = True) -> Callable[..., Any]:
    """Compile a function when it is first called, and keep it in the user's cache; it runs without Python's lock.

    The cache of numba looks at the file of the function alone: hence a folder for each text of all (`memory.folder`),
    unless ``NUMBA_CACHE_DIR`` names one. One that makes no arrays need not count who uses them; see `helper`.
    """
    given, how = numba.config.CACHE_DIR, {"nogil": True, "error_model": "numpy", "_nrt": counts}
    numba.config.CACHE_DIR = given or str(folder())
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **how)(function)
    except RuntimeError:  # numba finds no place for it: compile in each process
        compiled = numba.njit(**how)(function)
    finally:
        numba.config.CACHE_DIR = given
    return compiled


class _Compiling(event.Listener, threading.local):  # type: ignore[misc]
    """Keeps the clock of fits from counting what numba compiles; within one function it compiles others."""

    def __init__(self) -> None:
        self.blocks: list[ExitStack] = []

    def on_start(self, event: Any) -> None:
        """Stop the clock."""
        block = ExitStack()
        block.enter_context(uncounted("compiled kernels"))
        self.blocks.append(block)

    def on_end(self, event: Any) -> None:
        """Start it again."""
        if self.blocks:
            self.blocks.pop().close()


event.register("numba:compile", _Compiling())
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
# Compile a function that only kernels call, or one into each kernel that calls it. To count who uses an array takes as
# long as a small product: hence only a `maker` does, which makes arrays or calls their methods.
maker: Decorator = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
helper: Decorator = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False)
inlined: Decorator = numba.njit(forceinline=True, error_model="numpy", _nrt=False)
view: Decorator = numba.njit(inline="always")  # one that returns a part of an array


class Vector(types.Type):
    """The type of LANES numbers, float32 or float64."""

    def __init__(self, scalar: Any) -> None:
        super().__init__(name=f"Vector({scalar})")
        self.scalar = scalar


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.scalar).get_value_type(), LANES))


def address(context: Any, builder: Any, array: Any, values: Any) -> Any:
    """Return a pointer to row `values[1]` of a flat buffer."""
    data = context.make_array(array)(context, builder, values[0]).data
    begin = builder.gep(data, [builder.mul(values[1], values[1].type(LANES))])
    return builder.bitcast(begin, context.get_value_type(Vector(array.dtype)).as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, buffer: Any, row: Any) -> Any:
    """Return row `row` of a flat buffer."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address(context, builder, buffer, values)
        return builder.load(where, align=buffer.dtype.bitwidth // 8)

    return Vector(buffer.dtype)(buffer, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, buffer: Any, row: Any, vector: Any) -> Any:
    """Write a vector to row `row` of a flat buffer."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address(context, builder, buffer, values)
        builder.store(values[2], where, align=buffer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, vector), build


@intrinsic  # type: ignore[untyped-decorator]
def expect(typing: Any, buffer: Any, row: Any) -> Any:
    """Begin to fetch a row of a flat buffer to the second cache; it need not exist."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        where = builder.bitcast(address(context, builder, buffer, values), byte)
        builder.call(function, [where, *(ir.Constant(number, n) for n in (0, 2, 1))])  # to read, not at once, data
        return context.get_dummy_value()

    return types.void(buffer, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def zeros(typing: Any, buffer: Any) -> Any:
    """Return a vector of zeros, in the precision of a buffer."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Vector(buffer.dtype)(buffer), build


@maker
def rows(like: Any, count: int) -> Any:
    """Return a flat buffer of zeros with `count` rows, and some beyond for squares that reach over the edge."""
    size = (count + SLACK) * LANES
    longer = np.zeros(size + LANES, like.dtype)
    begin = -longer.ctypes.data % ALIGNED // longer.itemsize
    return longer[begin : begin + size]


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any) -> Any:
    """Return the same number in each lane."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _splat(builder, values[0])

    return Vector(number)(number), build


def _splat(builder: Any, value: Any) -> Any:
    kind = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), everywhere)


def _block_of(array: Any) -> Any:
    """Return the type of BLOCK vectors in the precision of an array."""
    return types.UniTuple(Vector(array.dtype), BLOCK)  # type: ignore[attr-defined]


@intrinsic  # type: ignore[untyped-decorator]
def spread(typing: Any, numbers: Any, first: Any) -> Any:
    """Return BLOCK numbers of a flat array from `first` on, each in all lanes of a vector."""
    kind = _block_of(numbers)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        places = _stepped(builder, values[1], values[1].type(1))
        vectors = [_splat(builder, builder.load(builder.gep(data, [place]))) for place in places]
        return context.make_tuple(builder, kind, vectors)

    return kind(numbers, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def load_block(typing: Any, buffer: Any, row: Any, step: Any) -> Any:
    """Return BLOCK rows of LANES numbers, `step` apart; the array may have any shape."""
    kind = _block_of(buffer)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        places = [address(context, builder, signature.args[0], (values[0], place))
                  for place in _stepped(builder, *values[1:])]  # fmt: skip
        vectors = [builder.load(place, align=buffer.dtype.bitwidth // 8) for place in places]
        return context.make_tuple(builder, kind, vectors)

    return kind(buffer, types.intp, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def store_block(typing: Any, buffer: Any, row: Any, step: Any, vectors: Any) -> Any:
    """Write BLOCK vectors to rows of a flat buffer, `step` rows apart."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        places = _stepped(builder, *values[1:3])
        for place, vector in zip(places, cgutils.unpack_tuple(builder, values[3]), strict=True):
            where = address(context, builder, signature.args[0], (values[0], place))
            builder.store(vector, where, align=buffer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, types.intp, vectors), build


@intrinsic  # type: ignore[untyped-decorator]
def add_products(typing: Any, sums: Any, numbers: Any, first: Any, step: Any, vectors: Any) -> Any:
    """Add to BLOCK sums for each vector its products with as many numbers of a flat array, `step` places apart."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[1])(context, builder, values[1]).data
        places = _stepped(builder, *values[2:4])
        factors = [_splat(builder, builder.load(builder.gep(data, [place]))) for place in places]
        old, found = cgutils.unpack_tuple(builder, values[0]), []
        for number, vector in enumerate(cgutils.unpack_tuple(builder, values[4])):
            for factor, total in zip(factors, old[number * BLOCK : (number + 1) * BLOCK], strict=True):
                more = builder.fmul(factor, vector, flags=("contract",))
                found.append(builder.fadd(total, more, flags=("contract",)))
        return context.make_tuple(builder, signature.return_type, found)

    return sums(sums, numbers, types.intp, types.intp, vectors), build


@intrinsic  # type: ignore[untyped-decorator]
def add_scaled(typing: Any, sums: Any, vectors: Any, factor: Any) -> Any:
    """Add to each sum the product of a vector and one factor."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pairs = zip(*(cgutils.unpack_tuple(builder, value) for value in values[:2]), strict=True)
        found = [
            builder.fadd(total, builder.fmul(vector, values[2], flags=("contract",)), flags=("contract",))
            for total, vector in pairs
        ]
        return context.make_tuple(builder, signature.return_type, found)

    return sums(sums, vectors, factor), build


def _stepped(builder: Any, first: Any, step: Any) -> list[Any]:
    """Return BLOCK places, from `first` on, that are `step` apart."""
    places = [first]
    for _ in range(BLOCK - 1):
        places.append(builder.add(places[-1], step))
    return places


@intrinsic  # type: ignore[untyped-decorator]
def within(typing: Any, time: Any, lengths: Any, inside: Any, outside: Any) -> Any:
    """Return `inside` in the lanes where `time` comes before `lengths`, if there are any, and `outside` elsewhere."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        time, end, inside, outside = values
        if lengths == types.none:
            return inside
        return builder.select(builder.fcmp_ordered("<", _splat(builder, time), end), inside, outside)

    return inside(getattr(lengths, "scalar", types.intp), lengths, inside, inside), build


@intrinsic  # type: ignore[untyped-decorator]
def where_positive(typing: Any, vector: Any, inside: Any) -> Any:
    """Return `inside` in the lanes where `vector` is positive or NaN, and zeros elsewhere."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        none = ir.Constant(values[0].type, None)
        return builder.select(builder.fcmp_unordered(">", values[0], none), values[1], none)

    return vector(vector, vector), build


@intrinsic  # type: ignore[untyped-decorator]
def where_known(typing: Any, vector: Any, inside: Any) -> Any:
    """Return `inside` in the lanes where `vector` is a number, and zeros where it is NaN."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        known = builder.fcmp_ordered("ord", values[0], values[0])
        return builder.select(known, values[1], ir.Constant(values[0].type, None))

    return vector(vector, vector), build


@intrinsic  # type: ignore[untyped-decorator]
def clipped(typing: Any, vector: Any, most: Any) -> Any:
    """Clip a vector to [-most, most]; NaN stays NaN."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bound, edge = values[0], _splat(builder, values[1])
        bound = builder.select(builder.fcmp_ordered(">", bound, edge), edge, bound)
        edge = builder.fneg(edge)
        return builder.select(builder.fcmp_ordered("<", bound, edge), edge, bound)

    return vector(vector, vector.scalar), build


def _define(symbol: Any, name: str) -> None:
    """Define an operation on vectors, or a vector and a number; product and sum may become one instruction."""

    @type_callable(symbol)  # type: ignore[untyped-decorator]
    def typing(context: Any) -> Any:
        def result(left: Any, right: Any) -> Any:
            kinds = [kind for kind in (left, right) if isinstance(kind, Vector)]
            plain = [kind for kind in (left, right) if isinstance(kind, types.Float)]
            return kinds[0] if kinds and len(kinds) + len(plain) == 2 else None

        return result

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector = signature.return_type
        both = [
            value if kind == vector else _splat(builder, context.cast(builder, value, kind, vector.scalar))
            for value, kind in zip(values, signature.args, strict=True)
        ]
        return getattr(builder, name)(*both, flags=("contract",))

    for kinds in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(symbol, *kinds)(build)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")


@intrinsic  # type: ignore[untyped-decorator]
def load_transposed(typing: Any, matrix: Any, first: Any, column: Any, buffer: Any, row: Any) -> Any:
    """Write sixteen columns of sixteen rows of a matrix, from `first` and `column` on, to vectors."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        across = [builder.load(where, align=buffer.dtype.bitwidth // 8)
                  for where in _row_pointers(context, builder, signature.args[0], values[:3])]  # fmt: skip
        for number, vector in enumerate(_transposed(builder, across)):
            at = builder.add(values[4], values[4].type(number))
            builder.store(vector, address(context, builder, buffer, (values[3], at)), align=buffer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(matrix, types.intp, types.intp, buffer, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def store_transposed(typing: Any, buffer: Any, row: Any, matrix: Any, first: Any, column: Any) -> Any:
    """Write vectors to sixteen columns of sixteen rows of a matrix, from `first` and `column` on."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows_of = [builder.add(values[1], values[1].type(number)) for number in range(LANES)]
        down = [builder.load(address(context, builder, buffer, (values[0], at)), align=buffer.dtype.bitwidth // 8)
                for at in rows_of]  # fmt: skip
        places = _row_pointers(context, builder, signature.args[2], values[2:])
        for vector, where in zip(_transposed(builder, down), places, strict=True):
            builder.store(vector, where, align=buffer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, matrix, types.intp, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def turn(typing: Any, source: Any, row: Any, target: Any, place: Any) -> Any:
    """Transpose LANES rows of a buffer into rows of another one."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        def rows_of(kind: Any, array: Any, first: Any) -> list[Any]:
            places = [builder.add(first, first.type(number)) for number in range(LANES)]
            return [address(context, builder, kind, (array, at)) for at in places]

        align = source.dtype.bitwidth // 8
        square = [builder.load(where, align=align) for where in rows_of(source, *values[:2])]
        for vector, where in zip(_transposed(builder, square), rows_of(target, *values[2:]), strict=True):
            builder.store(vector, where, align=align)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), build


def _row_pointers(context: Any, builder: Any, kind: Any, values: Any) -> list[Any]:
    """Return pointers to sixteen rows of a matrix, from a row and a column on; its columns are contiguous."""
    matrix = context.make_array(kind)(context, builder, values[0])
    step = cgutils.unpack_tuple(builder, matrix.strides)[0]  # bytes from row to row
    begin = builder.add(builder.ptrtoint(matrix.data, step.type), builder.mul(values[1], step))
    begin = builder.add(begin, builder.mul(values[2], values[2].type(kind.dtype.bitwidth // 8)))
    places = [builder.add(begin, builder.mul(step, step.type(number))) for number in range(LANES)]
    return [builder.inttoptr(place, context.get_value_type(Vector(kind.dtype)).as_pointer()) for place in places]


def _transposed(builder: Any, square: list[Any]) -> list[Any]:
    """Transpose a square of vectors."""
    width = 1
    while width < LANES:  # in each pair at a distance of `width`, swap blocks of that width
        low = [i if i // width % 2 == 0 else i + LANES - width for i in range(LANES)]
        kept = list(square)
        for one in (i for i in range(LANES) if i // width % 2 == 0):
            pair = square[one], square[one + width]
            kept[one] = _shuffled(builder, *pair, low)
            kept[one + width] = _shuffled(builder, *pair, [i + width for i in low])
        square, width = kept, 2 * width
    return square


@intrinsic  # type: ignore[untyped-decorator]
def sums(typing: Any, parts: Any) -> Any:
    """Return the sums of sixteen vectors, each in a lane of its own."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kept, width = list(cgutils.unpack_tuple(builder, values[0])), LANES
        while len(kept) > 1:  # of each two the halves of all partial sums are added, into one with twice as many
            half = width // 2
            low = [begin + i for begin in range(0, LANES, width) for i in range(half)]
            low += [LANES + i for i in low]
            pairs = zip(kept[::2], kept[1::2], strict=True)
            kept = [
                builder.fadd(_shuffled(builder, *pair, low), _shuffled(builder, *pair, [i + half for i in low]))
                for pair in pairs
            ]
            width = half
        return kept[0]

    return parts.dtype(parts), build


@intrinsic  # type: ignore[untyped-decorator]
def add_square(typing: Any, matrix: Any, row: Any, column: Any, square: Any) -> Any:
    """Add the lanes of a vector, row by row, to a square of a matrix, whose columns are contiguous."""
    side = int(LANES**0.5)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        none = ir.Constant(values[3].type, ir.Undefined)
        places = _row_pointers(context, builder, signature.args[0], values[:3])
        for number, place in enumerate(places[:side]):
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), side), [number * side + i for i in range(side)])
            part = builder.shuffle_vector(values[3], none, lanes)
            where = builder.bitcast(place, part.type.as_pointer())
            align = matrix.dtype.bitwidth // 8
            builder.store(builder.fadd(builder.load(where, align=align), part), where, align=align)
        return context.get_dummy_value()

    return types.void(matrix, types.intp, types.intp, square), build


def _shuffled(builder: Any, left: Any, right: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), LANES), places))

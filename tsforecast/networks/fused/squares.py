"""Squares of sixteen lanes by sixteen: turned, so that rows of a matrix become lanes and back, and summed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from tsforecast.networks.fused.lanes import LANES, Lanes, address


@intrinsic  # type: ignore[untyped-decorator]
def turn_in(typing: Any, matrix: Any, first: Any, column: Any, buffer: Any, row: Any) -> Any:
    """Put sixteen columns of sixteen rows of a matrix, from `first` and `column` on, into rows of lanes."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        across = [builder.load(where, align=buffer.dtype.bitwidth // 8)
                  for where in _places(context, builder, signature.args[0], values[:3])]  # fmt: skip
        for number, lanes in enumerate(_turned(builder, across)):
            at = builder.add(values[4], values[4].type(number))
            builder.store(lanes, address(context, builder, buffer, (values[3], at)), align=buffer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(matrix, types.intp, types.intp, buffer, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def turn_out(typing: Any, buffer: Any, row: Any, matrix: Any, first: Any, column: Any) -> Any:
    """Put rows of lanes into sixteen columns of sixteen rows of a matrix, from `first` and `column` on."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows_of = [builder.add(values[1], values[1].type(number)) for number in range(LANES)]
        down = [builder.load(address(context, builder, buffer, (values[0], at)), align=buffer.dtype.bitwidth // 8)
                for at in rows_of]  # fmt: skip
        places = _places(context, builder, signature.args[2], values[2:])
        for lanes, where in zip(_turned(builder, down), places, strict=True):
            builder.store(lanes, where, align=buffer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, matrix, types.intp, types.intp), build


def _places(context: Any, builder: Any, kind: Any, values: Any) -> list[Any]:
    """Return where sixteen rows of a matrix begin, from a row and a column on; its columns lie beside each other."""
    matrix = context.make_array(kind)(context, builder, values[0])
    step = cgutils.unpack_tuple(builder, matrix.strides)[0]  # bytes from row to row
    begin = builder.add(builder.ptrtoint(matrix.data, step.type), builder.mul(values[1], step))
    begin = builder.add(begin, builder.mul(values[2], values[2].type(kind.dtype.bitwidth // 8)))
    places = [builder.add(begin, builder.mul(step, step.type(number))) for number in range(LANES)]
    return [builder.inttoptr(place, context.get_value_type(Lanes(kind.dtype)).as_pointer()) for place in places]


def _turned(builder: Any, square: list[Any]) -> list[Any]:
    """Return lanes of which the first holds the first number of each that was given, and so on."""
    width = 1
    while width < LANES:  # of each two that lie `width` apart, blocks of that width change places
        low = [i if i // width % 2 == 0 else i + LANES - width for i in range(LANES)]
        kept = list(square)
        for one in (i for i in range(LANES) if i // width % 2 == 0):
            pair = square[one], square[one + width]
            kept[one] = _picked(builder, *pair, low)
            kept[one + width] = _picked(builder, *pair, [i + width for i in low])
        square, width = kept, 2 * width
    return square


@intrinsic  # type: ignore[untyped-decorator]
def sums(typing: Any, parts: Any) -> Any:
    """Return the sums of sixteen lanes, each in a lane of its own."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kept, width = list(cgutils.unpack_tuple(builder, values[0])), LANES
        while len(kept) > 1:  # of each two the halves of all partial sums are added, into one with twice as many
            half = width // 2
            low = [begin + i for begin in range(0, LANES, width) for i in range(half)]
            low += [LANES + i for i in low]
            pairs = zip(kept[::2], kept[1::2], strict=True)
            kept = [
                builder.fadd(_picked(builder, *pair, low), _picked(builder, *pair, [i + half for i in low]))
                for pair in pairs
            ]
            width = half
        return kept[0]

    return parts.dtype(parts), build


def _picked(builder: Any, left: Any, right: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), LANES), places))

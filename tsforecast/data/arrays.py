"""In and out: plain arrays of numbers without time stamps, in every shape that people use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.frames import Roles, Source, Table
from tsforecast.errors import DataError, raise_any


def read(data: Any) -> Table:
    """Read (T,), (T, C) or (N, T, C) numbers, or a list of ragged (T,) or (T, C) arrays.

    Every channel is a target, named ``y`` or ``y0, y1, ...``; series are numbered from 0.

    Raises
    ------
    DataError
        When the shape is another one or there is something else than numbers.
    """
    parts, source = _parts(data)
    channels = parts[0].shape[1]
    names = ("y",) if channels == 1 else tuple(f"y{c}" for c in range(channels))
    values = np.concatenate(parts)  # (rows, C); a copy, so that nobody can change the panel from outside
    offsets = np.cumsum([0, *map(len, parts)])
    return Table(dict(zip(names, values.T, strict=True)), Roles(names), source, offsets=offsets)


def write(source: Source, values: NDArray[Any]) -> Any:
    """Return forecasts of shape (N, H, K) in the form of the arrays, or of the y, that were read."""
    if source.form == "array":
        return {1: values[0, :, 0], 2: values[0], 3: values}[source.ndim]
    if source.form == "windows":
        return {1: values[:, 0, 0], 2: values[..., 0], 3: values}[source.ndim]
    return list(values[..., 0] if source.ndim == 1 else values)


def _parts(data: Any) -> tuple[list[NDArray[Any]], Source]:
    """Return one (T, C) array of floats for each series, and how the caller wrote them."""
    if data is None or isinstance(data, (dict, set)) or np.isscalar(data):
        named = type(data).__name__ if isinstance(data, (dict, set)) else repr(data)
        raise DataError(f"data must be a frame, a Series, an array, a list of arrays or a Panel: got {named}")
    if isinstance(data, (list, tuple)) and data and not np.isscalar(data[0]):
        arrays = [_floats(part, f"series {i}") for i, part in enumerate(data)]
        ndim = arrays[0].ndim
        wanted = "one dimension" if ndim == 1 else "shape (T, C)"
        raise_any(
            f"series {i} must have {wanted} like series 0: got shape {a.shape}"
            for i, a in enumerate(arrays)
            if a.ndim != ndim or ndim not in (1, 2) or a.shape[1:] != arrays[0].shape[1:]
        )
        source = Source("arrays", ndim)
    else:
        array = _floats(data, "the array")
        if array.ndim not in (1, 2, 3):
            raise DataError(f"an array must have shape (T,), (T, C) or (N, T, C): got {array.shape}")
        arrays = list(array) if array.ndim == 3 else [array]
        source = Source("array", array.ndim)
    empty = [i for i, array in enumerate(arrays) if not array.size]
    if empty or not arrays:
        which = f": series {empty[0]} has shape {arrays[empty[0]].shape}" if empty else ""
        raise DataError(f"the data must have at least one step and one channel in every series{which}")
    return [a.reshape(len(a), -1) for a in arrays], source


def _floats(data: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(data)
        if np.iscomplexobj(array):
            raise DataError(f"{what} must hold real numbers: it holds {array.dtype}; pass its real part or its size")
        if array.dtype.kind not in "biufO":
            raise DataError(f"{what} must hold numbers: it holds {array.dtype}; convert it first")
        return array if array.dtype == np.float32 else array.astype(np.float64)
    except DataError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} must hold numbers: {error}") from None

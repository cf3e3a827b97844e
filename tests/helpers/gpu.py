"""A GPU that is not there: tensors that claim to lie on it, what may not happen in an epoch, and graphs of operations.

Numbers lie on the host, in tensors that name another device. Operations between both devices, and reading such tensors
as arrays, fail as they do with a GPU; while `strict`, so does whatever makes the host wait for the device. A captured
graph is the list of its operations, which are carried out again on the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tsforecast.data.windows import Windows
from tsforecast.training import loop, optim

DEVICE = torch.device("meta")  # the one device besides the host that torch has everywhere; here it has numbers
WAITING = {
    "item",
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "is_nonzero",
    "equal",
    "_unique2",
    "repeat_interleave",
}
PLACES = {"index", "index_put", "index_put_", "_index_put_impl_"}  # which wait where a place is a mask
COPIES = {"copy_", "_to_copy", "to"}
PACKING = {"_pack_padded_sequence", "_pad_packed_sequence"}  # sizes are those of the host, on the way in and out
SIZES = PACKING | {"gru", "lstm", "rnn_tanh"}


class OnGpu(torch.Tensor):
    """A tensor of the host that names the GPU as its device."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnGpu:
        about = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        with torch.inference_mode(False):  # which a view of another tensor must not be of
            made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), device=DEVICE, **about)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} is beyond the block with the GPU")

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.inner!r})"


class Gpu(TorchDispatchMode):
    """The device; `torch_device` must name it."""

    def __init__(self) -> None:
        super().__init__()
        self.strict = False  # whether nothing may wait for it
        self.tape: list[Any] | None = None  # operations of the graph that is being captured
        self.undo: list[tuple[torch.Tensor, torch.Tensor]] = []  # what they changed, as it was before
        self.graphs = self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        here = any(isinstance(x, OnGpu) for x in given)
        device = next((x for x in (*args, *kwargs.values()) if isinstance(x, torch.device)), None)
        result_here = here if device is None else torch.device(device).type == DEVICE.type
        if not here and not result_here:
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        self._check(name, args, kwargs, given, result_here)
        plain, options = tree_map(_inner, (args, kwargs))
        seen = self.tape is not None and torch.Tag.inplace_view not in func.tags
        if seen and func._schema.is_mutable:
            self.undo += [(x, x.clone()) for x in _written(func, plain, options)]
        kept = tree_map(_place, (plain, options))
        found = func(*plain, **options)
        if torch.Tag.inplace_view in func.tags:  # of which the shape that is claimed must follow
            with no_dispatch():
                func(*args, **kwargs)
        if name in COPIES and device is not None and found is plain[0] and here != result_here:
            found = found.clone()
        if self.tape is not None and seen:
            self.tape.append((func, *kept, tree_map(_place, found)))
        if not result_here:
            return found
        if name in PACKING:
            return _outer(found[0]), found[1]
        known = {id(_inner(x)): x for x in given}
        return tree_map(lambda x: known[id(x)] if id(x) in known else _outer(x), found)

    def _check(self, name: str, args: Any, kwargs: Any, given: list[torch.Tensor], result_here: bool) -> None:
        """Fail as a GPU does, or as this one is told to."""
        mixed = any(not isinstance(x, OnGpu) and x.ndim for x in given) and any(isinstance(x, OnGpu) for x in given)
        crosses = name in COPIES and (mixed or isinstance(args[0], OnGpu) != result_here)
        waits = name in WAITING or (name in PLACES and (mixed or _masks(args[1])))
        if crosses:
            into, blocks = (
                isinstance(args[0], OnGpu) if name == "copy_" else result_here,
                not _non_blocking(args, kwargs),
            )
            waits = blocks or not into
        if mixed and name not in COPIES | PLACES | SIZES:
            raise RuntimeError(f"{name}: expected all tensors on one device")
        if self.tape is not None and (waits or crosses):
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        if self.strict and waits:
            raise AssertionError(f"{name} waits for the device")

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what carries out all operations of `work`, of which none counts now."""
        self.tape, self.undo, random = [], [], torch.get_rng_state()
        try:
            work()
            tape = self.tape
        finally:
            self.tape = None
            torch.set_rng_state(random)
            for changed, before in reversed(self.undo):
                changed.copy_(before)
            self.undo = []
        self.graphs += 1

        def replay() -> None:
            self.replays += 1
            with torch.no_grad():
                for func, args, options, found in tape:
                    again = func(*args, **options)
                    for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True):
                        if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                            old.copy_(new)

        return replay


class FakeStream:
    """The stream of the GPU; see `tsforecast.training.optim.Stream`."""

    def __init__(self, gpu: Gpu) -> None:
        self.capture = gpu.capture

    @contextmanager
    def used(self) -> Iterator[None]:
        """Do nothing: there is one."""
        yield


@contextmanager
def gpu(monkeypatch: Any) -> Iterator[Gpu]:
    """Put the device in place."""
    found = Gpu()
    for module in (loop, optim):
        monkeypatch.setattr(module, "Stream", lambda device: FakeStream(found))
    monkeypatch.setattr(loop, "captures", lambda dataset, device: device == DEVICE and type(dataset) is Windows)
    optimizers = import_module("torch.optim.optimizer")
    name = "_get_fused_kernels_supported_devices"
    monkeypatch.setattr(optimizers, name, lambda: ["cpu", DEVICE.type])
    with found:
        yield found


def _inner(x: Any) -> Any:
    if isinstance(x, torch.device):
        return torch.device("cpu")
    return x.inner if isinstance(x, OnGpu) else x


def _outer(x: Any) -> Any:
    return OnGpu(x) if isinstance(x, torch.Tensor) else x


def _place(x: Any) -> Any:
    """Return the memory of a tensor in its shape of now."""
    return x.detach() if isinstance(x, torch.Tensor) else x


def _masks(places: Any) -> bool:
    return any(isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in places)


def _non_blocking(args: Any, kwargs: Any) -> bool:
    return bool(kwargs.get("non_blocking", len(args) > 2 and args[2]))


def _written(func: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
    """Return the tensors that an operation changes."""
    declared = list(func._schema.arguments)
    named = dict(zip([a.name for a in declared], args, strict=False)) | kwargs
    changed = [named.get(a.name) for a in declared if a.alias_info is not None and a.alias_info.is_write]
    return [x for x in tree_leaves(changed) if isinstance(x, torch.Tensor)]

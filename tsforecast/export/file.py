"""Files of graphs: ONNX or PT2, with names and a golden pair as JSON inside, checked before they are written."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsforecast.data.context import Context
from tsforecast.data.series import MISSING
from tsforecast.errors import ParameterError, Problem
from tsforecast.files import OutputError, new_file, require_place
from tsforecast.provenance import machine, versions

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT, OPSET = 1, 18
NAME = "tsforecast"  # of the facts in a file
SUFFIXES = (".onnx", ".pt2")
SCRIPTS = {"forecast": "forecast.py", "recordings": "predict.py"}  # by kind of graph
MARK = "with a graph that tsforecast exported"  # in the first line of a program
INPUTS = ("past", "known", "series", "ahead", "static")
Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


class Entry(nn.Module):
    """A graph that takes only the inputs it needs, and returns quantiles only if it has any."""

    def __init__(self, graph: nn.Module, needed: Sequence[str], quantiles: bool) -> None:
        super().__init__()
        self.body, self.needed, self.quantiles = graph, tuple(needed), quantiles

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return points, and perhaps quantiles."""
        inputs = dict(zip(self.needed, given, strict=True))
        count = inputs["past"].shape[0]
        inputs.setdefault("series", torch.full_like(inputs["known"], -1))
        for name, shape in (("ahead", (count, 1, 0)), ("static", (count, 0))):
            inputs.setdefault(name, inputs["past"].new_zeros(shape))
        points, quantiles = self.body(*(inputs[name] for name in INPUTS))
        return (points, quantiles) if self.quantiles else points


@dataclass(frozen=True, eq=False)
class Exported:
    """A graph, an example of its inputs and the answers of the model itself, and the facts of the file."""

    module: nn.Module  # takes the inputs and returns the outputs in their order
    inputs: Arrays  # by name
    expected: dict[str, Floats]  # outputs by name
    tolerance: dict[str, Floats]  # largest difference, of each number of an output
    free: dict[str, dict[int, str]]  # names of the axes of inputs and outputs whose size may differ
    kind: str  # of the program that is written next to it, among SCRIPTS
    facts: Mapping[str, Any]


def inputs_of(past: Context, ids: Sequence[Any], texts: Mapping[str, Sequence[str]], horizon: int) -> Arrays:
    """Return contexts as the inputs of a graph."""
    longest, known = int(past.lengths.max()), past.lengths
    rows = np.full((len(past), longest, len(past.columns)), np.nan)
    for i, length in enumerate(known):
        rows[i, longest - length :] = past.history(i, filled=False)[-length:]
    place = {name: at for at, name in enumerate(ids)}
    roles = past.roles
    static = np.zeros((len(past), len(roles.static)))
    for at, name in enumerate(roles.static):
        values = past.statics[name]
        if name in texts:
            number = {text: code for code, text in enumerate(texts[name])}
            values = np.array([number.get(str(value), MISSING) for value in values])
        static[:, at] = values
    return {
        "past": rows,
        "known": known.astype(np.int64),
        "series": np.array([place.get(name, -1) for name in past.ids.tolist()], dtype=np.int64),
        "ahead": past.future_known(horizon),
        "static": static,
    }


def require_file(file: Path, kind: str) -> Path:
    """Return the path of a file that can be written; raise ParameterError or OutputError otherwise."""
    if file.suffix not in SUFFIXES:
        must = "must end in .onnx or .pt2"
        raise ParameterError(Problem(must, f"got {str(file)!r}", "use such as 'model.onnx'", parameter="file"))
    if file.suffix == ".onnx":
        _require_library()
    require_place(file.parent)
    if file.is_dir():
        raise OutputError(f"{str(file)!r} must be a file: it is a folder, which stays as it is; name another place")
    script = file.with_name(SCRIPTS[kind])
    if file.suffix == ".onnx" and script.exists() and MARK not in script.read_text("utf-8", errors="replace"):
        raise OutputError(
            f"{str(script)!r} must be absent or of an older export: it is another file; name another folder"
        )
    return file


def _require_library() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"an export to .onnx needs the package {error.name}, which is not installed: install it with "
            "pip install 'tsforecast-toolkit[export]', or export to .pt2",
            name=error.name,
        ) from error


def write(exported: Exported, file: Path) -> Path:
    """Write a graph once it is seen to repeat its model; ParameterError is raised where it does not."""
    given = [torch.from_numpy(part) for part in exported.inputs.values()]
    entry = exported.module.eval().requires_grad_(False)
    with torch.no_grad():
        found = entry(*given)
        outputs = [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]
    _require_same(exported, outputs)
    facts = _facts(exported, outputs)
    with new_file(file) as unfinished, _quiet(), torch.no_grad():
        if file.suffix == ".pt2":
            program = torch.export.export(entry, _wide(given), dynamic_shapes=_shapes(exported), strict=False)
            torch.export.save(program, unfinished, extra_files={f"{NAME}.json": json.dumps(facts)})
        else:
            _write_onnx(entry, exported, _wide(given), unfinished, facts)
            _require_runs(exported, unfinished)
    if file.suffix == ".onnx":
        script = SCRIPTS[exported.kind]
        with new_file(file.with_name(script)) as unfinished:
            shutil.copyfile(Path(__file__).with_name(script), unfinished)
    return file


def _write_onnx(
    entry: nn.Module, exported: Exported, given: tuple[Tensor, ...], file: Path, facts: Mapping[str, Any]
) -> None:
    """Write a graph as operations of ONNX, with facts, and without the traces of the machine that made it."""
    # The older exporter of torch takes a twentieth of the time, and keeps each recurrent layer as one operation.
    torch.onnx.export(
        entry,
        given,
        file,
        input_names=list(exported.inputs),
        output_names=list(exported.expected),
        dynamic_axes=exported.free,
        opset_version=OPSET,
        dynamo=False,
    )
    import onnx

    model = onnx.load(file)
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    entry_of_facts = model.metadata_props.add()
    entry_of_facts.key, entry_of_facts.value = NAME, json.dumps(facts, allow_nan=False)
    file.write_bytes(model.SerializeToString(deterministic=True))


def _require_same(exported: Exported, outputs: Sequence[Floats]) -> None:
    """Raise ParameterError unless a graph returns the answers of its model, but for rounding."""
    furthest = 0.0
    for (name, wanted), found in zip(exported.expected.items(), outputs, strict=True):
        same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        with np.errstate(invalid="ignore"):
            off = np.where(same, 0.0, np.abs(found - wanted) / exported.tolerance[name])
        if name == "quantiles":  # a series that is too short for a window has points alone
            off = np.where(np.isnan(found), 0.0, off)
        furthest = max(furthest, float(np.nan_to_num(off, nan=np.inf).max(initial=0.0)))
    if furthest > 1:
        raise ParameterError(
            f"a graph must repeat the answers of its model: one is off by {furthest:.3g} times what is allowed; "
            "report this model, and keep it with save"
        )


def _require_runs(exported: Exported, file: Path) -> None:
    """Raise ParameterError unless onnxruntime repeats the golden pair from the file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    _require_same(exported, session.run(None, exported.inputs))


def _wide(given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return inputs of three series at least: a number of one would be taken for fixed."""
    return tuple(torch.cat([part] * 3) for part in given)


def _shapes(exported: Exported) -> tuple[tuple[dict[int, Any], ...]]:
    """Return which sizes of the inputs may differ from those of the example."""
    axes = {name: torch.export.Dim(name, min=1) for part in exported.free.values() for name in part.values()}
    return (tuple({at: axes[name] for at, name in exported.free[key].items()} for key in exported.inputs),)


def _facts(exported: Exported, outputs: Sequence[Floats]) -> dict[str, Any]:
    """Return the facts of a file, as JSON has them."""
    golden = {name: _listed(part) for name, part in exported.inputs.items()}
    return {
        "format": FORMAT,
        **exported.facts,
        "inputs": list(exported.inputs),
        "golden": {"inputs": golden, "outputs": dict(zip(exported.expected, map(_listed, outputs), strict=True))},
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
    }


def _listed(array: NDArray[Any]) -> list[Any]:
    """Return an array as lists with None in place of NaN, which JSON does not have."""
    plain = array.astype(object)
    plain[np.isnan(array)] = None
    found: list[Any] = plain.tolist()
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep messages of the exporter of torch from the user."""
    import logging

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)

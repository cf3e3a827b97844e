"""Graphs of models of recordings: from raw steps to probabilities or numbers, for recordings of any lengths at once."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsforecast.data.samples import read
from tsforecast.data.scaling import ARRAYS, Scaling
from tsforecast.errors import ParameterError, Problem, raise_any
from tsforecast.export.convolutions import Features, Ridge
from tsforecast.export.file import Exported
from tsforecast.export.scales import Scale
from tsforecast.networks.encoders import RecurrentLayer
from tsforecast.networks.layers import BatchNorm

EXAMPLES = (24, 40, 9)  # steps of the golden recordings, unless all that were fitted have one length
TOLERANCE = 1e-5  # of a probability, or of the spread of a number
EITHER = "export a network, a RocketClassifier, or an ensemble of these"
Floats = NDArray[np.float64]


def exported(model: Any, suffix: str) -> Exported:
    """Return the graph of a fitted model of recordings, for a file of some kind; ParameterError where it has none."""
    steps = getattr(model, "n_features_in_", None)
    problems = problems_of(model)
    if suffix == ".pt2" and steps is None and any(_recurs(each) for each in (model, *model.members_)):
        got = "a recurrent network of recordings of any length, whose steps torch.export counts"
        problems.append(Problem("must end in .onnx", f"got {got}", "export to .onnx", parameter="file"))
    raise_any(problems, ParameterError)
    waves = _waves(model, EXAMPLES if steps is None else (steps,) * len(EXAMPLES))
    name, at_steps = "numbers" if hasattr(model, "n_outputs_") else "probabilities", getattr(model, "at_steps", False)
    answers = model._answers(read(waves))
    longest, lengths = max(map(len, waves)), np.array([len(wave) for wave in waves], dtype=np.int64)
    expected = padded(np.split(answers, lengths.cumsum()[:-1]), longest) if at_steps else answers
    axes = {0: "count", 1: "steps"} if steps is None else {0: "count"}
    free = {"recordings": axes, "lengths": {0: "count"}, name: axes if at_steps else {0: "count"}}
    spread = model.truth_scaling_.scale[0][:, None] if name == "numbers" else np.ones(1)
    return Exported(
        module=Entry(graph_of(model)),
        inputs={"recordings": padded(waves, longest), "lengths": lengths},
        expected={name: expected},
        tolerance={name: TOLERANCE * spread},
        free=free,
        kind="recordings",
        facts=_facts(model, name, at_steps),
    )


def problems_of(model: Any) -> list[str]:
    """Return a sentence on each part of a fitted model of recordings that has no graph."""
    if members := model.members_:
        return list(dict.fromkeys(problem for member in members for problem in problems_of(member)))
    if not (hasattr(model, "network_") or hasattr(model, "bank_")):
        return [Problem(f"{type(model).__name__} must have a graph to be exported", "it has none", EITHER)]
    problems: list[str] = []
    if model.scaling_.tools:
        remedy = "fit with 'standard', 'min-max', 'robust' or None"
        problems.append(Problem("must have a graph", f"got {model.scaler!r}", remedy, parameter="scaler"))
    return problems


def _recurs(model: Any) -> bool:
    return hasattr(model, "network_") and model.network_.architecture.cell != "conv1d"


def graph_of(model: Any) -> nn.Module:
    """Return the graph of a fitted model of recordings."""
    if members := model.members_:
        return Mean([graph_of(member) for member in members], model.weights_)
    if hasattr(model, "bank_"):
        return Convolved(model)
    drawn = getattr(model, "convolutions_", None)
    features = None if drawn is None else Features(drawn, model.channels_)
    return Recordings(model.network_, model.scaling_, answers_of(model._target()), features)


class Entry(nn.Module):
    """A graph whose inputs have no names of their own, as that of a forecaster."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.body = graph

    def forward(self, *given: Tensor) -> Tensor:
        """Return the answers."""
        found: Tensor = self.body(*given)
        return found


class Recordings(nn.Module):
    """A network with its scales before it, and what makes probabilities or numbers of its outputs after it."""

    def __init__(self, network: nn.Module, scaling: Scaling, answers: nn.Module, features: nn.Module | None) -> None:
        super().__init__()
        self.network, self.scales, self.answers = plain(copy.deepcopy(network).cpu()), Scales(scaling), answers
        self.features = features  # of random convolutions, that the head reads besides

    def forward(self, recordings: Tensor, lengths: Tensor) -> Tensor:
        """Return answers, (N, ...), or (N, T, ...) at steps, of recordings (N, T, C) whose first `lengths` are read."""
        steps, within = scaled(recordings, lengths, self.scales())
        more = None if self.features is None else self.features(steps, lengths)
        found: Tensor = self.answers(self.network(steps, lengths, None, more).double())
        at_steps = self.network.pooling is None
        return torch.where(within, found, torch.nan) if at_steps else found  # none after the end of a recording


class Convolved(nn.Module):
    """A `RocketClassifier` with its scales before it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.scales, self.ridge = Scales(model.scaling_), Ridge(model)

    def forward(self, recordings: Tensor, lengths: Tensor) -> Tensor:
        """Return probabilities, (N, K), of recordings (N, T, C) whose first `lengths` are read."""
        found: Tensor = self.ridge(scaled(recordings, lengths, self.scales())[0], lengths)
        return found


def scaled(recordings: Tensor, lengths: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
    """Return scaled steps, float32, zero after the end of each recording, and which lie before it, (N, T, 1)."""
    within = (torch.arange(recordings.shape[1]) < lengths[:, None])[..., None]
    return torch.where(within, scale.transform(recordings), 0.0).float(), within


def plain(module: nn.Module) -> nn.Module:
    """Replace the parts of a network whose operations no graph has, and return it."""
    part: Any
    for name, part in module.named_children():
        if hasattr(part, "fused"):  # read by kernels
            part.fused = False
        if isinstance(part, BatchNorm):
            module.register_module(name, Affine(part))
        elif isinstance(part, RecurrentLayer) and part.cell.bidirectional:
            module.register_module(name, BothWays(part))
        plain(getattr(module, name))
    return module


class Affine(nn.Module):
    """A trained batch normalisation: a factor and an offset of each unit."""

    factor: Tensor
    offset: Tensor

    def __init__(self, norm: Any) -> None:
        super().__init__()
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        self.register_buffer("factor", factor.detach())
        self.register_buffer("offset", (norm.bias - norm.running_mean * factor).detach())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, T, U)."""
        return x * self.factor + self.offset


class BothWays(nn.Module):
    """A recurrent layer whose second direction begins at the end of each recording, without packed sequences."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.join, self.residual = layer.join, layer.residual
        self.norm = Affine(layer.norm) if isinstance(layer.norm, BatchNorm) else layer.norm
        cell, ways = layer.cell, []
        for weights in cell.all_weights:
            way = type(cell)(cell.input_size, cell.hidden_size, batch_first=True)
            way.load_state_dict(dict(zip(way.state_dict(), (part.detach() for part in weights), strict=True)))
            ways.append(way)
        self.ways = nn.ModuleList(ways)

    def forward(self, x: Tensor, lengths: Tensor, embed: nn.Module | None = None) -> Tensor:
        """Map (B, T, U) to (B, T, U); see `RecurrentLayer.forward`."""
        x = self.norm(x if embed is None else embed(x))
        place = torch.arange(x.shape[1])
        turned = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)  # (B, T)
        turned = turned[..., None].expand(-1, -1, x.shape[2])
        ahead, back = self.ways[0](x)[0], self.ways[1](x.gather(1, turned))[0].gather(1, turned)
        states: Tensor = self.join(torch.cat([ahead, back], dim=2))
        return x + states if self.residual else states


class Scales(nn.Module):
    """The scales of channels, or of numbers."""

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        for name in ARRAYS:
            self.register_buffer(name, torch.from_numpy(np.array(getattr(scaling, name)[:1, None], dtype=np.float64)))

    def forward(self) -> Scale:
        """Return the scale of any number of recordings."""
        return Scale(False, *(getattr(self, name) for name in ARRAYS))


class Mean(nn.Module):
    """The weighted mean of the answers of members."""

    def __init__(self, members: list[nn.Module], weights: list[float]) -> None:
        super().__init__()
        self.members, self.weights = nn.ModuleList(members), tuple(weights)

    def forward(self, recordings: Tensor, lengths: Tensor) -> Tensor:
        """Return answers, (N, ...)."""
        each = [weight * part(recordings, lengths) for weight, part in zip(self.weights, self.members, strict=True)]
        return torch.stack(each).sum(0)


class Shares(nn.Module):
    """Probabilities of classes; see `sequences.targets.Classes` and its subclasses."""

    def __init__(self, form: str, temperature: float, places: NDArray[np.int64] | None = None) -> None:
        super().__init__()
        self.form, self.temperature = form, temperature
        self.places = [] if places is None else places.tolist()

    def forward(self, outputs: Tensor) -> Tensor:
        """Return probabilities, (..., K), of outputs, (..., Q)."""
        logits = outputs / self.temperature
        if self.form == "classes" and outputs.shape[-1] > 1:
            return torch.softmax(logits, dim=-1)
        second = torch.sigmoid(logits)
        if self.form == "several":
            return second
        if self.form == "classes":
            return torch.cat([1 - second, second], dim=-1)
        above = second.log().cumsum(-1).exp()  # a running product, which ONNX does not have
        one = torch.ones_like(above[..., :1])
        below = torch.cat([one, above], dim=-1) - torch.cat([above, torch.zeros_like(one)], dim=-1)
        return below[..., self.places]


class Numbers(nn.Module):
    """Numbers in the units of the truth, and perhaps their deviations; see `sequences.targets.Numbers`."""

    def __init__(self, scaling: Scaling, spread: bool) -> None:
        super().__init__()
        self.scales, self.spread = Scales(scaling), spread

    def forward(self, outputs: Tensor) -> Tensor:
        """Return numbers, (N, M, P), of outputs, (N, Q)."""
        scale: Scale = self.scales()
        count = scale.scale.shape[-1]
        level = scale.inverse(outputs[:, None, :count])[:, 0]
        if not self.spread:
            return level[..., None]
        return torch.stack([level, outputs[:, count:].exp() * scale.scale[0]], dim=-1)


def answers_of(target: Any) -> nn.Module:
    """Return what makes answers of the outputs of a network."""
    form = type(target).__name__
    if form == "Numbers":
        return Numbers(target.scaling, target.name == "normal")
    names = {"Classes": "classes", "Ordered": "ordered", "Several": "several"}
    return Shares(names[form], target.temperature, getattr(target, "places", None))


def padded(parts: list[Floats], steps: int) -> Floats:
    """Return arrays (T, ...) as one, (N, steps, ...), with NaN after the end of each."""
    found = np.full((len(parts), steps, *parts[0].shape[1:]), np.nan)
    for row, part in zip(found, parts, strict=True):
        row[: len(part)] = part
    return found


def _waves(model: Any, lengths: tuple[int, ...]) -> list[Floats]:
    """Return recordings of so many steps in the range of those that were fitted."""
    first = [*model.members_, model][0]
    phases, found = np.arange(model.channels_), []
    for number, steps in enumerate(lengths, 1):
        angles = number * np.linspace(0, 2 * np.pi, steps)[:, None] + phases
        found.append(np.asarray(first.scaling_.inverse(np.sin(angles), 0)))
    return found


def _facts(model: Any, name: str, at_steps: bool) -> dict[str, Any]:
    """Return the facts of a file besides its graph."""
    columns = model.columns_ or tuple(f"channel_{at}" for at in range(model.channels_))
    return {
        "model": " ".join(repr(model).split()),
        "channels": [str(column) for column in columns],
        "answers": name,
        "classes": [str(label) for label in getattr(model, "classes_", [])],
        "several": bool(getattr(model, "multilabel_", False)),
        "order": _order(model),  # places of the classes from the lowest to the highest, where they have an order
        "at_steps": at_steps,
        "steps": getattr(model, "n_features_in_", None),
        "fingerprint": model.fingerprint(),
        "data": {key: str(value) for key, value in model.fitted_on_.items()},
    }


def _order(model: Any) -> list[int]:
    places = getattr(model._target(), "places", None) if hasattr(model, "network_") else None
    return [] if places is None else np.argsort(places).tolist()

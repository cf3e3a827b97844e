"""Checkpoints: the whole state of a training, written whole or not at all, and taken up again."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tsforecast.errors import ModelFileError, ParameterError, reason, shorten
from tsforecast.files import new_folder, sha256
from tsforecast.training.history import Epoch
from tsforecast.training.optim import parameters

_STATE, _TENSORS = "checkpoint.json", "checkpoint.safetensors"
_CHECKSUM = "sha256"  # of the tensors


def parse_every(every: int | str) -> tuple[int, bool]:
    """Read a time between checkpoints: a number of epochs, or minutes as in ``"10min"``.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> parse_every(5), parse_every("10min")
    ((5, False), (10, True))
    """
    minutes = isinstance(every, str) and every.endswith("min")
    number = str(every).removesuffix("min")
    if isinstance(every, (int, str)) and number.isdigit() and int(number) > 0 and minutes == isinstance(every, str):
        return int(number), minutes
    raise ParameterError(f"checkpoint_every must be a number of epochs or minutes, such as 5 or '10min': got {every!r}")


@dataclass
class Training:
    """A training under way: everything that decides how it goes on.

    Attributes
    ----------
    network, optimizer
    history : list of Epoch
    best : dict of tensors
        Weights of the best epoch so far.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    history: list[Epoch]
    best: dict[str, Tensor]


@dataclass
class Checkpoints:
    """Where and how often a training is kept, and where it goes on from.

    Parameters
    ----------
    folder : path or None
        Replaced at each checkpoint; None keeps nothing.
    every : int
        Epochs between checkpoints, or with `minutes` minutes: at the end of the first epoch after them.
    minutes : bool
    resume_from : path or None
    settings : dict
        What must be the same for the training to go on: parameters and data.
    """

    folder: Path | None
    every: int
    minutes: bool
    resume_from: Path | None
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        self._kept = time.monotonic()

    def phase(self, name: str) -> Checkpoints:
        """Return the checkpoints of one phase of a fit, in a folder of their own."""
        inside = [place and place / name for place in (self.folder, self.resume_from)]
        has_observations = inside[1] is not None and inside[1].exists()
        if name != "train" and not has_observations:
            inside[1] = None  # the first phase must be there; this one had not begun
        return Checkpoints(inside[0], self.every, self.minutes, inside[1], self.settings)

    def begin(self) -> None:
        """Make sure that the folder keeps no other fit, which would be lost.

        Raises
        ------
        ParameterError
        """
        if self.folder is None or self.folder == self.resume_from:
            return
        try:
            kept = json.loads((self.folder / "train" / _STATE).read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            return  # none, or one that nobody can go on from
        now = json.loads(json.dumps(self.settings))
        differing = [name for name in now if kept.get(name) != now[name]]
        if differing:
            raise ParameterError(
                f"checkpoint={str(self.folder)!r} must not be the folder of another fit, with other "
                f"{shorten(differing)}: name another folder, or delete that one"
            )
        shutil.rmtree(self.folder / "refit", ignore_errors=True)  # of an earlier fit, that began with other weights

    def keep(self, training: Training, done: bool) -> None:
        """Write a checkpoint if it is time, or if training is done."""
        number = training.history[-1].number
        due = time.monotonic() - self._kept >= 60 * self.every if self.minutes else number % self.every == 0
        if self.folder is None or not (due or done):
            return
        state = training.optimizer.state_dict()["state"]
        tensors = {f"network.{name}": tensor for name, tensor in training.network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in training.best.items()}
        tensors |= {f"optimizer.{i}.{name}": value for i, part in state.items() for name, value in part.items()}
        tensors["random"] = torch.get_rng_state()
        state_of = {"history": [asdict(e) for e in training.history], "settings": self.settings}
        with new_folder(self.folder, mark=_STATE) as place:
            save_file({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, place / _TENSORS)
            text = json.dumps(state_of | {_CHECKSUM: sha256(place / _TENSORS)}, indent=1)
            (place / _STATE).write_text(text, encoding="utf-8")
            shutil.copymode(place / _STATE, place / _TENSORS)  # safetensors lets the owner alone read it
        self._kept = time.monotonic()

    def resume(self, training: Training) -> None:
        """Bring a training to where its checkpoint was, to the bit.

        Raises
        ------
        ModelFileError
            When the folder holds no checkpoint.
        ParameterError
            When the checkpoint belongs to another training; every difference is named.
        """
        if self.resume_from is None:
            return
        try:
            kept = json.loads((self.resume_from / _STATE).read_text(encoding="utf-8"))
            if kept[_CHECKSUM] != sha256(self.resume_from / _TENSORS):
                raise ValueError("tensors are not those that were written")
            tensors = load_file(self.resume_from / _TENSORS)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            # What a parser says of broken text helps nobody.
            what = reason(error) if isinstance(error, OSError) else "it is cut short or spoilt"
            raise ModelFileError(
                f"{str(self.resume_from)!r} must hold a checkpoint to resume from: {what}; leave resume_from out to "
                "start anew"
            ) from error
        now = json.loads(json.dumps(self.settings))
        differing = [name for name in now if kept["settings"].get(name) != now[name]]
        if differing:
            raise ParameterError(
                [
                    f"a fit must resume with the {name} it began with: {kept['settings'].get(name)}, got {now[name]}; "
                    "take that up again, or leave resume_from out to start anew"
                    for name in differing
                ]
            )
        parts = {name.partition(".")[::2]: tensor for name, tensor in _under("optimizer.", tensors).items()}
        sizes = {(str(i), part.numel()) for i, part in enumerate(parameters(training.optimizer))}
        if any(tensor.ndim and (i, tensor.numel()) not in sizes for (i, _), tensor in parts.items()):
            raise ModelFileError(
                f"{str(self.resume_from)!r} must hold a checkpoint of this version of tsforecast: an earlier one laid "
                "out its optimiser otherwise; leave resume_from out to start anew"
            )
        training.history[:] = [Epoch(**epoch) for epoch in kept["history"]]
        training.best = _under("best.", tensors)
        training.network.load_state_dict(_under("network.", tensors))
        state = training.optimizer.state_dict()
        for (i, what), tensor in parts.items():
            state["state"].setdefault(int(i), {})[what] = tensor
        training.optimizer.load_state_dict(state)
        torch.set_rng_state(tensors["random"])


def adapt(folder: Path, **settings: Any) -> None:
    """Let the training that a checkpoint keeps go on with other settings of how it trains.

    Population based training takes weights over and varies what they are trained with [Jaderberg et al. 2017, arXiv
    1711.09846].
    """
    file = folder / "train" / _STATE
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["settings"] |= {name: repr(value) for name, value in settings.items()}
    file.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

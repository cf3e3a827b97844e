"""Checkpoints: the state of training, written atomically, and resumed to the bit."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tsforecast.errors import ModelFileError, ParameterError, raise_any, reason, shorten
from tsforecast.files import new_folder, sha256
from tsforecast.networks.layers import TrainableNetwork
from tsforecast.training.history import Epoch
from tsforecast.training.optim import parameters
from tsforecast.training.runtime import Team

_STATE, _TENSORS = "checkpoint.json", "checkpoint.safetensors"
_CHECKSUM = "sha256"  # of the tensors


def parse_every(every: int | str) -> tuple[int, bool]:
    """Read the interval of checkpoints: a number of epochs, or ``"10min"``; return the number, and whether minutes."""
    minutes = isinstance(every, str) and every.endswith("min")
    number = str(every).removesuffix("min")
    if isinstance(every, (int, str)) and number.isdigit() and int(number) > 0 and minutes == isinstance(every, str):
        return int(number), minutes
    raise ParameterError(f"checkpoint_every must be a number of epochs or minutes, such as 5 or '10min': got {every!r}")


# Learns batches, for each step one of each member, at rates, a program with random numbers from a generator; returns
# the losses of steps.
Learn = Callable[..., Tensor]


@dataclass
class TrainingState:
    """Everything that decides how training continues."""

    network: TrainableNetwork
    optimizer: torch.optim.Optimizer
    history: list[Epoch]
    best: dict[str, Tensor]  # weights of the best epoch so far
    learn: Learn
    team: Team | None = None  # of the workers that train it, if several do


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of training as epochs and tensors of the host, which do not change any more."""

    history: list[Epoch]
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, state: TrainingState) -> Snapshot:
        """Return a copy of a state, and of torch's random numbers."""
        optimizer = state.optimizer.state_dict()["state"]
        tensors = {f"network.{name}": tensor for name, tensor in state.network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
        tensors |= {f"optimizer.{i}.{name}": value for i, part in optimizer.items() for name, value in part.items()}
        tensors["random"] = torch.get_rng_state()
        return cls(list(state.history), {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()})

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the weights of the `network`, of the `best` epoch so far, or what the `optimizer` keeps."""
        return _under(f"{name}.", self.tensors)

    def restore(self, state: TrainingState) -> None:
        """Take up this state, to the bit."""
        state.history[:] = self.history
        state.best = self.part("best")
        state.network.load_state_dict(self.part("network"))
        optimizer = state.optimizer.state_dict()
        for i, name, tensor in self.of_optimizer():
            optimizer["state"].setdefault(int(i), {})[name] = tensor
        state.optimizer.load_state_dict(optimizer)
        torch.set_rng_state(self.tensors["random"])

    def of_optimizer(self) -> list[tuple[str, str, Tensor]]:
        """Return what the optimiser keeps: number of the parameter, name, tensor."""
        return [(*name.split(".", 1), tensor) for name, tensor in self.part("optimizer").items()]  # type: ignore[misc]


class Keeping(Protocol):
    """What training takes up at its beginning, and hands its state to after each epoch."""

    def keep(self, state: TrainingState, done: bool) -> None: ...

    def resume(self, state: TrainingState) -> None: ...


@dataclass
class Checkpoints:
    """Where and how often the state of training is written, and where it resumes."""

    folder: Path | None  # replaced at each checkpoint; None writes none
    every: int  # epochs between checkpoints, or with `minutes` minutes: at the end of the first epoch after them
    minutes: bool
    resume_from: Path | None
    settings: dict[str, Any]  # what must be equal to resume: parameters and data

    def __post_init__(self) -> None:
        self._kept = time.monotonic()

    def phase(self, name: str) -> Checkpoints:
        """Return the checkpoints of one phase of a fit, in a folder of their own."""
        folder, begun = (place and place / name for place in (self.folder, self.resume_from))
        if name != "train" and begun is not None and not begun.exists():
            begun = None  # the first phase must exist; this one had not begun
        return replace(self, folder=folder, resume_from=begun)

    def begin(self) -> None:
        """Require that the folder holds no other fit, which would be lost."""
        if self.folder is None or self.folder == self.resume_from:
            return
        try:
            kept = json.loads((self.folder / "train" / _STATE).read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            return  # no checkpoint that could be resumed
        if differing := self._differing(kept):
            raise ParameterError(
                f"checkpoint={str(self.folder)!r} must not be the folder of another fit, with other "
                f"{shorten(list(differing))}: name another folder, or delete that one"
            )
        shutil.rmtree(self.folder / "refit", ignore_errors=True)  # of an earlier fit, that began with other weights

    def _differing(self, kept: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the settings of a checkpoint that are others now, as what they were and are."""
        now = json.loads(json.dumps(self.settings))
        return {name: (kept.get(name), value) for name, value in now.items() if kept.get(name) != value}

    def keep(self, state: TrainingState, done: bool) -> None:
        """Write a checkpoint if it is due, or if training is done."""
        if self._due(state.history, done):
            self._write(Snapshot.of(state))

    def keep_snapshot(self, snapshot: Snapshot, done: bool) -> None:
        """Write the state of a training elsewhere if that is due; see `keep`."""
        if self._due(snapshot.history, done):
            self._write(snapshot)

    def _due(self, history: list[Epoch], done: bool) -> bool:
        number = history[-1].number
        due = time.monotonic() - self._kept >= 60 * self.every if self.minutes else number % self.every == 0
        return self.folder is not None and (due or done)

    def _write(self, snapshot: Snapshot) -> None:
        record = {"history": [asdict(e) for e in snapshot.history], "settings": self.settings}
        with new_folder(Path(self.folder or ""), mark=_STATE) as place:
            save_file(snapshot.tensors, place / _TENSORS)
            text = json.dumps(record | {_CHECKSUM: sha256(place / _TENSORS)}, indent=1)
            (place / _STATE).write_text(text, encoding="utf-8")
            shutil.copymode(place / _STATE, place / _TENSORS)  # safetensors writes it readable by its owner alone
        self._kept = time.monotonic()

    def resume(self, state: TrainingState) -> None:
        """Restore the state of a checkpoint, to the bit; one of another fit is refused, every difference named."""
        if (snapshot := self.read()) is None:
            return
        sizes = {(str(i), part.numel()) for i, part in enumerate(parameters(state.optimizer))}
        if any(tensor.ndim and (i, tensor.numel()) not in sizes for i, _, tensor in snapshot.of_optimizer()):
            raise ModelFileError(
                f"{str(self.resume_from)!r} must hold a checkpoint of this version of tsforecast: an earlier one laid "
                "out its optimiser otherwise; leave resume_from out to start again"
            )
        snapshot.restore(state)

    def read(self) -> Snapshot | None:
        """Return the state of a checkpoint of this fit, if it is to resume from one."""
        if self.resume_from is None:
            return None
        try:
            kept = json.loads((self.resume_from / _STATE).read_text(encoding="utf-8"))
            if kept[_CHECKSUM] != sha256(self.resume_from / _TENSORS):
                raise ValueError("tensors are not those that were written")
            tensors = load_file(self.resume_from / _TENSORS)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            # The message of a parser does not help.
            what = reason(error) if isinstance(error, OSError) else "it is cut short or spoilt"
            raise ModelFileError(
                f"{str(self.resume_from)!r} must hold a checkpoint to resume from: {what}; leave resume_from out to "
                "start again"
            ) from error
        raise_any(
            (
                f"a fit must resume with the {name} it began with: {before}, got {now}; use that again, or leave "
                "resume_from out to start again"
                for name, (before, now) in self._differing(kept["settings"]).items()
            ),
            ParameterError,
        )
        return Snapshot([Epoch(**epoch) for epoch in kept["history"]], tensors)


def adapt(folder: Path, **settings: Any) -> None:
    """Let a checkpoint resume with other settings of training.

    Population based training copies weights and varies the settings they are trained with [Jaderberg et al. 2017, arXiv
    1711.09846].
    """
    file = folder / "train" / _STATE
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["settings"] |= {name: repr(value) for name, value in settings.items()}
    file.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

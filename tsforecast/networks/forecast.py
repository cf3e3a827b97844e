"""The forecast network: segments, an encoder by name, a decoder, and the anchor that they correct."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.data.windows import Windows, constant
from tsforecast.networks.encoders import encoder
from tsforecast.networks.layers import ACTIVATIONS, Architecture, Missing, TrainableNetwork
from tsforecast.networks.losses import LOSSES, Loss, Objective

LEAST = 1e-3  # of the spread of an untrained network, which a trained one has at least; also in kernels
START_WINDOWS = 1_024  # of the training part, whose naive errors are the spread of an untrained network
SHARES = np.linspace(0, 1, 21)  # of corrections, that are compared
INDICATORS = 16  # of a column of text, at most; where it has more levels it has an embedding [width: fast.ai's rule]
WORST = 1e100  # loss, in place of one that is no number


class Decoder(nn.Module):
    """Turn a state into outputs for every step, a segment of steps at a time and all segments in parallel.

    Each segment of the horizon has an embedding of its place, each channel one of its own [cf. Lin et al. 2023,
    SegRNN, arXiv 2308.11200]; state, embeddings and future covariates are added and activated, and the head reads
    them. Its last layer starts at zero: outputs of an untrained network are zero.

    For steps in a segment (S) and in the horizon (H), channels that share the network, one row each (G), numbers per
    step and row (Q), and future covariates (F, `ahead`).
    """

    def __init__(
        self, architecture: Architecture, segment: int, horizon: int, channels: int, outputs: int, ahead: int
    ) -> None:
        super().__init__()
        units = architecture.units
        self.architecture, self.segment, self.horizon, self.outputs = architecture, segment, horizon, outputs
        self.count = -(-horizon // segment)  # segments of the horizon (M); the last may reach beyond it
        self.state = nn.Linear(units, units)
        self.place = nn.Parameter(_small(self.count, units))
        self.channel = nn.Parameter(_small(channels, units)) if channels > 1 else None
        self.ahead = nn.Linear(segment * ahead, units, bias=False) if ahead else None
        self.activation = ACTIVATIONS[architecture.activation]()
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = self.new_head(architecture.head_layers)

    def new_head(self, layers: int) -> nn.Module:
        """Return a head of one or two linear layers, the last of them zero."""
        return self.architecture.head(self.architecture.units, self.segment * self.outputs, layers)

    def forward(self, state: Tensor, ahead: Tensor) -> Tensor:
        """Map states (B, G, U) and future covariates (B, H, F) to outputs (B, G, H, Q)."""
        mixed = self.state(state)[:, :, None] + self.place  # (B, G, M, U)
        if self.channel is not None:
            mixed = mixed + self.channel[:, None]
        if self.ahead is not None:
            beyond = self.count * self.segment - self.horizon
            padded = F.pad(ahead, (0, 0, 0, beyond))  # (B, M*S, F)
            known = self.ahead(padded.reshape(ahead.shape[0], self.count, -1))  # (B, M, U)
            mixed = mixed + known[:, None]
        outputs: Tensor = self.head(self.dropout(self.activation(mixed)))  # (B, G, M, S*Q)
        return outputs.reshape(*state.shape[:2], -1, self.outputs)[:, :, : self.horizon]  # (B, G, H, Q)


def _small(*shape: int) -> Tensor:
    """Return small random numbers."""
    return nn.init.normal_(torch.empty(*shape)).mul_(0.1)


class Categories(nn.Module):
    """Replace levels of text, see `CategoryEncoder`, by indicators, or where there are many by a learned embedding.

    The mean of the training part is subtracted, so that level 0, of texts that it lacks, is zeros. A linear layer upon
    indicators is an embedding itself. `columns` are (position, share of each level).
    """

    def __init__(self, columns: Sequence[tuple[int, Sequence[float]]]) -> None:
        super().__init__()
        self.columns = [at for at, _ in columns]
        for number, (_, shares) in enumerate(columns):
            count = len(shares)
            if count > INDICATORS:
                rows = nn.init.normal_(torch.empty(count, min(INDICATORS, round(1.6 * count**0.56))))
                self.register_parameter(f"table{number}", nn.Parameter(rows))
            else:
                self.register_buffer(f"table{number}", torch.eye(count), persistent=False)
            self.register_buffer(f"shares{number}", torch.tensor([shares]), persistent=False)

    def width(self, first: int) -> int:
        """Return how many more columns there are once those from the `first` one on are replaced."""
        return sum(getattr(self, f"table{i}").shape[1] - 1 for i, at in enumerate(self.columns) if at >= first)

    def forward(self, values: Tensor, first: int) -> Tensor:
        """Return values (B, T, C) of the columns from the `first` one on, numbers first."""
        levels = {at - first: number for number, at in enumerate(self.columns) if at >= first}
        if not levels:
            return values
        numbers = tuple(at for at in range(values.shape[2]) if at not in levels)
        parts = [values.index_select(2, constant(numbers, values.device, torch.int64))]
        for at, number in levels.items():
            table = getattr(self, f"table{number}")
            table = table - getattr(self, f"shares{number}") @ table
            parts.append(F.embedding(values[..., at].long(), F.pad(table, (0, 0, 1, 0))))
        return torch.cat(parts, dim=2)


class Blend(Protocol):
    """Weighted mean of naive forecasts; see `tsforecast.forecasters.anchors.Blend`."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights of series that were not fitted, and of each one that was, (1 + N, K, G, J)."""

    def forecast(self, past: Any, rows: Any, there: Any = None) -> Any:
        """Return forecasts (B, H, K) of windows (B, W, K) with weights (B, K * G * J)."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a network reads of windows, and what its outputs are added to and multiplied by."""

    segments: Tensor  # (B, G, T, S*I)
    ahead: Tensor  # (B, H, F)
    level: Tensor  # of the window as the network reads it, (B, 1, K)
    size: Tensor  # (B, 1, K)
    anchor: Tensor | None  # (B, H, K)
    way: Tensor | None  # from the last value to the anchor, (B, H, K)


class Member(TrainableNetwork):
    """The layers of one network: segments of `inputs` numbers, (B, G, T, I), to outputs, (B, G, H, Q)."""

    def __init__(
        self,
        architecture: Architecture,
        inputs: int,
        segments: int,
        horizon: int,
        channels: int,
        outputs: int,
        ahead: int,
        static: int,
    ) -> None:
        super().__init__()
        self.architecture, self.static = architecture, static
        self.embed = architecture.embedding(inputs)
        self.encoder = encoder(architecture, segments)
        self.from_static = nn.Linear(static, architecture.units) if static else None
        segment = min(architecture.segment, horizon)
        self.decoder = Decoder(architecture, segment, horizon, channels, outputs, ahead)

    def outputs_of(self, segments: Tensor, ahead: Tensor, static: Tensor | None) -> Tensor:
        """Return outputs, (B, G, H, Q), of segments, future covariates (B, H, F) and static ones (B, S)."""
        state = self.encoder(segments.flatten(0, 1), self.embed)  # (B*G, U)
        state = state.view(*segments.shape[:2], -1)  # (B, G, U)
        if self.from_static is not None and static is not None:
            state = state + torch.tanh(self.from_static(static[:, : self.static]))[:, None]
        outputs: Tensor = self.decoder(state, ahead)
        return outputs


class ForecastNetwork(Member):
    """Read a window segment by segment and forecast all steps of the horizon at once.

    With an anchor, a target is read as differences from its last value, and corrections are added to the naive
    forecast. An anchor other than the last value has a gate: for each step, the share of the way back from the anchor
    to the last value. The decoder starts at zero, so an untrained network *is* the naive forecast.

    A window has C `columns`, the K `targets` first; there are F future (`ahead`) and S static covariates. The anchor is
    given as `lags`, steps back of shape (H, A), which the forecaster chooses, or as a `blend`, whose weights for each
    window follow the static covariates (those of series that were not fitted, where none are given). With
    `instance_norm` each target is read divided by its own standard deviation over the window, by which the output is
    multiplied [cf. Kim et al. 2022, RevIN]. The loss decides the number of outputs per step (P): levels, which the
    anchor is added to, spreads, which are positive, and others. Those of an untrained network are the `start`, (H, K,
    P - levels): the naive distribution, once they are learned from the training part. Corrections of levels are
    multiplied by a `share` for each step, (H,): one while it is trained.

    Columns of text hold levels, and are given as `categories`; see `Categories`.

    Where `masked`, a window may begin before its series does: what does not exist is read as zero, one more number of
    each segment is the share of its steps that exist, and anchor and instance normalisation take those alone.

    Of several `members`, this network the first of them, the outputs are averaged [cf. Lakshminarayanan et al. 2017,
    deep ensembles, arXiv 1612.01474]. Each is trained alone.
    """

    def __init__(
        self,
        architecture: Architecture,
        columns: int,
        targets: int,
        window: int,
        horizon: int,
        lags: NDArray[np.int64] | None = None,
        ahead: int = 0,
        static: int = 0,
        instance_norm: bool = False,
        loss: Loss | None = None,
        masked: bool = False,
        blend: Blend | None = None,
        members: int = 1,
        categories: Sequence[tuple[int, Sequence[float]]] = (),
    ) -> None:
        loss, joint = loss or LOSSES["mae"], architecture.channels == "joint"
        rows = window - (np.ones((horizon, 1), dtype=np.int64) if lags is None else lags)  # (H, A)
        gates = int(blend is not None or bool((rows < window - 1).any()))  # of the anchor, per step
        texts, first_ahead = Categories(categories), columns - ahead
        columns, ahead = columns + texts.width(0), ahead + texts.width(first_ahead)
        inputs = architecture.segment * (columns if joint else 1 + columns - targets) + masked
        outputs = (loss.outputs + gates) * (targets if joint else 1)
        segments, channels = -(-window // architecture.segment), 1 if joint else targets
        sizes = (architecture, inputs, segments, horizon, channels, outputs, ahead, static)
        super().__init__(*sizes)
        self.targets, self.horizon, self.joint, self.gates = targets, horizon, joint, gates
        self.anchored, self.instance_norm = lags is not None or blend is not None, instance_norm
        self.blend, self.members, self.categories, self.first_ahead = blend, members, texts, first_ahead
        self.separate = not list(texts.parameters())
        self.weights: Tensor
        if blend is not None:
            weights = torch.from_numpy(blend.weights[:1].reshape(1, -1).astype(np.float32))
            self.register_buffer("weights", weights, persistent=False)  # of series that were not fitted, (1, K * G * J)
        self.anchor_rows: Tensor
        self.register_buffer("anchor_rows", torch.from_numpy(rows), persistent=False)  # that the anchor copies
        self.share: Tensor
        self.register_buffer("share", torch.ones(horizon))
        self.levels, self.spreads, self.outputs = loss.levels, loss.spreads, loss.outputs
        self.start: Tensor | None
        others = np.zeros((horizon, targets, self.outputs - self.levels), dtype=np.float32)
        others[..., : self.spreads] = 1.0
        self.register_buffer("start", torch.from_numpy(others) if self.outputs > self.levels else None)
        self.missing = Missing(window, architecture.segment, rows) if masked else None
        self.further = nn.ModuleList(Member(*sizes) for _ in range(members - 1))

    def forward(
        self,
        past: Tensor,
        ahead: Tensor | None = None,
        static: Tensor | None = None,
        known: Tensor | None = None,
        *,
        add_anchor: bool = True,
        member: int | None = None,
    ) -> Tensor:
        """Return the forecast in scaled units, (B, H, K, P), of past (B, W, C), ahead (B, H, F) and static (B, S).

        It is anchor plus corrections; without `add_anchor` corrections alone, for callers that add the anchor in the
        data's own units and in double precision: where nothing is corrected that is the naive forecast to the bit. Of
        windows that begin before their series, the last `known` steps exist, (B,). All members are averaged, or
        one `member` is asked alone.
        """
        given = self.prepare(past, ahead, static, known, add_anchor)
        outputs = self._outputs(given, static, member)  # (B, G, H, Q)
        shape = (past.shape[0], self.horizon, self.targets, -1)
        outputs = outputs.view(shape) if self.joint else outputs.transpose(1, 2)  # (B, H, K, P)
        sizes = [self.levels, self.outputs - self.levels, self.gates]
        levels: Tensor
        levels, others, gates = torch.split(outputs, sizes, dim=-1)  # (B, H, K, ...)
        if given.way is not None:
            levels = levels - gates * given.way[..., None]
        levels = levels * self.share[:, None, None]
        if self.instance_norm:
            levels = levels * given.size[..., None] + given.level[..., None]
        if add_anchor and given.anchor is not None:
            levels = levels + given.anchor[..., None]
        if self.start is None:
            return levels
        return torch.cat([levels, self._others(others, self.start, given.size)], dim=-1)

    def prepare(
        self, past: Tensor, ahead: Tensor | None, static: Tensor | None, known: Tensor | None, add_anchor: bool = True
    ) -> Prepared:
        """Return all that is made of windows, as `forward` takes them, without the layers of a member."""
        past, there = self._existing(past, known)
        own, level, size = self._centred(past[..., : self.targets], there)  # (B, W, K), twice (B, 1, K)
        rows = self._rows(own, self.categories(past[..., self.targets :], self.targets))  # (B, G, W, I)
        segments = self._segments(rows)  # (B, G, T, S*I)
        if self.missing is not None:
            every = rows.new_full((rows.shape[0],), rows.shape[2], dtype=torch.int64) if known is None else known
            shares = self.missing.segments(every)[:, None, :, None]
            segments = torch.cat([segments, shares.expand(*segments.shape[:3], 1)], dim=3)
        beyond = past.new_zeros(past.shape[0], self.horizon, 0) if ahead is None else ahead
        anchor = way = None
        if self.gates or (add_anchor and self.anchored):
            anchor = self._anchor(past, known, there, static)  # (B, H, K)
        if self.gates and anchor is not None:
            way = (anchor - past[:, -1:, : self.targets]) / size
        return Prepared(
            segments, self.categories(beyond, self.first_ahead), level, size, anchor if self.anchored else None, way
        )

    def _outputs(self, given: Prepared, static: Tensor | None, member: int | None) -> Tensor:
        """Return the outputs of one member, or the mean of all, (B, G, H, Q)."""
        several: list[Any] = [self, *self.further]
        if self.members == 1 or member is not None:
            outputs: Tensor = several[member or 0].outputs_of(given.segments, given.ahead, static)
            return outputs
        return torch.stack([each.outputs_of(given.segments, given.ahead, static) for each in several]).mean(dim=0)

    def alone(self) -> list[Callable[..., Tensor]]:
        """Return the forecast of each member; see `TrainableNetwork.alone`."""
        return [partial(self, member=i) for i in range(self.members)] if self.members > 1 else [self]

    def _others(self, outputs: Tensor, start: Tensor, size: Tensor) -> Tensor:
        """Return spreads and others, (B, H, K, P - levels): where outputs are zero those of the start."""
        if not self.spreads:
            return start + outputs
        whole = self.spreads == self.outputs - self.levels
        factor = (1 - LEAST) * (F.elu(outputs if whole else outputs[..., : self.spreads]) + 1) + LEAST
        spreads = start[..., : self.spreads] * factor
        if self.instance_norm:
            spreads = spreads * size[..., None]
        return spreads if whole else torch.cat([spreads, (start + outputs)[..., self.spreads :]], dim=-1)

    def naive(
        self, past: Tensor, ahead: Tensor | None = None, static: Tensor | None = None, known: Tensor | None = None
    ) -> Tensor:
        """Return the naive forecast in the shape of outputs, (B, H, K, P): the anchor, or the last value."""
        past, there = self._existing(past, known)
        levels = self._anchor(past, known, there, static)[..., None].expand(-1, -1, -1, self.levels)
        if self.start is None:
            return levels
        zeros = self.start.new_zeros(past.shape[0], *self.start.shape)
        size = self._centred(past[..., : self.targets], there)[2]
        return torch.cat([levels, self._others(zeros, self.start, size)], dim=-1)

    def _existing(self, past: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return windows with zeros in steps that do not exist, and 1 for those that do, (B, W, 1); None: all do."""
        if known is None or self.missing is None:
            return past, None
        there = self.missing.steps(known)
        return past * there, there

    def _anchor(self, past: Tensor, known: Tensor | None, there: Tensor | None, static: Tensor | None) -> Tensor:
        """Return the naive forecast, (B, H, K): the anchor, or the last value; see `anchors.anchor_forecast`."""
        if self.blend is not None:
            shared = static is None or len(self.blend.weights) == 1
            weights = self.weights if shared else static[:, self.static :]  # type: ignore[index]
            blended: Tensor = self.blend.forecast(past[..., : self.targets], weights, there)
            return blended
        (horizon, averaged), own = self.anchor_rows.shape, past[..., : self.targets]
        copied = own.index_select(1, self.anchor_rows.flatten())  # (B, H * A, K), the copied numbers to the bit
        each = copied if averaged == 1 else copied.view(past.shape[0], horizon, averaged, -1)
        if known is None or self.missing is None or not self.gates:
            return each if averaged == 1 else each.mean(2)
        return self.missing.anchor(each if averaged == 1 else each.sum(2), own, known)

    def renew_head(self, layers: int) -> None:
        """Replace the head of each member; the network corrects nothing until it is trained."""
        for member in (self, *self.further):
            member.decoder.head = member.decoder.new_head(layers).to(self.share.device)

    def freeze(self, names: tuple[str, ...]) -> None:
        """Freeze parameters of all members; see `TrainableNetwork.freeze`."""
        super().freeze(names + tuple(f"further.{i}.{name}" for i in range(len(self.further)) for name in names))

    def _centred(self, own: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the targets (B, W, K) as the network reads them, and the level and size that undo it.

        Steps that are not `there`, (B, W, 1), are zero.
        """
        level, size = torch.zeros_like(own[:, :1]), torch.ones_like(own[:, :1])  # (B, 1, K)
        if self.anchored:
            own = own - own[:, -1:]
        if self.instance_norm:
            mean, spread = _mean_and_spread(own, there)
            size = spread.clamp(min=1e-4)
            level = level if self.anchored else mean
            own = (own - level) / size
        return own if there is None else own * there, level, size

    def _rows(self, own: Tensor, shared: Tensor) -> Tensor:
        """Return the windows to read: one for each target with the columns that all share, or one with all columns."""
        if self.joint:
            return torch.cat([own, shared], dim=2)[:, None]  # (B, 1, W, C)
        each = own.transpose(1, 2)[..., None]  # (B, K, W, 1)
        if not shared.shape[2]:
            return each
        return torch.cat([each, shared[:, None].expand(-1, self.targets, -1, -1)], dim=3)  # (B, K, W, 1+C-K)

    def _segments(self, rows: Tensor) -> Tensor:
        """Cut (B, G, W, I) into segments (B, G, T, S*I); the first step fills up the first segment."""
        lacking = -rows.shape[2] % self.architecture.segment
        if lacking:
            rows = torch.cat([rows[:, :, :1].expand(-1, -1, lacking, -1), rows], dim=2)
        return rows.reshape(*rows.shape[:2], -1, self.architecture.segment * rows.shape[3])


def _mean_and_spread(own: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over the steps of windows (B, W, K) that are `there`, (B, 1, K) each."""
    if there is None:
        return own.mean(dim=1, keepdim=True), own.std(dim=1, keepdim=True, correction=0)
    count = there.sum(1, keepdim=True).clamp(min=1)
    mean = (own * there).sum(1, keepdim=True) / count
    return mean, (((own - mean) * there).square().sum(1, keepdim=True) / count).sqrt()


@torch.inference_mode()
def learn_start(network: ForecastNetwork, windows: Windows, loss: Loss, objective: Objective) -> None:
    """Set the distribution around an untrained level to that of its errors on training windows, by step."""
    if network.start is None:
        return
    network.eval()
    count = min(len(windows), START_WINDOWS)
    network.start[..., : network.spreads] = 1.0
    batch = windows.batch(torch.arange(count, device=windows.device) * len(windows) // count)
    outputs = network(*batch.inputs)
    size = outputs[..., network.levels] if network.spreads else 1.0
    start = loss.start(outputs[..., 0] / size, batch.future / size, batch.series, objective.scale)
    network.start.copy_(torch.from_numpy(start))


@torch.inference_mode()
def learned_share(network: ForecastNetwork, windows: Windows, index: Iterable[Tensor], objective: Objective) -> Tensor:
    """Return the shares of corrections, (H,), that a trained network keeps by its loss on validation windows, in parts.

    Shares do not rise with the step, and lie half way between those with the smallest loss and the smallest ones whose
    loss is within one standard error of it [cf. the rule of Breiman et al. 1984 for trees, and Stein's shrinkage], over
    blocks of a horizon: windows that overlap repeat each other.
    """
    network.eval()
    device, kept, every = network.share.device, network.share.clone(), list(index)

    def losses(shares: NDArray[np.float64]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the losses at shares (S, H), (S, B, H), the number of truths, (B,), and the blocks, (B,)."""
        for part in every:
            batch = windows.batch(part)
            ends = []
            for end in (0.0, 1.0):
                network.share.fill_(end)
                ends.append(network(*batch.inputs))
            naive, full = ends  # (B, H, K, P)
            errors = []
            for share in torch.from_numpy(shares).to(device, full.dtype):
                found, observed = objective.errors_of(naive + share[:, None, None] * (full - naive), batch)
                errors.append(found.sum(dim=2).double())
            count = torch.ones_like(found) if observed is None else observed
            yield torch.stack(errors), count.sum(dim=(1, 2)), part // network.horizon

    try:
        steps = np.zeros((len(SHARES), network.horizon))
        for errors, _, _ in losses(np.repeat(SHARES[:, None], network.horizon, axis=1)):
            steps += errors.sum(dim=1).cpu().numpy()
        best = SHARES[_falling(steps)]  # (H,)
        found = [(errors.sum(dim=2), count, block) for errors, count, block in losses(SHARES[:, None] * best)]
    finally:
        network.share.copy_(kept)
    parts = (torch.cat(part, dim=-1).cpu().numpy() for part in zip(*found, strict=True))
    return torch.from_numpy(best * (1 + _within_error(*parts)) / 2)


def _falling(losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return positions of shares, (H,), that do not rise, with the smallest sum of losses (S, H); the highest ones."""
    losses = np.nan_to_num(losses, nan=WORST, posinf=WORST)[::-1]  # from the highest share down
    sums, before = losses[:, 0], list[NDArray[np.int64]]()
    for step in losses.T[1:]:
        lowest = np.minimum.accumulate(sums)
        lower = np.append(True, sums[1:] < lowest[:-1])
        before.append(np.maximum.accumulate(np.where(lower, np.arange(len(sums)), 0)))
        sums = lowest + step
    found = [int(sums.argmin())]
    for places in reversed(before):
        found.append(int(places[found[-1]]))
    return len(losses) - 1 - np.array(found[::-1])


def _within_error(losses: NDArray[np.float64], count: NDArray[np.float64], block: NDArray[np.int64]) -> float:
    """Return the smallest of `SHARES` at which losses (S, n) of windows exceed those at 1 by a standard error at most.

    Windows have a number of terms and a block, (n,) each; differences of one block are one observation.
    """
    losses = np.nan_to_num(losses, nan=WORST, posinf=WORST)
    excess, total = losses - losses[-1], max(float(count.sum()), 1.0)
    mean = excess.sum(axis=1) / total  # (S,)
    _, place = np.unique(block, return_inverse=True)
    apart = np.stack([np.bincount(place, one) for one in excess - mean[:, None] * count])  # (S, G)
    blocks = apart.shape[1]
    error = np.sqrt((apart**2).sum(axis=1) * blocks / (blocks - 1)) / total if blocks > 1 else np.inf
    if not excess.any():  # nothing is corrected
        return 1.0
    return float(SHARES[np.flatnonzero(mean <= error)[0]])

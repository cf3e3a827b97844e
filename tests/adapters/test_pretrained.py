"""Pretrained models against their own packages, with tiny random weights; `make adapters` installs these."""

from __future__ import annotations

import dataclasses
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from shops import (
    AHEAD,
    DAYS,
    HORIZON,
    LEVELS,
    PANEL,
    PRICES,
    SALES,
    SHOPS,
    A,
    B,
    check_on_a_board,
    check_that_the_future_moves_nothing,
    forecasts_of,
)

from tsforecast.adapters.names import make
from tsforecast.adapters.pretrained import PretrainedForecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, DataWarning, ParameterError
from tsforecast.evaluation.leaderboard import leaderboard

pytestmark = [
    pytest.mark.adapters,
    pytest.mark.filterwarnings("ignore"),  # those of the packages are theirs
]

DECILES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
ROLES = {"target": "sales", "future": "price", "past": "guests"}
GUESTS = np.cos(np.arange(180.0))
VISITED = SHOPS.assign(guests=GUESTS)
COVARIATES = Panel.from_frame(VISITED, id="shop", time="day", **ROLES)
PARTS = (slice(0, 100), slice(100, 180))  # rows of b and a
KNOWN = (np.arange(3.0), np.arange(3.0, 6))  # prices of the steps ahead, of b and a


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection: nothing is downloaded."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Return folders with tiny models, as their packages save them."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("weights")
    small = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_heads": 4, "dropout_rate": 0.0, "vocab_size": 64}
    patches = {"input_patch_size": 4, "input_patch_stride": 4, "context_length": 64, "quantiles": DECILES}
    save_chronos(place, small, patches)
    save_timesfm(place)
    save_tirex(place / "tirex")
    save_moirai(place)
    found = {path.name: path for path in place.iterdir()}
    yield found
    shutil.rmtree(place)


def drawn(module: Any) -> Any:
    """Return a network with weights that are drawn: some are made of memory as it is."""
    centroids = [each for name, each in module.named_buffers() if name.endswith("centroid")]
    for weight in [*module.parameters(), *centroids]:
        torch.nn.init.normal_(weight, std=0.2)
    return module


def save_chronos(place: Path, small: dict[str, Any], patches: dict[str, Any]) -> None:
    from chronos.chronos2.config import Chronos2CoreConfig
    from chronos.chronos2.model import Chronos2Model
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config, T5ForConditionalGeneration

    def save(name: str, pipeline: str, config: Any, model: Callable[[Any], Any]) -> None:
        config.chronos_pipeline_class = pipeline
        model(config).save_pretrained(place / name)

    two = patches | {"output_patch_size": 4, "max_output_patches": 4, "use_reg_token": True, "use_arcsinh": True}
    save("chronos-2", "Chronos2Pipeline", Chronos2CoreConfig(num_layers=2, chronos_config=two, **small), Chronos2Model)
    t5 = small | {"num_layers": 1, "num_decoder_layers": 1, "decoder_start_token_id": 0, "pad_token_id": 0}
    bolt = patches | {"prediction_length": 8, "use_reg_token": True}
    config = T5Config(chronos_config=bolt, **t5)
    save("chronos-bolt", "ChronosBoltPipeline", config, ChronosBoltModelForForecasting)
    tokens = {"n_tokens": 64, "n_special_tokens": 2, "pad_token_id": 0, "eos_token_id": 1, "use_eos_token": True}
    tokens |= {"tokenizer_class": "MeanScaleUniformBins", "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0}}
    tokens |= {"model_type": "seq2seq", "context_length": 64, "prediction_length": 8, "num_samples": 20}
    tokens |= {"temperature": 1.0, "top_k": 50, "top_p": 1.0}
    config = T5Config(chronos_config=tokens, eos_token_id=1, **t5)
    save("chronos-t5", "ChronosPipeline", config, T5ForConditionalGeneration)


def save_timesfm(place: Path) -> None:
    from timesfm3.torch import configs, model

    norms = dict.fromkeys(("attention_norm", "feedforward_norm", "qk_norm"), "rms")
    flags = {"use_rope_seq": True, "use_rope_var": False, "use_bias": False, "deterministic": True}
    layer = configs.TransformerConfig(
        model_dims=16, hidden_dims=16, num_heads=2, ff_activation="relu", **norms, **flags
    )
    model.TimesFM3Torch(
        input_patch_len=8,
        output_patch_len=16,
        quantiles=DECILES,
        residual_block_config=configs.ResidualBlockConfig(16, 16, use_bias=False, activation="relu"),
        transformer_config=configs.StackedTransformersConfig(num_layers=1, transformer=layer),
    ).save_pretrained(place / "timesfm-3.0")


def save_tirex(folder: Path) -> None:
    from tirex.models.tirex import TiRexZero

    block = {"embedding_dim": 16, "num_heads": 2, "num_blocks": 2, "ffn_proj_factor": 2.0}
    sizes = {"input_patch_size": 8, "output_patch_size": 8, "input_ff_dim": 32}
    settings = {"model_config": sizes | {"quantiles": DECILES, "block_kwargs": block}, "train_ctx_len": 64}
    folder.mkdir()
    model = drawn(TiRexZero(backend="torch", **settings))
    torch.save({"hyper_parameters": settings, "state_dict": model.state_dict()}, folder / "model.ckpt")


def save_moirai(place: Path) -> None:
    from uni2ts.distribution import MixtureOutput, NormalFixedScaleOutput, StudentTOutput
    from uni2ts.model.moirai import MoiraiModule
    from uni2ts.model.moirai2 import Moirai2Module
    from uni2ts.model.moirai_moe import MoiraiMoEModule

    small = {"d_model": 64, "num_layers": 1, "max_seq_len": 32, "attn_dropout_p": 0.0, "dropout_p": 0.0}
    mixture = {"distr_output": MixtureOutput([StudentTOutput(), NormalFixedScaleOutput()])}
    MoiraiModule(patch_sizes=(8, 16), **mixture, **small).save_pretrained(place / "moirai-1.1")
    drawn(MoiraiMoEModule(patch_sizes=(16,), d_ff=64, **mixture, **small)).save_pretrained(place / "moirai-moe")
    Moirai2Module(patch_size=8, d_ff=64, num_predict_token=2, **small).save_pretrained(place / "moirai-2.0")


def of_chronos(folder: Path, part: int, horizon: int) -> np.ndarray:
    """Return the quantiles that the package makes of the last steps of a shop, (H, 9)."""
    from chronos import BaseChronosPipeline

    pipeline = BaseChronosPipeline.from_pretrained(folder)
    rows, given = PARTS[part], torch.tensor(SALES[PARTS[part]])
    if folder.name == "chronos-2":
        past = {"price": PRICES[rows], "guests": GUESTS[rows]}
        given = {"target": SALES[rows], "past_covariates": past, "future_covariates": {"price": KNOWN[part]}}
    torch.manual_seed(0)  # T5 draws
    found, _ = pipeline.predict_quantiles([given], prediction_length=horizon, quantile_levels=DECILES)
    return np.asarray(found[0]).reshape(horizon, -1)


def of_timesfm(folder: Path, part: int, horizon: int) -> np.ndarray:
    from timesfm3 import TimesFM3Forecaster

    rows = PARTS[part]
    both = np.append(PRICES[rows], KNOWN[part])[None]
    model = TimesFM3Forecaster.from_pretrained(str(folder), device="cpu")
    found = model.predict(SALES[rows], horizon, GUESTS[rows][None], both, return_quantiles=True)
    return np.asarray(found.quantiles)


def of_tirex(folder: Path, part: int, horizon: int) -> np.ndarray:
    from tirex.models.tirex import TiRexZero

    model = TiRexZero.from_pretrained(str(folder / "model.ckpt"), backend="torch", device="cpu")
    return np.asarray(model.forecast(SALES[PARTS[part]], prediction_length=horizon)[0])[0]


def of_moirai(folder: Path, part: int, horizon: int) -> np.ndarray:
    """Return the quantiles of the predictor of uni2ts, whose dataset GluonTS makes of a frame."""
    from gluonts.dataset.pandas import PandasDataset
    from uni2ts.model.moirai import MoiraiForecast, MoiraiModule
    from uni2ts.model.moirai_moe import MoiraiMoEForecast, MoiraiMoEModule

    forecast, module = (MoiraiForecast, MoiraiModule)
    if folder.name == "moirai-moe":
        forecast, module = MoiraiMoEForecast, MoiraiMoEModule
    rows = VISITED[PARTS[part]].set_index("day")
    later = pd.DataFrame({"price": KNOWN[part]}, index=DAYS[-1] + pd.to_timedelta([1, 2, 3], "D"))
    frame = pd.concat([rows, later])[["sales", "price", "guests"]].astype(np.float32)
    columns = {"feat_dynamic_real": ["price"], "past_feat_dynamic_real": ["guests"]}
    data = PandasDataset({"0": frame}, target="sales", freq="D", future_length=horizon, **columns)
    sizes = {"prediction_length": horizon, "context_length": len(rows), "target_dim": 1}
    model = forecast(
        module=module.from_pretrained(folder), feat_dynamic_real_dim=1, past_feat_dynamic_real_dim=1, **sizes
    )
    torch.manual_seed(0)
    made = next(iter(model.create_predictor(batch_size=1, device="cpu").predict(data)))
    return np.stack([made.quantile(level) for level in DECILES], axis=-1)


OWN = {
    "chronos-2": of_chronos,
    "chronos-bolt": of_chronos,
    "chronos-t5": of_chronos,
    "timesfm-3.0": of_timesfm,
    "tirex": of_tirex,
    "moirai-1.1": of_moirai,
    "moirai-moe": of_moirai,
}
NAMES = [*OWN, "moirai-2.0"]


def quantiles_of(model: PretrainedForecaster, future: pd.DataFrame) -> np.ndarray:
    """Return the quantiles of b and a, (2, H, levels)."""
    made = model.predict(future=future, quantiles=LEVELS)
    return np.stack([made.loc[made["shop"] == shop].iloc[:, -len(LEVELS) :] for shop in "ba"])


@pytest.mark.parametrize("name", OWN)
def test_forecasts_and_quantiles_are_those_of_the_package(folders: dict[str, Path], name: str) -> None:
    own = np.stack([OWN[name](folders[name], part, HORIZON) for part in (0, 1)])  # (2, H, 9)
    model = PretrainedForecaster(folders[name], horizon=HORIZON).fit(COVARIATES)
    assert own.std() > 0
    np.testing.assert_allclose(forecasts_of(model, COVARIATES, AHEAD), own[..., 4], rtol=1e-5)
    lowest = np.maximum(np.sort(own)[..., [0, 4, 8]], 0)  # sales have no negative number
    np.testing.assert_allclose(quantiles_of(model, AHEAD), lowest, rtol=1e-5)
    assert model.predict(future=AHEAD).equals(model.predict(future=AHEAD))


def test_moirai_2_forecasts_as_its_own_method_without_covariates_and_reads_those_that_there_are(
    folders: dict[str, Path],
) -> None:
    from uni2ts.model.moirai2 import Moirai2Forecast, Moirai2Module

    folder = folders["moirai-2.0"]
    sizes = {"target_dim": 1, "feat_dynamic_real_dim": 0, "past_feat_dynamic_real_dim": 0}
    own = []
    for y in (B, A):
        module = Moirai2Module.from_pretrained(folder)
        forecast = Moirai2Forecast(module=module, prediction_length=HORIZON, context_length=len(y), **sizes)
        own.append(forecast.predict([y.astype(np.float32)])[0, 4])
    np.testing.assert_allclose(forecasts_of(PretrainedForecaster(folder)), own, rtol=1e-5)
    read = forecasts_of(PretrainedForecaster(folder), COVARIATES, AHEAD)
    other = forecasts_of(PretrainedForecaster(folder), COVARIATES, AHEAD.assign(price=AHEAD["price"] + 5))
    assert not np.allclose(read, own)
    assert not np.allclose(read, other)


def test_timesfm_2_5_forecasts_as_its_own_call_with_the_flags_of_its_authors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timesfm
    from timesfm.timesfm_2p5.timesfm_2p5_torch import TimesFM_2p5_200M_torch_module as Module

    block = dataclasses.replace(Module.config.tokenizer, hidden_dims=16, output_dims=16)
    layer = dataclasses.replace(
        Module.config.stacked_transformers.transformer, model_dims=16, hidden_dims=16, num_heads=2
    )
    small = dataclasses.replace(
        Module.config,
        tokenizer=block,
        stacked_transformers=dataclasses.replace(Module.config.stacked_transformers, num_layers=1, transformer=layer),
        output_projection_point=dataclasses.replace(block, input_dims=16, output_dims=1280, use_bias=False),
        output_projection_quantiles=dataclasses.replace(block, input_dims=16, output_dims=10240, use_bias=False),
    )
    monkeypatch.setattr(Module, "config", small)  # the package has one size alone
    torch.manual_seed(0)
    timesfm.TimesFM_2p5_200M_torch(torch_compile=False).save_pretrained(tmp_path)
    own = timesfm.TimesFM_2p5_200M_torch.from_pretrained(str(tmp_path), torch_compile=False)
    flags = ("normalize_inputs", "use_continuous_quantile_head", "fix_quantile_crossing")
    flags += ("force_flip_invariance", "infer_is_positive")
    expected = []
    for y in (B, A):
        sizes = {"max_context": len(y), "max_horizon": HORIZON}
        own.compile(timesfm.ForecastConfig(**sizes, **dict.fromkeys(flags, True)))
        expected.append(own.forecast(horizon=HORIZON, inputs=[y])[0][0])
    model = PretrainedForecaster(tmp_path, family="timesfm")
    np.testing.assert_allclose(forecasts_of(model), expected, rtol=1e-5)
    with pytest.raises(ParameterError, match=r"context must be at most the 16,256 steps .* before 3: got 16,300"):
        PretrainedForecaster(tmp_path, family="timesfm", context=16_300, horizon=3).fit(PANEL)


@pytest.mark.parametrize("name", NAMES)
def test_missing_numbers_and_short_series_are_forecast(folders: dict[str, Path], name: str) -> None:
    holes = VISITED.assign(sales=np.where(np.arange(180) % 9 == 4, np.nan, SALES))
    short = pd.concat([holes[:100], holes[170:]])  # ten steps of a
    panel = Panel.from_frame(short, id="shop", time="day", nan_policy="mask", **ROLES)
    model = PretrainedForecaster(folders[name], horizon=HORIZON).fit(panel)
    found = forecasts_of(model, panel, AHEAD)
    assert np.isfinite(found).all()
    filled = forecasts_of(model, COVARIATES, AHEAD)
    assert not np.allclose(found[0], filled[0])  # what is missing is not there


def test_chronos_is_given_what_is_missing_as_missing(folders: dict[str, Path]) -> None:
    from chronos import BaseChronosPipeline

    y = np.where(np.arange(100) % 9 == 4, np.nan, B)
    panel = Panel.from_frame(pd.DataFrame({"day": DAYS, "sales": y}), time="day", nan_policy="mask")
    for name in ("chronos-2", "chronos-bolt"):
        pipeline = BaseChronosPipeline.from_pretrained(folders[name])
        _, own = pipeline.predict_quantiles([torch.tensor(y)], prediction_length=3)
        made = PretrainedForecaster(folders[name], horizon=3).fit(panel).predict()
        np.testing.assert_allclose(made["sales"], np.asarray(own[0]).ravel(), rtol=1e-5)


def test_chronos_2_reads_text_and_others_refuse_it(folders: dict[str, Path]) -> None:
    from chronos import BaseChronosPipeline

    weather = np.where(np.arange(180) % 3 == 0, "rain", "sun")
    panel = Panel.from_frame(
        SHOPS.assign(weather=weather), id="shop", time="day", target="sales", past="price", future="weather"
    )
    ahead = AHEAD.assign(weather=["rain", "sun", "snow"] * 2)[["shop", "day", "weather"]]
    rows = PARTS[1]
    given = {
        "target": A,
        "past_covariates": {"price": PRICES[rows], "weather": weather[rows]},
        "future_covariates": {"weather": np.array(["rain", "sun", "snow"])},
    }
    pipeline = BaseChronosPipeline.from_pretrained(folders["chronos-2"])
    _, own = pipeline.predict_quantiles([given], prediction_length=3)
    model = PretrainedForecaster(folders["chronos-2"])
    np.testing.assert_allclose(forecasts_of(model, panel, ahead)[1], np.asarray(own[0])[0], rtol=1e-5)
    with pytest.raises(DataError, match=r"moirai-1\.1 reads numbers alone: 'weather' is text"):
        PretrainedForecaster(folders["moirai-1.1"]).fit(panel)


@pytest.mark.parametrize("name", NAMES)
def test_a_context_is_the_last_steps_and_no_longer_than_the_model_reads(folders: dict[str, Path], name: str) -> None:
    last = VISITED.groupby("shop", sort=False).tail(24)
    panel = Panel.from_frame(last, id="shop", time="day", **ROLES)
    short = forecasts_of(PretrainedForecaster(folders[name], context=24), COVARIATES, AHEAD)
    np.testing.assert_allclose(short, forecasts_of(PretrainedForecaster(folders[name]), panel, AHEAD), rtol=1e-5)
    assert not np.allclose(short, forecasts_of(PretrainedForecaster(folders[name]), COVARIATES, AHEAD))
    limit = {"timesfm-3.0": "15,360", "moirai-1.1": "248", "moirai-moe": "496", "moirai-2.0": "248"}.get(name, "64")
    with pytest.raises(ParameterError, match=rf"context must be at most the {limit} steps that {name} reads before 3"):
        PretrainedForecaster(folders[name], context=100_000, horizon=HORIZON).fit(COVARIATES)


@pytest.mark.parametrize("name", NAMES)
def test_horizons_beyond_that_of_the_model_are_forecast(folders: dict[str, Path], name: str) -> None:
    model = PretrainedForecaster(folders[name], horizon=40).fit(PANEL)
    at_once = {"chronos-2": 16, "chronos-bolt": 8, "chronos-t5": 8}.get(name)
    if at_once:
        with pytest.warns(DataWarning, match=f"{name} was trained to forecast {at_once} steps: beyond them, up to 40"):
            found = model.predict()
    else:
        found = model.predict()
    assert np.isfinite(found["sales"]).all()
    assert len(found) == 80
    near = PretrainedForecaster(folders[name], horizon=8).fit(PANEL).predict()["sales"].to_numpy()[:8]
    if name in ("chronos-bolt", "timesfm-3.0", "tirex"):  # others see the horizon, or draw
        np.testing.assert_allclose(found["sales"].to_numpy()[:8], near, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_series_in_batches_have_the_forecasts_that_they_have_alone(folders: dict[str, Path], name: str) -> None:
    model = PretrainedForecaster(folders[name], horizon=HORIZON).fit(COVARIATES)
    together = PretrainedForecaster(folders[name], horizon=HORIZON, batch_size=8).fit(COVARIATES)
    assert np.isfinite(forecasts_of(together, COVARIATES, AHEAD)).all()
    if name in ("chronos-2", "chronos-bolt", "tirex"):  # others draw, or have paddings that count
        one, two = (forecasts_of(each, COVARIATES, AHEAD) for each in (model, together))
        np.testing.assert_allclose(one, two, rtol=1e-4)


@pytest.mark.parametrize("name", ["chronos-2", "tirex", "moirai-1.1"])
def test_on_a_board_by_name_nothing_after_a_cutoff_moves_a_forecast(folders: dict[str, Path], name: str) -> None:
    model = make(f"pretrained:{folders[name]}")
    assert model.label == name
    check_on_a_board({name: model})
    check_that_the_future_moves_nothing(model)


def test_boards_name_release_and_data_of_a_pretrained_model(folders: dict[str, Path]) -> None:
    model = PretrainedForecaster(folders["chronos-2"])
    assert (model.pretraining.release, "KernelSynth" in model.pretraining.trained_on) == ("2025-10-20", True)
    own = PretrainedForecaster(folders["chronos-2"], release="2024-02-20", trained_on=["mine"])
    board = leaderboard({"known": model, "own": own}, PANEL, horizon=HORIZON, origins=2, audit=None)
    assert "own is pretrained, and reads past and future covariates alone" in " ".join(board.notes)
    lines = board.table.set_index("model")
    assert lines.loc[["known", "own"], "release"].tolist() == ["2025-10-20", "2024-02-20"]
    assert lines.loc["own", "trained_on"] == "mine"
    assert lines.loc["own", "exposure"] != lines.loc["known", "exposure"]
    with pytest.raises(ParameterError, match="release must be a date"):
        PretrainedForecaster(folders["chronos-2"], release="soon").fit(PANEL)
    with pytest.raises(ParameterError, match="trained_on must be names of datasets"):
        PretrainedForecaster(folders["chronos-2"], release="2024-02-20", trained_on=3).fit(PANEL)


def test_the_code_of_kept_rows_follows_the_weights_and_a_pickle_holds_none(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    import pickle

    shutil.copytree(folders["chronos-bolt"], tmp_path / "bolt")
    model = PretrainedForecaster(tmp_path / "bolt", horizon=HORIZON).fit(PANEL)
    before, made = model.code, model.predict()
    assert before == PretrainedForecaster(folders["chronos-bolt"]).code
    kept = pickle.dumps(model)
    assert len(kept) < 20_000
    assert pickle.loads(kept).predict().equals(made)
    with (tmp_path / "bolt" / "config.json").open("a") as file:
        file.write("\n")
    assert model.code != before


def test_weights_that_are_missing_or_damaged_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for name in ("chronos-2", "timesfm-3.0", "moirai-2.0"):
        folder = tmp_path / name
        shutil.copytree(folders[name], folder)
        weights = load_file(folder / "model.safetensors")
        dropped = sorted(weights)[-1]
        save_file({key: each for key, each in weights.items() if key != dropped}, folder / "model.safetensors")
        with pytest.raises(
            ParameterError, match=rf"cannot be loaded from folder '{name}': 1 of its weights .*{dropped}"
        ):
            PretrainedForecaster(folder).fit(PANEL)
        (folder / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(ParameterError, match=f"cannot be loaded from folder '{name}'"):
            PretrainedForecaster(folder).fit(PANEL)
        (folder / "model.safetensors").unlink()
        with pytest.raises(ParameterError, match=f"cannot be loaded from folder '{name}'"):
            PretrainedForecaster(folder).fit(PANEL)


def test_a_relative_folder_of_the_name_of_a_model_on_a_hub_is_read_here(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folders["moirai-2.0"], tmp_path / "Salesforce" / "moirai-2.0-R-small")
    monkeypatch.chdir(tmp_path)
    found = forecasts_of(make("pretrained:Salesforce/moirai-2.0-R-small"))
    np.testing.assert_array_equal(found, forecasts_of(PretrainedForecaster(folders["moirai-2.0"])))
    with pytest.raises(ParameterError, match=r"folder must be a local folder .* got 'amazon/chronos-2'; download"):
        make("pretrained:amazon/chronos-2")
    with pytest.raises(
        ParameterError, match="folder must hold a pretrained model of tirex: it holds Moirai 2 of moirai"
    ):
        PretrainedForecaster("Salesforce/moirai-2.0-R-small", family="tirex").fit(PANEL)

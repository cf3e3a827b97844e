"""Adapters without their libraries: each can be imported, and a name of a library that is missing is refused."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tsforecast.adapters.families import VARIANTS, variant_of
from tsforecast.adapters.names import make
from tsforecast.adapters.pretrained import PretrainedForecaster
from tsforecast.adapters.protocol import ADAPTERS, PACKAGES, adapter
from tsforecast.errors import ParameterError
from tsforecast.forecasters.base import Pretraining


@pytest.mark.parametrize("library", ADAPTERS)
def test_an_adapter_is_imported_without_its_library_which_a_name_of_its_models_needs(library: str) -> None:
    assert adapter(library).adapt(object()) is None
    package = PACKAGES.get(library, library)
    if package and find_spec(package.partition(".")[0]) is None:
        with pytest.raises(ParameterError) as raised:
            make(f"{library}:Any")
        sentence = (
            f"model '{library}:Any' needs the package {package}, which is not installed: install it, for example with "
        )
        assert str(raised.value) == f"{sentence}pip install {package}"


def save(folder: Path, config: object) -> Path:
    """Write a configuration of a pretrained model without weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"chronos_config": {}, "chronos_pipeline_class": "Chronos2Pipeline"}, "Chronos-2"),
        ({"chronos_config": {}, "architectures": ["Chronos2Model"]}, "Chronos-2"),
        ({"chronos_config": {}, "architectures": ["ChronosBoltModelForForecasting"]}, "Chronos-Bolt"),
        ({"chronos_config": {}, "architectures": ["T5ForConditionalGeneration"]}, "Chronos-T5"),
        ({"transformer_config": {}}, "TimesFM 3.0"),
        ({"patch_sizes": [8], "distr_output": {}}, "Moirai 1"),
        ({"patch_sizes": [16], "d_ff": 8}, "Moirai-MoE"),
        ({"patch_size": 16, "num_predict_token": 4}, "Moirai 2"),
    ],
)
def test_a_pretrained_model_is_recognised_by_its_configuration(tmp_path: Path, config: object, name: str) -> None:
    folder = save(tmp_path / "one", config)
    assert variant_of(folder) == name
    family = VARIANTS[name].family
    assert variant_of(folder, family) == name
    other = "tirex" if family != "tirex" else "moirai"
    with pytest.raises(ParameterError) as raised:
        variant_of(folder, other)
    assert str(raised.value) == f"folder must hold a pretrained model of {other}: it holds {name} of {family}"
    package, install = VARIANTS[name].package, VARIANTS[name].install
    if find_spec(package) is None:
        with pytest.raises(ParameterError, match=f"needs the package {install}, .*pip install {install}"):
            make(f"pretrained:{folder}")
        with pytest.raises(ParameterError, match=f"{name} in .* needs the package {install}"):
            PretrainedForecaster(folder).fit([1.0, 2.0, 3.0, 4.0])


def test_folders_without_a_configuration_are_known_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"")
    assert variant_of(tmp_path) == "TiRex"
    other = save(tmp_path / "other", {"model_type": "timesfm2_5"})
    with pytest.raises(ParameterError, match="must hold a pretrained model of chronos, timesfm, tirex, moirai"):
        variant_of(other)
    (other / "model.safetensors").write_bytes(b"")
    assert variant_of(other) == "TimesFM 2.5"
    (other / "config.json").write_text("[1")
    assert variant_of(other, "timesfm") == "TimesFM 2.5"
    with pytest.raises(ParameterError, match=r"it holds config\.json, model\.safetensors; download the model"):
        variant_of(other)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParameterError, match="it is empty"):
        make(f"pretrained:{tmp_path / 'empty'}")


@pytest.mark.parametrize("folder", ["amazon/chronos-2", "", "~nobody-here/x", "x" * 5000, None, 3, ["x"]])
def test_a_folder_that_is_not_here_is_refused_and_nothing_is_downloaded(folder: object) -> None:
    model = PretrainedForecaster(folder)
    sentence = f"folder must be a local folder with a pretrained model: got {folder!r}; download the weights first"
    for use in (lambda: model.fit([1.0, 2.0, 3.0]), lambda: model.pretraining):
        with pytest.raises(ParameterError) as raised:
            use()
        assert str(raised.value).startswith(sentence)
    assert model.note == ""
    assert isinstance(model.label, str)
    with pytest.raises(ParameterError) as raised:
        make("pretrained:amazon/chronos-2")
    assert "nothing is downloaded here" in str(raised.value)


def test_settings_of_a_pretrained_model_are_checked(tmp_path: Path) -> None:
    folder = save(tmp_path / "one", {"transformer_config": {}})
    for settings, sentence in (
        ({"family": "gpt"}, "family must be one of"),
        ({"context": 0}, "context must be a whole number >= 1"),
        ({"batch_size": 0}, "batch_size must be a whole number >= 1"),
        ({"device": "tpu9"}, "device must be"),
        ({"release": "soon"}, "release must be a date"),
        ({"release": "2024-01-01", "trained_on": 3}, "trained_on must be names"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            PretrainedForecaster(folder, **settings).fit([1.0, 2.0, 3.0])
    own = PretrainedForecaster(folder, trained_on=["mine"])
    assert own.pretraining == Pretraining("2026-08-31", ("mine",))


def test_releases_are_dates() -> None:
    for name, variant in VARIANTS.items():
        assert Pretraining(variant.release, variant.trained_on).release, name

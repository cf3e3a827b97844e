"""Adapters without their libraries: each can be imported, and a name of a library that is missing is refused."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tsforecast.adapters.names import make
from tsforecast.adapters.protocol import ADAPTERS, adapter
from tsforecast.errors import ParameterError


@pytest.mark.parametrize("library", ADAPTERS)
def test_an_adapter_is_imported_without_its_library_which_a_name_of_its_models_needs(library: str) -> None:
    assert adapter(library).adapt(object()) is None
    if find_spec(library) is None:
        with pytest.raises(ParameterError) as raised:
            make(f"{library}:Any")
        sentence = (
            f"model '{library}:Any' needs the package {library}, which is not installed: install it, for example with "
        )
        assert str(raised.value) == f"{sentence}pip install {library}"

"""Models by a name with a colon: ``library:Class`` of an adapter, or ``module:callable`` of the caller's own."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tsforecast.adapters.protocol import ADAPTERS, PACKAGES, adapter, as_forecaster, required
from tsforecast.errors import ParameterError, UnknownNameError, nearest, reason
from tsforecast.forecasters.base import Forecaster


def is_foreign(name: str) -> bool:
    """Return whether a name is one of this module: all have a colon."""
    return ":" in name


def make(name: str, **settings: Any) -> Any:
    """Return the model of a name, which `as_forecaster` takes.

    Parameters
    ----------
    name : str
        ``library:Class`` of a library in `ADAPTERS`, or ``module:callable`` of a module in the current folder or an
        installed one: a function of context and horizon, a model, or a function or class without parameters that makes
        one.
    settings : optional
        ``random_state``, 0 unless given, for a model that has one, and others for a reduction by a regressor.

    Raises
    ------
    UnknownNameError, ParameterError

    Examples
    --------
    >>> make("sklearn:LinearRegression")
    LinearRegression()
    >>> make("statistics:mean").__name__
    'mean'
    """
    library, _, rest = name.partition(":")
    if library in ADAPTERS:
        require_library(library, name)
        model = adapter(library).make(rest, random_state=settings.get("random_state", 0))
    else:
        model = _of_module(name, library, rest)
    forecaster = as_forecaster(model)
    known = () if isinstance(model, Forecaster) else ("window", "strategy", "season_length")
    wanted = {key: settings[key] for key in known if key in settings and key in forecaster.get_params(deep=False)}
    return forecaster.set_params(**wanted) if wanted else model


def require_library(library: str, name: str) -> None:
    """Raise ParameterError unless a library that a model needs is installed."""
    package = PACKAGES.get(library, library)
    if package:  # else the module of the library knows
        require_package(package, name)


def require_package(package: str, name: str, install: str = "") -> None:
    """Raise ParameterError unless a package that a model needs is installed; pip may have another name for it."""
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # what comes before a dot in its name is missing
        found = None
    if found is None:
        install = install or package
        raise ParameterError(
            f"model {name!r} needs the package {install}, which is not installed: install it, for example with "
            f"pip install {install}"
        )


def _of_module(name: str, module: str, attribute: str) -> Any:
    """Return what a module of the caller has under a name, or makes."""
    found = getattr(_imported(name, module), attribute, None)
    if found is None:
        have = [each for each in dir(sys.modules[module]) if not each.startswith("_")]
        raise UnknownNameError(f"module {module!r} has no {attribute!r}; {nearest(attribute, have)}")
    makes = isinstance(found, type) or (callable(found) and not hasattr(found, "fit") and not required(found))
    if not makes:
        return found
    try:
        return found()
    except Exception as error:  # of the caller's own code
        raise ParameterError(
            f"{name} must make a model without parameters: {type(error).__name__}: {reason(error)}"
        ) from error


def _imported(name: str, module: str) -> Any:
    """Import a module of the current folder, or an installed one."""
    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.append(str(here))  # at the end: a file of the caller must not stand in for a library
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise ParameterError(
                f"model {name!r}: module {module!r} imports {error.name!r}, which is missing"
            ) from error
        libraries = ", ".join(f"{each}:..." for each in ADAPTERS)
        raise ParameterError(
            f"model {name!r}: module {module!r} must lie in the current folder or be installed; models of libraries "
            f"are {libraries}"
        ) from error
    except Exception as error:  # of the caller's own code
        raise ParameterError(
            f"model {name!r}: module {module!r} cannot be imported: {type(error).__name__}: {reason(error)}"
        ) from error
    top = module.partition(".")[0]
    mine = [path for path in (here / f"{top}.py", here / top / "__init__.py") if path.is_file()]
    origin = getattr(sys.modules[top], "__file__", None)
    if mine and (origin is None or Path(origin).resolve() != mine[0].resolve()):
        raise ParameterError(
            f"model {name!r}: {mine[0].name!r} of the current folder has the name of another module, {origin}; rename "
            "it"
        )
    return found

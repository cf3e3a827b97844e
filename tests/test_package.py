"""The package is quick to import, declares what it needs, and its wheel is complete."""

from __future__ import annotations

import ast
import json
import os
import pkgutil
import re
import resource
import subprocess
import sys
import sysconfig
import tomllib
import venv
from itertools import chain
from pathlib import Path

import pytest
import yaml

import tsforecast
from tests.conftest import OneRay
from tsforecast.provenance import DISTRIBUTION

ROOT = Path(__file__).parents[1]


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


def loaded_after(statement: str) -> set[str]:
    return {name.partition(".")[0] for name in modules_after(statement)}


@pytest.mark.process
def test_importing_the_package_loads_no_other() -> None:
    assert loaded_after("import tsforecast") - loaded_after("pass") - sys.stdlib_module_names == {"tsforecast"}


@pytest.mark.process
@pytest.mark.parametrize("words", [["--help"], ["tune", "--help"], ["--version"]])
def test_the_command_line_loads_nothing_heavy_before_it_has_something_to_do(words: list[str]) -> None:
    lines = f"import tsforecast.cli.app as cli\ntry:\n    cli.app({words})\nexcept SystemExit:\n    pass"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    heavy = {re.split(r"[><=\[ ]", line)[0] for line in declared} | {"sklearn", "scipy"}
    heavy -= {"typer", "rich", "pydantic"}  # the second and third are loaded by the first
    assert heavy >= {"torch", "ray", "mlflow", "pandas", "polars", "statsmodels", "matplotlib", "numpy", "numba"}
    assert not loaded_after(lines) & heavy


@pytest.mark.process
def test_the_help_takes_little_longer_than_that_of_two_commands_that_do_nothing() -> None:
    def seconds(*words: str) -> float:
        """Return the processor time of a run, which other processes do not lengthen much, the least of five."""
        runs = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            runs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(runs)

    bare = "\n".join(
        ["import typer, rich.table", "app = typer.Typer(rich_markup_mode='markdown')"]
        + [f"@app.command()\ndef {name}(): 'Do it.'" for name in "ab"]
        + ["app(['--help'])"]
    )
    assert seconds("-m", "tsforecast.cli.app", "--help") < 3 * seconds("-c", bare)


def test_rows_of_the_benchmark_keep_what_is_promised_of_a_start() -> None:
    rows = map(json.loads, (ROOT / "benchmarks/results/start.jsonl").read_text().splitlines())
    median = {row["measured"]: row["median"] for row in rows}
    assert median["import tsforecast"] < 0.25
    assert median["tsforecast --help"] < 0.6
    assert median["tsforecast leaderboard co2-weekly --models gru"] < 6


@pytest.mark.process
def test_a_leaderboard_of_networks_loads_neither_torch_s_compiler_nor_what_draws() -> None:
    words = ["leaderboard", "sunspots-yearly", "--models", "conv1d", "--epochs", "1"]
    lines = f"import tsforecast.cli.app as cli\ntry:\n    cli.app({words})\nexcept SystemExit:\n    pass"
    modules = modules_after(lines)
    assert "tsforecast.training.loop" in modules
    assert not modules & {"torch._dynamo", "torch._inductor", "matplotlib", "mlflow", "ray"}


@pytest.mark.process
def test_a_naive_forecast_needs_no_torch() -> None:
    statement = "import tsforecast as t\nt.NaiveForecaster(2).fit([1.0, 2.0]).predict()"
    assert "torch" not in loaded_after(statement)


def test_every_public_name_can_be_reached_and_is_listed() -> None:
    for name in tsforecast.__all__:
        assert getattr(tsforecast, name) is not None
    assert set(tsforecast.__all__) <= set(dir(tsforecast))
    with pytest.raises(AttributeError, match="tsforecast has no 'GRUForcaster'; did you mean 'GRUForecaster'"):
        tsforecast.GRUForcaster  # noqa: B018


def test_no_public_name_is_hidden_by_a_module_of_that_name() -> None:
    assert not {module.name for module in pkgutil.iter_modules(tsforecast.__path__)} & set(tsforecast.__all__)


def test_the_type_checker_sees_the_same_public_names() -> None:
    tree = ast.parse((ROOT / "tsforecast/__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert declared == set(tsforecast.__all__) - {"__version__"}


@pytest.mark.long
def test_every_library_that_is_imported_is_declared_and_every_declared_one_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        project["optional-dependencies"][name] for name in project["optional-dependencies"].keys() - {"test", "docs"}
    ]
    declared = {re.split(r"[><=\[ ]", line)[0] for line in chain(project["dependencies"], *extras)}
    imported = set()
    for path in (ROOT / "tsforecast").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    known_as = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
    imported = {known_as.get(name, name) for name in imported - {"tsforecast"}}
    third_party = imported - sys.stdlib_module_names
    # scipy comes with scikit-learn, markupsafe with jinja2, llvmlite with numba; pandas loads tabulate for Markdown.
    assert third_party - {"scipy", "markupsafe", "llvmlite"} == declared - {"tabulate"}


def test_the_constraints_pin_every_declared_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.split(r"[><=\[ ]", line)[0].lower() for line in needed} <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == tsforecast.__version__
    assert f"## {tsforecast.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_name_for_pip_is_that_of_no_other_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION == "tsforecast-toolkit"
    wrong = re.compile(r"pip\s+install[\s\\\"']+tsforecast(?!-toolkit)")
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tsforecast").rglob("*.py")]
    assert [page.name for page in pages if wrong.search(page.read_text(encoding="utf-8"))] == []


def test_the_recipe_for_conda_has_the_fields_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = yaml.safe_load((ROOT / "docs/recipe/meta.yaml").read_text())
    assert recipe["package"] == {name: project[name] for name in ("name", "version")}
    assert recipe["build"]["entry_points"] == [f"tsforecast = {project['scripts']['tsforecast']}"]
    named = {"torch": "pytorch", "ray[tune]": "ray-tune", "matplotlib": "matplotlib-base"}  # on conda-forge
    parts = [re.fullmatch(r"([^><=]+)(.*)", line).groups() for line in project["dependencies"]]  # type: ignore[union-attr]
    needed = [f"{named.get(name, name)} {limit}" for name, limit in parts]
    python = f"python {project['requires-python']}"
    assert recipe["requirements"]["run"] == [python, *needed]
    assert recipe["requirements"]["host"] == [python, "pip", "hatchling >=1.27"]
    assert (recipe["about"]["license"], recipe["about"]["summary"]) == (project["license"], project["description"])
    assert ((ROOT / "docs/recipe") / recipe["source"]["path"]).resolve() == ROOT


def build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run_leaderboard(python: Path, folder: Path) -> str:
    # In a folder of its own, so that nothing can be found beside the test's own checkout.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TSFORECAST_DATA")}
    command = [python.parent / "tsforecast", "leaderboard", "co2-weekly", "--models", "gru", "--epochs", "1"]
    command += ["--report", "report.html"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    where = [python, "-c", "import tsforecast; print(tsforecast.__file__)"]
    home = subprocess.run(where, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    assert str(folder) in home
    assert "</html>" in (folder / "report.html").read_text(encoding="utf-8")
    return result.stdout


@pytest.mark.process
def test_a_wheel_brings_datasets_benchmarks_and_the_page_of_the_report_along(tmp_path: Path) -> None:
    venv.create(tmp_path / "env")
    python = tmp_path / "env/bin/python"
    # The libraries are lent from this environment; the package itself comes from the wheel alone.
    site = next((tmp_path / "env/lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", python]
    install = [*pip, "install", "--no-deps", "--no-index", build_wheel(tmp_path)]
    subprocess.run(install, check=True, capture_output=True)
    assert next(site.glob("tsforecast_toolkit-*.dist-info")).is_dir()
    assert (site / "tsforecast/py.typed").is_file()
    assert "seasonal-naive" in run_leaderboard(python, tmp_path)
    drawn = ["benchmark", "accuracy", "--no-measure", "--out", "drawn"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([python.parent / "tsforecast", *drawn], cwd=tmp_path, env=environment, check=True)
    assert "m4-hourly" in (tmp_path / "drawn/accuracy.html").read_text(encoding="utf-8")


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(900)  # it downloads all of torch
def test_a_wheel_installed_into_an_empty_environment_runs_a_leaderboard(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    install = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        ROOT / "constraints.txt",
        build_wheel(tmp_path),
    ]
    subprocess.run(install, check=True, capture_output=True)
    assert "seasonal-naive" in run_leaderboard(python, tmp_path)


def test_files_that_start_ray_go_to_one_worker(pytestconfig: pytest.Config) -> None:
    scheduler = object.__new__(OneRay)
    scheduler.config = pytestconfig
    scopes = {name: scheduler._split_scope(f"tests/{name}.py::test_one") for name in ("search/test_ray", "test_cli")}
    assert scopes["search/test_ray"] == scheduler._split_scope("tests/search/test_faults.py::test_two") == "ray"
    assert scopes["test_cli"] == "tests/test_cli.py"

"""The container file, read line by line: what it copies is there, and what it runs is no root."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import typer

from tsforecast.cli.app import app

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/how-to/serving/Containerfile"


@pytest.fixture(scope="module", name="lines")
def instructions() -> list[tuple[str, str]]:
    """Return instructions and their arguments, in order."""
    text = re.sub(r"\\\n", " ", FILE.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def of(lines: list[tuple[str, str]], name: str) -> list[str]:
    return [words for instruction, words in lines if instruction == name]


def test_all_that_is_copied_and_all_that_the_package_is_made_of_is_there(lines: list[tuple[str, str]]) -> None:
    copied = {name for words in of(lines, "COPY") if "--from" not in words for name in words.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {project["project"]["readme"], *project["project"]["license-files"], *wheel["packages"]}
    assert copied >= needed | set(wheel["force-include"]) | {"pyproject.toml", "constraints.txt"}


def test_packages_come_from_registries_in_the_pinned_versions_with_torch_for_processors(
    lines: list[tuple[str, str]],
) -> None:
    run = of(lines, "RUN")
    assert not [words for words in run if re.search(r"curl|wget|git |apt|http://", words)]
    torch, package = (next(words for words in run if part in words) for part in ("torch==", "/source["))
    assert "--index-url https://download.pytorch.org/whl/cpu" in torch
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert torch.split()[-1] in pinned
    assert "--constraint /source/constraints.txt" in package
    assert "[serve]" in package
    assert run.index(torch) < run.index(package)
    (minimum,) = re.findall(
        r">=([\d.]+)", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    )
    assert all(f"python:{minimum}" in words for words in of(lines, "FROM"))


def test_it_serves_as_a_user_without_rights_with_options_that_exist(lines: list[tuple[str, str]]) -> None:
    last = max(at for at, (name, _) in enumerate(lines) if name == "FROM")
    user = of(lines[last:], "USER")
    assert user == ["10001"]
    names = [name for name, _ in lines]
    assert names.index("USER") < names.index("ENTRYPOINT")
    (words,) = (json.loads(words) for words in of(lines, "ENTRYPOINT"))
    assert words[1:3] == ["serve", "/model"]
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {option for parameter in serve.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    assert of(lines, "EXPOSE") == [words[words.index("--port") + 1]]
    assert of(lines, "STOPSIGNAL") == ["SIGTERM"]

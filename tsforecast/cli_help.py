"""How `--help` looks: commands in the order in which a newcomer needs them, flags without a type."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

ORDER = (
    "datasets",
    "leaderboard",
    "report",
    "fit",
    "predict",
    "inspect",
    "tune",
    "tune-report",
    "audit",
    "benchmark",
    "track-sync",
)


class PlainGroup(TyperGroup):
    """Commands whose flags are shown without ``<bool>``, since nothing is to be said after them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the group's own options."""
        return _plain(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of the group."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _plain(command.get_params(ctx))  # --help among them, which no command declares
        return command


class InOrder(PlainGroup):
    """All commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names as a newcomer needs them."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


def _plain(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params

"""What starting costs: fresh processes that load the package, answer `--help`, or reach a network, turn by turn.

The longest ones load everything, fit a network, forecast beside the naive family and say that it beats the best of it,
or the run is none. Files are in the memory of the system before the clock starts, and kernels are compiled. *wall* is
what somebody waits; beside it stands a Python that does nothing, which all of them pay.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from record import record

REPEATS = 15
COMMAND = ("-m", "tsforecast.cli.app")
STARTS = {
    "python -c pass": ("-c", "pass"),
    "import tsforecast": ("-c", "import tsforecast"),
    "tsforecast --help": (*COMMAND, "--help"),
    "from tsforecast import GRUForecaster": ("-c", "from tsforecast import GRUForecaster"),
    "tsforecast leaderboard co2-weekly --models gru": (*COMMAND, "leaderboard", "co2-weekly", "--models", "gru"),
    "tsforecast leaderboard co2-weekly --models conv1d": (*COMMAND, "leaderboard", "co2-weekly", "--models", "conv1d"),
}


def seconds(words: tuple[str, ...]) -> float:
    """Return how long a Python with these words takes, until it has ended."""
    began = time.perf_counter()
    said = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    taken = time.perf_counter() - began
    if "leaderboard" in words and f"{words[-1]} beats" not in said.stdout:
        raise RuntimeError(f"{words[-1]} must beat the naive family: {said.stdout}")
    return taken


def main() -> None:
    turns = [{start: seconds(words) for start, words in STARTS.items()} for _ in range(1 + REPEATS)]
    found = {start: [turn[start] for turn in turns[1:]] for start in STARTS}  # the first turn warms what is read
    record(
        "start",
        [
            {
                "measured": start,
                "unit": "seconds",
                "median": statistics.median(walls),
                "lowest": min(walls),
                "highest": max(walls),
                "repeats": REPEATS,
            }
            for start, walls in found.items()
        ],
    )


if __name__ == "__main__":
    main()

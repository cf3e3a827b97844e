"""What starting costs: fresh processes that load the package, answer `--help`, or reach a network, turn by turn.

Files are in the memory of the system before the clock starts. *wall* is what somebody waits; beside it stands a Python
that does nothing, which all of them pay.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from record import record

REPEATS = 15
STARTS = {
    "python -c pass": ("-c", "pass"),
    "import tsforecast": ("-c", "import tsforecast"),
    "tsforecast --help": ("-m", "tsforecast.cli", "--help"),
    "from tsforecast import GRUForecaster": ("-c", "from tsforecast import GRUForecaster"),
}


def seconds(words: tuple[str, ...]) -> float:
    """Return how long a Python with these words takes, until it has ended."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


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

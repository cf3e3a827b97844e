"""Users on both sides: what is tested on somebody was learned from the same person."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.leakage.gallery.entry import Floats, OfUsers, nearest_mean, windows

SEEN, STEPS = 30, 10
USERS = ("ann", "bob", "cem", "dan", "eve", "fay", "gil", "hal")


def recordings() -> pd.DataFrame:
    """Return three recordings of each of eight users, who all repeat a movement of their own."""
    random = np.random.default_rng(9)
    parts = []
    for user in USERS:
        movement = np.cumsum(random.normal(size=10))
        movement -= np.linspace(movement[0], movement[-1], 10)
        for take in range(3):
            y = np.roll(np.tile(movement, 6), random.integers(10))[: SEEN + STEPS]
            y = y + 0.3 * random.normal(size=SEEN + STEPS)
            parts.append(pd.DataFrame({"user": user, "recording": f"{user}-{take}", "y": y}))
    return pd.concat(parts, ignore_index=True)


def exported_twice() -> pd.DataFrame:
    """Return the same recordings, some of which came in a second time under another name."""
    frame = recordings()
    again = frame[frame["recording"].isin([f"{user}-0" for user in USERS[:4]])]
    again = again.assign(user="guest", recording=again["recording"].str.replace("-0", "-copy"))
    return pd.concat([frame, again], ignore_index=True)


def _go_on(frame: pd.DataFrame, learn: list[str], tested: str) -> Floats:
    """Go on from the first steps of a recording like the windows of others that look most like its last ones."""
    parts = [frame.loc[frame["recording"] == name, "y"].to_numpy() for name in learn]
    pairs = [windows(part, 12, STEPS) for part in parts]
    seen = frame.loc[frame["recording"] == tested, "y"].to_numpy()[:SEEN]
    return nearest_mean(np.concatenate([X for X, _ in pairs]), np.concatenate([Y for _, Y in pairs]), seen[-12:], 2)


def _names(frame: pd.DataFrame, others_than: str = "") -> list[str]:
    """Return all recordings, but for those of a user."""
    return list(frame.loc[frame["user"] != others_than, "recording"].unique())


def _user(frame: pd.DataFrame, tested: str) -> str:
    return str(frame.loc[frame["recording"] == tested, "user"].iloc[0])


def split_by_recording(frame: pd.DataFrame, tested: str) -> Floats:
    """All other recordings train, those of the same user among them."""
    return _go_on(frame, [name for name in _names(frame) if name != tested], tested)


def split_by_user(frame: pd.DataFrame, tested: str) -> Floats:
    """The recordings of all other users train."""
    return _go_on(frame, _names(frame, _user(frame, tested)), tested)


def copies_stay(frame: pd.DataFrame, tested: str) -> Floats:
    """Users are kept apart, but a recording that came in twice is on both sides."""
    return split_by_user(frame, tested)


def copies_left_out(frame: pd.DataFrame, tested: str) -> Floats:
    """What begins like a recording of the tested user is left out of training."""
    begins = {name: part["y"].to_numpy()[:SEEN].tobytes() for name, part in frame.groupby("recording")}
    user = _user(frame, tested)
    own = {begins[name] for name in frame.loc[frame["user"] == user, "recording"].unique()}
    return _go_on(frame, [name for name in _names(frame, user) if begins[name] not in own], tested)


ENTRIES = [
    OfUsers("a user on both sides", split_by_recording, split_by_user, recordings,
            [f"{user}-{take}" for user in USERS for take in range(3)], SEEN),
    OfUsers("a recording on both sides", copies_stay, copies_left_out, exported_twice,
            [f"{user}-0" for user in USERS[:4]], SEEN),
]  # fmt: skip

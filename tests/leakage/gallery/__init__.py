"""The gallery of leaks: classic mistakes, each beside the same pipeline done right.

A pipeline is a function of the data and a cutoff that returns the forecasts made there, an estimator on windows, or a
function of recordings and the one that is tested. It is written as its author might have: whole data in, and what is
honest or not happens inside. The audit sees nothing but what comes out.
"""

from __future__ import annotations

from tests.leakage.gallery import all_rows, choices, neighbours, notebooks, users
from tests.leakage.gallery.entry import Entry

GALLERY: list[Entry] = [*all_rows.ENTRIES, *neighbours.ENTRIES, *choices.ENTRIES, *users.ENTRIES, *notebooks.ENTRIES]

"""Numbers that the C and its callers share: sizes, and how a call ended. A test compares them with the headers."""

from __future__ import annotations

PADDING = 64
"""Zero bytes that follow the text in a buffer for the C."""

FAILED = -1
MOST_EXTRAS = 16  # keys of an entry that are not read

# How far a call of `entries` came, and why it ended
BEFORE, FIRST, BETWEEN, DONE = 0, 1, 2, 3
STOPPED, FULL = 0, 1

# Fields of an annotation, as bits of what was present
NUM_KEYPOINTS, PERSON = 8, 128

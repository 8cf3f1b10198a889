"""What the compiled scanners and their callers say to each other: sizes, and how a call ended."""

from __future__ import annotations

PADDING = 64
"""Zero bytes that follow the text in a scanner's buffer."""

FAILED = -1
MOST_EXTRAS = 16  # keys of an entry that nobody reads

# How far a call of `entries` came, and why it ended
BEFORE, FIRST, BETWEEN, DONE = 0, 1, 2, 3
STOPPED, FULL = 0, 1

# The fields of an annotation, as bits of what was present
ID, IMAGE, KEYPOINTS, NUM_KEYPOINTS, BOX, AREA, CROWD, PERSON = 1, 2, 4, 8, 16, 32, 64, 128

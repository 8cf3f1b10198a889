"""Names beside marks, placed where they touch nothing; a name without a place appears in the table only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.utils.safestring import SafeString

from leaderboard.drawing.svg import el

Box = tuple[float, float, float, float]

# where a name may be placed relative to its mark, best first
PLACES = (
    (10, 4, "start"), (-10, 4, "end"), (9, -8, "start"), (9, 17, "start"), (-9, -8, "end"), (-9, 17, "end"),
    (0, -14, "middle"), (0, 23, "middle"), (9, -22, "start"), (9, 30, "start"), (-9, -22, "end"), (-9, 30, "end"),
    (0, 36, "middle"),
)  # fmt: skip
LETTER = 6.6


class Labels:
    """Collects the marks to be named and what is in the way, then places the names, the best first."""

    def __init__(self, frame: Box) -> None:
        self.frame = frame
        self.wanted: list[tuple[float, float, str]] = []
        self.occupied: list[Box] = []

    def want(self, x: float, y: float, text: str) -> None:
        self.wanted.append((x, y, text))
        self.occupied.append((x - 7, y - 6, x + 7, y + 6))

    def avoid(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """A line is in the way."""
        self.occupied.append((min(x1, x2) - 2, min(y1, y2) - 2, max(x1, x2) + 2, max(y1, y2) + 2))

    def placed(self, *, budget: int) -> list[SafeString]:
        parts: list[SafeString] = []
        named: set[str] = set()
        for x, y, text in sorted(self.wanted, key=lambda item: item[1]):
            if len(parts) >= budget:
                break
            if text in named:
                continue
            for dx, dy, anchor in PLACES:
                box = _box(x + dx, y + dy, anchor, LETTER * len(text))
                if self._free(box):
                    self.occupied.append(box)
                    named.add(text)
                    at = {"x": round(x + dx, 1), "y": round(y + dy, 1), "text_anchor": anchor}
                    parts.append(el("text", text, class_="lab halo", **at))
                    break
        return parts

    def _free(self, box: Box) -> bool:
        left, top, right, bottom = self.frame
        if box[0] < left or box[1] < top or box[2] > right or box[3] > bottom:
            return False
        return not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in self.occupied)


def _box(x: float, y: float, anchor: str, width: float) -> Box:
    left = x - (width if anchor == "end" else width / 2 if anchor == "middle" else 0)
    return left, y - 10, left + width, y + 3


def names(rows: Sequence[Any]) -> list[str]:
    """A short name for each row: its authors where they tell the rows apart, as papers cite them; otherwise its own."""
    authors = [row.authors.removesuffix(" et al.") for row in rows]
    count = Counter(authors)
    return [
        author if author and len(author) <= 18 and count[author] == 1 else _brief(row.name)
        for author, row in zip(authors, rows, strict=True)
    ]


def _brief(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:18].rstrip()}…"

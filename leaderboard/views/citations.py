"""BibTeX of the papers of rows: authors joined by `and`, and no character that TeX or BibTeX would act on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from leaderboard.boards.rows import Row

# A brace counts for BibTeX even after a backslash, so braces are named; the rest is as in a LaTeX text.
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}", "&": r"\&", "%": r"\%",
    "$": r"\$", "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip

_ET_AL = re.compile(r"[\s,;&]*\b(?:et\.?\s+al\b\.?|and\s+others|&\s*others)\s*$", re.IGNORECASE)
_INITIALS = re.compile(r"^(?:[^\W\d_]{1,2}\.[\s-]*)+$")
_SUFFIX = re.compile(r"^(?:jr|sr|ii|iii|iv)\.?$", re.IGNORECASE)
# one of these words in a name: it has no first and last name
_CORPORATE = re.compile(
    r"\b(?:contributors?|teams?|groups?|labs?|laborator(?:y|ies)|inc|ltd|llc|corp(?:oration)?|research|projects?|"
    r"university|institutes?|consortium|organi[sz]ation|company|foundation|community)\b",
    re.IGNORECASE,
)


def bibtex(rows: Iterable[Row]) -> str:
    """One entry per paper; a row without a paper has none."""
    entries: dict[str, str] = {}
    keys: set[str] = set()
    for row in rows:
        title = " ".join((row.paper_title or (row.name if row.paper_url else "")).split())
        identity = title.casefold()
        if not title or identity in entries:
            continue
        names = authors(row.authors)
        fields = [
            ("title", "{" + safe(title) + "}"),
            ("author", " and ".join(map(_written, names))),
            ("year", str(row.year or "")),
            ("url", quote(row.paper_url, safe="!#$%&'()*+,-./:;=?@[]_~")),
        ]
        key = _key(names, row, title, keys)
        keys.add(key)
        inside = "".join(f"  {name} = {{{value}}},\n" for name, value in fields if value)
        entries[identity] = f"@misc{{{key},\n{inside}}}\n"
    return "\n".join(entries.values())


def safe(text: str) -> str:
    """A text in which no character is a command or a brace of BibTeX."""
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()) if letter.isprintable())


def authors(text: str) -> list[str]:
    """The names in a line of authors, each as written or as `Last, First`; `others` last for `et al.`

    `Ke Sun, Bin Xiao and Dong Liu`, `Sun, Ke; Xiao, Bin`, `Sun, Ke and Xiao, Bin` and `Sun, K., Xiao, B.` are all read.
    Braces keep a name together: `{Research and Development}`.
    """
    text = " ".join(text.split())
    known, count = _ET_AL.subn("", text)
    others = ["others"] if count and known else []
    if ";" in known:
        return [name for part in _split(known, r";") for name in _split(part, r"\band\b|&")] + others
    parts = _split(known, r"\band\b|&")
    commas = [_split(part, r",") for part in parts]
    if len(parts) > 1 and all(len(names) == 2 for names in commas):
        return [", ".join(names) for names in commas] + others
    return list(_paired([name for names in commas for name in names])) + others


def _paired(names: list[str]) -> Iterator[str]:
    """Initials and suffixes joined to the name before them: `Sun`, `K.` is one name."""
    held = ""
    for name in names:
        if held and "," not in held and (_INITIALS.match(name) or _SUFFIX.match(name)):
            held = f"{held}, {name}"
            continue
        if held:
            yield held
        held = name
    if held:
        yield held


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators outside braces; empty ones are left out."""
    depth, parts, start = 0, [], 0
    found = re.compile(rf"[{{}}]|{separator}", re.IGNORECASE)
    for match in found.finditer(text):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth = max(0, depth - 1)
        elif depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return [part for each in parts if (part := each.strip(" ,"))]


def _written(name: str) -> str:
    """A name as an author field holds it: in braces where it must not be split."""
    if name == "others":
        return name
    braced = name.startswith("{") and name.endswith("}")
    bare = re.sub(r"[{}]", "", name) if braced else name
    first = bare.partition(", ")[2]
    whole = braced or _CORPORATE.search(bare) or bare.casefold() == "others" or "," in first or _SUFFIX.match(first)
    return "{" + safe(bare) + "}" if whole else safe(bare)


def _key(names: list[str], row: Row, title: str, used: set[str]) -> str:
    """`sun2019deep`: the first author's surname, the year, the title's first long word; ASCII, and no other's."""
    first = names[0] if names and names[0] != "others" else row.name
    words = _ascii(first.partition(",")[0]).split()
    word = next((each for each in _ascii(title).split() if len(each) > 3), "pose")
    stem = f"{words[-1] if words else 'anon'}{row.year or ''}{word}"
    key, number = stem, 1
    while key in used:
        number += 1
        key = f"{stem}-{number}"
    return key


def _ascii(text: str) -> str:
    """Small letters without accents, everything else a space."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[^a-z]+", " ", "".join(letter for letter in plain if not unicodedata.combining(letter)))

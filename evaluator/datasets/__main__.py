"""Writes docs/datasets.md: `python -m evaluator.datasets > docs/datasets.md`."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.datasets.checks import REQUIRED, Field
from evaluator.datasets.fields import FIELDS, METRIC_FIELDS, SCORE_FIELDS

INTRODUCTION = """\
# Dataset definitions

A dataset is one file, `evaluator/datasets/NAME.toml`: its joints, how they are scored and what boards show. The file's
name is the dataset's. Start from a copy of `lsp.toml` or `coco.toml`. A definition is checked when it is loaded; each
mistake is one line with the file and the field:

    $ python -c "from evaluator import load_dataset; load_dataset('lsp')"
    evaluator.errors.DatasetDefinitionError: lsp.toml: parts.head: no joint 'nek'; did you mean 'neck'?

Annotations and predictions are COCO keypoint JSON ([formats](formats.md)). Official files of another form need a
converter, `evaluator/convert/NAME.py`. The metrics and their parameters: [metric cards](metrics/README.md).

This page is generated from the table that the loader checks definitions by, `evaluator/datasets/fields.py`:
`python -m evaluator.datasets > docs/datasets.md`.
"""


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join(
        [
            INTRODUCTION,
            "## Fields\n",
            *_rows(FIELDS),
            "\n## Fields of `[[metrics]]`\n",
            *_rows(METRIC_FIELDS),
            "\n## Fields of a score\n",
            *_rows(SCORE_FIELDS),
            "",
        ]
    )


def _rows(fields: Sequence[Field]) -> list[str]:
    return [
        "| field | value | if left out | meaning |",
        "|---|---|---|---|",
        *(f"| `{each.name}` | {each.kind.words} | {_default(each)} | {each.meaning} |" for each in fields),
    ]


def _default(field: Field) -> str:
    return "**required**" if field.default is REQUIRED else field.default_words


if __name__ == "__main__":
    print(page(), end="")

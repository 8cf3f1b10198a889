"""`poseboard compare`: the paired difference of two prediction files on the same annotations."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseboard.output import (
    NUMBER,
    Exit,
    Failure,
    emit_json,
    heading,
    in_unit,
    on_terminal,
    reports_failures,
    show_lines,
    show_table,
)
from poseboard.scoring import Json, Surface, existing

if TYPE_CHECKING:
    from evaluator.uncertainty import Difference

GZIP_MAGIC = b"\x1f\x8b"
File = Annotated[Path, typer.Argument(help="Prediction JSON: .json, .json.gz, or a zip with one such member.")]


@reports_failures
def compare(
    a: File,
    b: File,
    truth: Annotated[Path, typer.Option(metavar="FILE", help="The annotations that both files are scored on.")],
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The dataset, if the annotation file does not name it.")
    ] = None,
    surface: Surface = None,
    json_output: Json = False,
) -> None:
    """Compare two prediction files: A minus B by metric and part, with paired 95% intervals and p values."""
    from evaluator import load_dataset, measure, read_predictions, read_truth
    from evaluator.evaluation import on_surface
    from evaluator.reading.annotations import listed
    from evaluator.uncertainty import groups_of, image_weights, paired_differences

    definition = load_dataset(dataset or _dataset(existing(truth)))
    annotations = on_surface(read_truth(existing(truth), definition), None if surface is None else existing(surface))
    images = listed(annotations, definition)
    read = [read_predictions(existing(path), definition, images) for path in (a, b)]
    groups = groups_of(annotations)
    weights = image_weights(annotations, groups)
    differences = [
        difference
        for one, other in zip(*(measure(definition, entries, annotations) for entries in read), strict=True)
        for difference in paired_differences(one, other, weights, groups)
    ]
    if json_output:
        emit_json(
            {
                "dataset": definition.name,
                "protocol": definition.protocol,
                "truth_sha256": annotations.sha256,
                "a_sha256": read[0].sha256,
                "b_sha256": read[1].sha256,
                "images": len(annotations.image_ids),
                "groups": len(set(groups.tolist())),
                "resamples": len(weights),
                "differences": [asdict(difference) for difference in differences],
            }
        )
    elif on_terminal():
        title = f"{definition.name}: A {a.name}, B {b.name}, {len(annotations.image_ids)} images"
        _show(title, differences, {spec.name: spec.unit for spec in definition.metrics})
    else:
        show_lines([(d.metric, d.part, repr(d.a), repr(d.b), d.difference, d.low, d.high, d.p) for d in differences])


def _dataset(truth: Path) -> str:
    """What the annotation file says in its `info`."""
    content = truth.read_bytes()
    try:
        parsed = json.loads(gzip.decompress(content) if content[:2] == GZIP_MAGIC else content)
        return str(parsed["info"]["dataset"])
    except (ValueError, OSError, EOFError, RecursionError) as error:
        raise Failure(Exit.BAD_FILE, f"{truth}: is not JSON: {error}") from None
    except (KeyError, TypeError):
        raise Failure(Exit.BAD_FILE, f"{truth}: does not name its dataset: give --dataset") from None


def _show(title: str, differences: list[Difference], unit: Mapping[str, str]) -> None:
    units = set(unit.values())
    rows = []
    for d in differences:
        factor, decimals = 1 if unit[d.metric] else 100, 3 if unit[d.metric] == NUMBER else 2
        rows.append(
            [
                d.metric,
                d.part,
                in_unit(d.a, unit[d.metric], units),
                in_unit(d.b, unit[d.metric], units),
                f"{factor * d.difference:+.{decimals}f}",
                ""
                if d.low is None or d.high is None
                else f"{factor * d.low:+.{decimals}f} to {factor * d.high:+.{decimals}f}",
                "" if d.p is None else f"{d.p:.3f}",
            ]
        )
    columns = ["metric", "part", heading("A", units), heading("B", units), "A - B", "95% interval", "p"]
    show_table(title, columns, rows, right=5)
    if any(d.p is None for d in differences):
        typer.echo(
            "No interval and no p value with fewer than 200 images or groups, or fewer than 10 hits or misses.",
            err=True,
        )

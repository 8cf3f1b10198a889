"""`poseboard compare`: the paired difference of two prediction files on the same annotations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseboard.output import (
    NUMBER,
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
    from evaluator.evaluation import on_surface, read_named
    from evaluator.reading.annotations import listed
    from evaluator.uncertainty import groups_of, image_weights, paired_differences

    truth = existing(truth)
    annotations = read_truth(truth, load_dataset(dataset)) if dataset else read_named(truth)
    definition = load_dataset(dataset or annotations.dataset)
    annotations = on_surface(annotations, None if surface is None else existing(surface))
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

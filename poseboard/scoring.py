"""`poseboard evaluate` and `poseboard validate`: the server's own code on files of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poseboard.output import (
    Exit,
    Failure,
    emit_json,
    heading,
    in_unit,
    interval,
    note,
    on_terminal,
    reports_failures,
    show_lines,
    show_table,
)

if TYPE_CHECKING:
    from evaluator import Report

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="coco, coco_wholebody, crowdpose, ochuman, mpii, mpii_multi, posetrack, lsp, flic or mannequins.",
    ),
]
Predictions = Annotated[
    Path, typer.Argument(metavar="PREDICTIONS", help="Prediction JSON: .json, .json.gz, or a zip with one such member.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Images = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A benchmark's public image list, to check ids against.")
]


@reports_failures
def evaluate(
    dataset: Dataset,
    predictions: Predictions,
    truth: Annotated[
        Path, typer.Option(metavar="FILE", help="The annotations, as `poseboard convert truth` writes them.")
    ],
    intervals: Annotated[bool, typer.Option("--intervals", help="Add bootstrap intervals (95 %).")] = False,
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="OUT.html", help="Write a page: scores, errors by joint, curves. Adds intervals."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Score predictions against annotations: the numbers that the server would give."""
    import evaluator

    if report_file is not None:
        report = _with_page(dataset, existing(predictions), existing(truth), report_file)
    else:
        report = evaluator.evaluate(dataset, existing(predictions), existing(truth), intervals=intervals)
    if json_output:
        emit_json(report.to_dict())
    elif on_terminal():
        _show(report)
    else:
        show_lines([(s.metric, s.part, repr(s.value), s.low, s.high) for s in report.scores])


def _with_page(dataset: str, predictions: Path, truth: Path, out: Path) -> Report:
    """The scores with intervals, and the page of the evaluation written to `out`."""
    import evaluator
    from evaluator.ground_truth import listed
    from evaluator.report_page import report_page

    definition = evaluator.load_dataset(dataset)
    annotations = evaluator.read_truth(truth, definition)
    entries = evaluator.read_predictions(predictions, definition, listed(annotations, definition))
    report = evaluator.evaluate(definition, entries, annotations, intervals=True)
    page = report_page(definition, report, evaluator.diagnose(definition, entries, annotations))
    out.write_text(page, encoding="utf-8")
    note(f"{out}: the report")
    return report


@reports_failures
def validate(
    dataset: Dataset,
    predictions: Predictions,
    images: Images = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Annotations, to check ids against when there is no image list.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Check a prediction file by the server's rules, without scoring it."""
    import evaluator
    from evaluator.image_list import read_images

    if images is not None and truth is not None:
        raise Failure(Exit.BAD_FILE, "give --images or --truth, not both")
    public: Any = None
    if truth is not None:
        public = read_images(evaluator.public_images(existing(truth), boxes=False, dataset=dataset))
    elif images is not None:
        public = read_images(existing(images))
    checked = evaluator.validate(dataset, existing(predictions), images=public)
    if json_output:
        emit_json({"valid": True, **asdict(checked)})
        return
    covered = str(checked.images_covered) + ("" if checked.images_total is None else f" of {checked.images_total}")
    lines = [
        ("entries", str(checked.entries)),
        ("images covered", covered),
        ("most detections in an image", str(checked.most_detections)),
        ("mean detections in an image", f"{checked.mean_detections:.2f}"),
    ]
    if on_terminal():
        show_table(f"{predictions.name} is a valid {dataset} file", ["", ""], lines, right=1)
    else:
        show_lines([("valid", predictions.name), *lines])


def existing(path: Path) -> Path:
    """The path, if it is a file."""
    if not path.exists():
        raise Failure(Exit.BAD_FILE, f"{path}: no such file")
    if not path.is_file():
        raise Failure(Exit.BAD_FILE, f"{path}: is not a file")
    return path


def _show(report: Report) -> None:
    """All scores as a table, in percent or in their unit."""
    from evaluator import load_dataset

    title = f"{report.dataset}: {report.people} people in {report.images} images, {report.entries} predictions"
    with_intervals = any(score.low is not None for score in report.scores)
    unit = {spec.name: spec.unit for spec in load_dataset(report.dataset).metrics}
    units = set(unit.values())
    columns = ["metric", "part", heading("score", units), *(["95 % interval"] if with_intervals else [])]
    rows = [
        [
            s.metric,
            s.part,
            in_unit(s.value, unit[s.metric], units),
            *([interval(s.low, s.high, unit[s.metric])] if with_intervals else []),
        ]
        for s in report.scores
    ]
    show_table(title, columns, rows, right=len(columns) - 2)

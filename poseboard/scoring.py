"""`poseboard evaluate` and `poseboard validate`: the server's own code on files of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import evaluator
from poseboard.output import (
    Exit,
    Failure,
    emit_json,
    heading,
    in_unit,
    interval,
    note,
    number,
    on_terminal,
    reports_failures,
    show_lines,
    show_table,
)

if TYPE_CHECKING:
    from evaluator import Dataset as Definition
    from evaluator import Diagnosis, Report


def _datasets() -> str:
    """All datasets, from the folder that is their registry; `evaluator.dataset_names` would import numpy for --help."""
    *others, last = sorted(path.stem for path in (Path(evaluator.__file__).parent / "datasets").glob("*.toml"))
    return f"{', '.join(others)} or {last}"


Dataset = Annotated[str, typer.Argument(metavar="DATASET", help=f"{_datasets()}.")]
Predictions = Annotated[
    Path, typer.Argument(metavar="PREDICTIONS", help="Prediction JSON: .json, .json.gz, or a zip with one such member.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Surface = Annotated[
    Path | None, typer.Option(metavar="FILE.npz", help="DensePose: the geodesic tables of the body's surface.")
]
Images = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A benchmark's public image list, to check ids against.")
]


@reports_failures
def evaluate(
    dataset: Dataset,
    predictions: Predictions,
    truth: Annotated[
        Path, typer.Option(metavar="FILE", help="The annotations, as written by `poseboard convert truth`.")
    ],
    intervals: Annotated[bool, typer.Option("--intervals", help="Add bootstrap intervals (95%).")] = False,
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="OUT.html",
            help="Write a report: scores, errors by joint, curves. Adds intervals.",
        ),
    ] = None,
    diagnosis: Annotated[
        bool, typer.Option("--diagnosis", help="Add the errors by part and the scores by size, occlusion, crowding.")
    ] = False,
    surface: Surface = None,
    json_output: Json = False,
) -> None:
    """Score predictions against annotations: the numbers that the server would give."""
    table = None if surface is None else existing(surface)
    if report_file is None and not diagnosis:
        report = evaluator.evaluate(dataset, existing(predictions), existing(truth), intervals=intervals, surface=table)
        why = None
    else:
        definition, report, why = _diagnosed(
            dataset, existing(predictions), existing(truth), intervals or report_file is not None, table
        )
        if diagnosis and why is None:
            raise Failure(Exit.BAD_FILE, f"--diagnosis: {dataset} has none; it exists for 2D keypoints only")
    if report_file is not None:
        from evaluator.diagnosis.page import report_page

        report_file.write_text(report_page(definition, report, why), encoding="utf-8")
        note(f"{report_file}: the report")
    if not diagnosis:
        why = None
    if json_output:
        emit_json(report.to_dict() | ({"diagnosis": why.to_dict()} if why else {}))
    elif on_terminal():
        _show(report)
        if why:
            _show_diagnosis(why)
    else:
        show_lines([(s.metric, s.part, repr(s.value), s.low, s.high) for s in report.scores])
        if why:
            show_lines([("errors", e.name, e.counted, *e.shares) for e in (*why.parts, why.total)])
            show_lines([(s.by, s.name, s.people, s.metric, repr(s.score)) for s in why.slices])


def _diagnosed(
    dataset: str, predictions: Path, truth: Path, intervals: bool, surface: Path | None
) -> tuple[Definition, Report, Diagnosis | None]:
    """The scores, and the diagnosis where there is one, from files that are read once."""
    from evaluator.diagnosis.joints import diagnosable
    from evaluator.evaluation import on_surface
    from evaluator.reading.annotations import listed

    definition = evaluator.load_dataset(dataset)
    annotations = on_surface(evaluator.read_truth(truth, definition), surface)
    entries = evaluator.read_predictions(predictions, definition, listed(annotations, definition))
    report = evaluator.evaluate(definition, entries, annotations, intervals=intervals)
    why = evaluator.diagnose(definition, entries, annotations) if diagnosable(definition) else None
    return definition, report, why


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
    from evaluator.reading.image_list import read_images

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
    columns = ["metric", "part", heading("score", units), *(["95% interval"] if with_intervals else [])]
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


def _show_diagnosis(why: Diagnosis) -> None:
    """Two tables, in percent: the errors of each part, and the scores of each slice of the people."""
    parts = [[e.name, str(e.counted), *map(number, e.shares)] for e in (*why.parts, why.total)]
    show_table("Errors", ["part", "joints", "good", "jitter", "inversion", "swap", "miss"], parts, right=6)
    slices = [[s.by, s.name, str(s.people), s.metric, number(s.score)] for s in why.slices]
    show_table("People", ["by", "slice", "people", "metric", "score %"], slices, right=1)

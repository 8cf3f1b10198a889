"""python -m baselines list | train | fit-grouping | train-detector | fetch | predict | check-checkpoint"""

import argparse
import json
import shlex
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from baselines import registry
from baselines.protocol import BaselineFailed

RECIPE_OPTIONS: dict[str, tuple[type, str]] = {  # fields of baselines.train.recipes.Recipe, which imports torch
    "epochs": (int, "passes over the training people"),
    "batch": (int, "people per step"),
    "optimiser": (str, "adam, adamw, rmsprop or sgd"),
    "learning_rate": (float, "learning rate; with one_cycle its peak"),
    "weight_decay": (float, "weight decay of the optimiser"),
    "momentum": (float, "momentum of sgd"),
    "schedule": (str, "steps, lowered by --drops, or one_cycle"),
    "clip": (float, "largest norm of the gradient; 0 for no limit"),
    "loss": (str, "loss of the heatmaps: mse or cross_entropy"),
    "sigma": (float, "sigma of the Gaussians, in pixels of the heatmaps"),
    "padding": (float, "size of a crop, as a multiple of the person's box"),
    "rotation": (float, "largest rotation, in degrees, in either direction"),
    "scale": (float, "largest change of size in either direction, as a share of the size"),
    "shift": (float, "largest shift in either direction, as a share of the crop"),
    "colour": (float, "largest change of brightness in either direction, as a share of the brightness"),
    "half_body": (float, "probability of showing the upper or the lower body alone"),
    "atomic_poses": (int, "number of atomic poses for RMPE's proposals; 0 for the annotated boxes"),
    "validation": (float, "share of the training images held out to choose the epoch"),
    "seed": (int, "seed of weights, order and augmentation"),
}
OUT = "folder for the weights and their description (default: checkpoints)"
DEVICE = "cpu, cuda or cuda:N (default: a GPU where there is one)"


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, or 2 with a message on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    chosen = make_parser().parse_args(given)
    try:
        status: int = chosen.run(chosen, given)
    except (BaselineFailed, OSError) as failure:
        print(f"baselines: {failure}", file=sys.stderr)
        return 2
    return status


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m baselines", description="Reference pose estimators.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="the baselines, their variants and what they cost")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(run=_list)

    training = commands.add_parser("train", help="train a variant from scratch; run again to resume")
    training.add_argument("name", help="name of the model; see list")
    _add_data_options(training)
    training.add_argument("--variant", help="default: narrow, where the model has it")
    training.add_argument(
        "--boxes", type=Path, help="detections on the training images in COCO format, for RMPE's proposals"
    )
    training.add_argument("--out", type=Path, default=Path("checkpoints"), help=OUT)
    training.add_argument("--input-size", type=_size, metavar="WIDTHxHEIGHT", help="default: the variant's own")
    training.add_argument("--device", help=DEVICE)
    training.add_argument(
        "--precision", help="float32, bf16 or fp16; default: half precision on a GPU, otherwise float32"
    )
    training.add_argument("--drops", type=int, nargs="*", help="epochs after which the rate is divided by 10")
    for name, (kind, meaning) in RECIPE_OPTIONS.items():
        training.add_argument(f"--{name.replace('_', '-')}", type=kind, help=meaning)
    training.set_defaults(run=_train)

    fitting = commands.add_parser(
        "fit-grouping", help="fit the grouping of joints into people to training images, and store it with a checkpoint"
    )
    fitting.add_argument("checkpoint", type=Path, help="JSON of the checkpoint; it is rewritten")
    _add_data_options(fitting)
    fitting.add_argument(
        "--people", type=int, default=600, help="largest number of people to learn from (default: 600)"
    )
    fitting.add_argument("--device", help=DEVICE)
    fitting.set_defaults(run=_fit_grouping)

    detecting = commands.add_parser("train-detector", help="train the person detector on Mannequins")
    detecting.add_argument("--out", type=Path, default=Path("checkpoints"), help=OUT)
    detecting.add_argument("--images", type=int, help="number of Mannequins images to render (default: 2000)")
    detecting.add_argument("--epochs", type=int, help="passes over the images (default: 12)")
    detecting.add_argument("--batch", type=int, help="images per step (default: 16)")
    detecting.add_argument("--seed", type=int, help="seed of weights, order and augmentation (default: 0)")
    detecting.set_defaults(run=_train_detector)

    fetching = commands.add_parser("fetch", help="download published weights from a package registry")
    published = [name for name, card in registry.cards().items() if card.files]
    fetching.add_argument("name", choices=published, help="name of the model")
    fetching.add_argument("--variant", help="default: the model's default variant")
    fetching.add_argument("--to", type=Path, help="folder (default: $POSEBOARD_CHECKPOINTS or ~/.cache/poseboard)")
    fetching.set_defaults(run=_fetch)

    predicting = commands.add_parser("predict", help="write a predictions file")
    predicting.add_argument("name", help="name of the baseline; see list")
    predicting.add_argument("--dataset", required=True, help="name of the dataset definition, such as coco")
    predicting.add_argument("--images", type=Path, required=True, help="the benchmark's public image list, JSON")
    predicting.add_argument("--folder", type=Path, required=True, help="folder with the images")
    predicting.add_argument("-o", "--out", type=Path, required=True, help="predictions file to write, JSON")
    predicting.add_argument("--variant", help="default: the model's default variant")
    predicting.add_argument(
        "--checkpoint",
        type=Path,
        help="JSON of a checkpoint (for BlazePose the file of weights) to use instead of the included one",
    )
    predicting.add_argument(
        "--checkpoints",
        type=Path,
        help="folder of fetched weights (default: $POSEBOARD_CHECKPOINTS or ~/.cache/poseboard)",
    )
    predicting.add_argument("--device", help=DEVICE)
    predicting.add_argument(
        "--boxes", type=Path, help="detections of people in COCO format, instead of the person detector's"
    )
    predicting.add_argument(
        "--grouping", action=argparse.BooleanOptionalAction,
        help="assemble the person of a crop by grouping, or joint by joint (default: the checkpoint's)",
    )  # fmt: skip
    predicting.add_argument("--keep", type=Path, help="folder for saved predictions; the same command resumes from it")
    predicting.set_defaults(run=_predict)

    checking = commands.add_parser(
        "check-checkpoint", help="compare the network of a public checkpoint with the original's outputs"
    )
    checking.add_argument("keys", type=Path, help="JSON: names and shapes of the weights, seeds, input shapes")
    checking.add_argument("outputs", type=Path, help="npz: outputs of the original network")
    checking.set_defaults(run=_check_checkpoint)
    return parser


def _add_data_options(command: argparse.ArgumentParser) -> None:
    """The options that say where the training images come from."""
    command.add_argument("--dataset", default="mannequins", help="name of the dataset definition (default: mannequins)")
    command.add_argument("--data", type=Path, help="folder with annotations.json and images/")
    command.add_argument(
        "--annotations", type=Path, help="annotation JSON, COCO's own or converted, or LSP's joints.mat"
    )
    command.add_argument("--folder", type=Path, help="folder with the images of --annotations")
    command.add_argument(
        "--images", type=int, default=3000, help="number of Mannequins images to render without data (default: 3000)"
    )
    command.add_argument(
        "--data-seed", type=int, default=1, help="seed of the Mannequins images rendered without data (default: 1)"
    )


def _list(chosen: argparse.Namespace, _: list[str]) -> int:
    from baselines.run.counting import listed

    rows = listed()
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
    from baselines.run import claims
    from baselines.train.data import TrainingFiles
    from baselines.train.loop import train
    from baselines.train.task import new_task

    recipe = {name: value for name in (*RECIPE_OPTIONS, "drops") if (value := getattr(chosen, name)) is not None}
    if "drops" in recipe:
        recipe["drops"] = tuple(recipe["drops"])
    with tempfile.TemporaryDirectory() as scratch:
        files = TrainingFiles.named(chosen.dataset, chosen.data, chosen.annotations, chosen.folder, Path(scratch))
        task = new_task(
            chosen.name, chosen.dataset, files.annotations, files.folder, chosen.out, variant=chosen.variant,
            recipe=recipe, size=chosen.input_size, device=chosen.device, precision=chosen.precision,
            boxes=chosen.boxes, command=_command(given),
        )  # fmt: skip
        files.render_if_missing(chosen.images, chosen.data_seed)
        checkpoint = train(task)
    if chosen.dataset == "mannequins":
        claim = claims.with_claim(checkpoint, task.stem.with_suffix(".json")).claim
        where = f"Mannequins {claim['split']}, seed {claim['seed']}, {claim['images']} images"
        print(f"AP on {where}: {claim['value']:.4f}")
    return 0


def _fit_grouping(chosen: argparse.Namespace, given: list[str]) -> int:
    from baselines.run import claims
    from baselines.train.data import TrainingFiles
    from baselines.train.fit_grouping import fit_checkpoint

    with tempfile.TemporaryDirectory() as scratch:
        files = TrainingFiles.named(chosen.dataset, chosen.data, chosen.annotations, chosen.folder, Path(scratch))
        files.render_if_missing(chosen.images, chosen.data_seed)
        made = fit_checkpoint(
            chosen.checkpoint, chosen.dataset, files.annotations, files.folder, people=chosen.people,
            device=chosen.device, command=_command(given),
        )  # fmt: skip
    if made.claim:
        made = claims.with_grouping_claim(made, chosen.checkpoint)
    print(json.dumps({"grouped": made.grouped, **made.training["grouping"]}))
    return 0


def _train_detector(chosen: argparse.Namespace, given: list[str]) -> int:
    from dataclasses import fields

    from baselines.train.detector import Plan, train

    values = {f.name: getattr(chosen, f.name, None) for f in fields(Plan)}
    plan = Plan(**{name: value for name, value in values.items() if value is not None})
    train(chosen.out, plan, _command(given))
    return 0


def _command(given: list[str]) -> str:
    """The command line as a description of weights names it."""
    return "OMP_NUM_THREADS=1 " + shlex.join(["python", "-m", "baselines", *given])


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
        saved=SavedRun.after_all(chosen.keep) if chosen.keep else None,
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

"""Every trainable architecture on real people: trained on LSP's training images, scored on its test images.

    python -m benchmarks.lsp_table LSP-joints-PC.mat IMAGES [--docs] [--only NAME ...] [--out FOLDER]

Each row is a training in its own process on one CPU thread, by the command that is printed, with the narrow variant and
the input size and epochs of PLANS; `longer` is one network with more epochs. Finished trainings are stored in FOLDER
and not repeated. PCK@0.2 (person-centric) is that of the epoch chosen on the validation part of the training images;
test images are read once, at the end. --docs writes the table into docs/baselines.md.
"""

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from baselines import registry
from baselines.weights.checkpoints import Checkpoint

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "baselines.md"
BEGIN, END = "<!-- benchmarks.lsp_table -->", "<!-- /benchmarks.lsp_table -->"
# the input and the passes over the 1,000 training images, for a row to take about three minutes on one core
PLANS = {
    "jain2014": ("64x64", 15),
    "cpm": ("96x96", 36),
    "deepercut": ("96x96", 60),
    "stacked_hourglass": ("96x96", 38),
    "multi_context_attention": ("64x64", 32),
    "pyranet": ("96x96", 30),
    "rmpe": ("96x96", 28),
    "simple_baseline": ("96x96", 90),
    "hrnet": ("96x96", 55),
    "longer": ("96x96", 110),
}
LONGER = "stacked_hourglass"
AUGMENTATION = ["--rotation", "40", "--scale", "0.3", "--shift", "0.03", "--colour", "0.3"]


@dataclass(frozen=True)
class TrainedNetwork:
    """A row of the table: PCK@0.2 on the test images, and the cost of the training."""

    name: str
    title: str
    parameters: int
    size: str  # of the input, width x height
    epochs: int
    cpu_seconds: float
    pck: float
    command: str


def main() -> int:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("annotations", type=Path, help="LSP's joints.mat, person-centric")
    parser.add_argument("images", type=Path, help="folder of its 2,000 images")
    parser.add_argument("--out", type=Path, default=Path("lsp"), help="folder for the checkpoints")
    parser.add_argument("--only", nargs="*", help=f"rows to make, of {', '.join(PLANS)}")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/baselines.md")
    chosen = parser.parse_args()
    rows = []
    for name in chosen.only or PLANS:
        longer = name == "longer"
        size, epochs = PLANS[name]
        row = measured(
            LONGER if longer else name, epochs, chosen.annotations, chosen.images, chosen.out / name,
            size=size, suffix=", longer" if longer else "",
        )  # fmt: skip
        rows.append(row)
        print(json.dumps(asdict(row)), flush=True)
    text = table(rows)
    print(text)
    if chosen.docs:
        page = PAGE.read_text()
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    return 0


def measured(
    name: str, epochs: int, annotations: Path, images: Path, out: Path, *, size: str, suffix: str
) -> TrainedNetwork:
    """A row; the network is trained unless it has been."""
    finished = out / "row.json"
    if finished.exists():
        return TrainedNetwork(**json.loads(finished.read_text()))
    given = ["train", name, "--dataset", "lsp", "--variant", "narrow", "--input-size", size, "--epochs", str(epochs)]
    shown = [*given, *AUGMENTATION, "--device", "cpu", "--precision", "bf16"]
    places = ["--annotations", str(annotations), "--folder", str(images), "--out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "baselines", *shown, *places], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    path = out / f"{name}-narrow.json"
    row = TrainedNetwork(
        name, registry.card(name).title + suffix, _parameters(path), size, epochs, round(seconds, 1),
        round(scored(name, path, annotations, images), 4), shlex.join(["python", "-m", "baselines", *shown]),
    )  # fmt: skip
    finished.write_text(json.dumps(asdict(row)))
    return row


def scored(name: str, checkpoint: Path, annotations: Path, images: Path) -> float:
    """PCK@0.2 on the 1,000 test images."""
    from baselines.run.predict import predict
    from evaluator import evaluate, public_images
    from evaluator.convert import convert_truth

    truth = convert_truth("lsp", annotations, split="test")
    listed = public_images(truth, boxes=False)
    results, _ = predict(name, listed, images, "lsp", checkpoint=checkpoint, device="cpu")
    scores = evaluate("lsp", results, truth).scores
    return next(score.value for score in scores if (score.metric, score.part) == ("pck@0.2", "all"))


def _parameters(path: Path) -> int:
    from baselines.devices import costs

    found = Checkpoint.read(path)
    return costs.parameters(registry.module(found.baseline).build(len(found.joints), **found.network))


def table(rows: list[TrainedNetwork]) -> str:
    """The rows as Markdown."""
    lines = [
        "| network, narrow | parameters | input | epochs | CPU seconds | PCK@0.2, % |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        network = f"{row.title} | {row.parameters:,} | {row.size.replace('x', ' x ')}"
        lines += [f"| {network} | {row.epochs} | {row.cpu_seconds:.0f} | {100 * row.pck:.1f} |"]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())

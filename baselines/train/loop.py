"""Training: the loop, its log, the choice of the epoch, and resuming after a kill.

Everything that a step depends on is either a function of the recipe's seed and the numbers of the epoch and the step,
or in the state file, which is replaced as a whole. So a training that was killed and started again ends with the same
weights, to the bit, as one that ran through (same versions, same processor, one CPU thread).
"""

from __future__ import annotations

import csv
import fcntl
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines import registry
from baselines.decode import heatmaps
from baselines.protocol import BaselineFailed
from baselines.run import crops
from baselines.train import data as annotated
from baselines.train import proposals
from baselines.train.data import TrainingPeople
from baselines.train.objectives import Objective
from baselines.train.progress import Progress
from baselines.train.recipes import Recipe, training_of
from baselines.train.task import Task
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint

NEAR = 0.05  # of the crop's diagonal: a joint this near counts as found when epochs are compared


@dataclass
class TrainingState:
    """How far a training is: what the next step needs besides the recipe. The state file contains it unchanged."""

    epoch: int = 0
    step: int = 0  # of the epoch
    loss: float = 0.0  # summed over the people of the epoch so far
    log: list[dict[str, float]] = field(default_factory=list)
    best: float = -1.0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    cpu_seconds: float = 0.0


def train(task: Task) -> Checkpoint:
    """Train, and write the weights of the best epoch, their description and a log; resumes from the state file that a
    killed training of the same task has left. Raises BaselineFailed."""
    task.out.mkdir(parents=True, exist_ok=True)
    lock = task.stem.with_suffix(".lock")
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process dies
        except OSError as error:
            message = f"another process is training {task.stem.name} in this folder: wait for it, or give another --out"
            raise BaselineFailed("busy", message) from error
        with _denormals_flushed():
            training = _Training(task)
            training.run()
            checkpoint = training.write()
        lock.unlink()
    return checkpoint


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Flush denormal numbers to zero, as they are slow on a CPU. The switch is the processor's and is reset, because
    other code in this process may need them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class _Training:
    """A network, its optimiser and its people."""

    def __init__(self, task: Task) -> None:
        recipe, definition = task.recipe, task.dataset
        self.task, self.state = task, TrainingState()
        self.started = time.process_time()
        torch.manual_seed(recipe.seed)
        self.network: nn.Module = registry.module(task.baseline).build(len(definition.joints), **task.network)
        self.network.to(device=task.device, memory_format=torch.channels_last)
        everyone = annotated.read_people(definition, task.annotations, task.folder, padding=recipe.padding)
        self.people, self.held_out = annotated.split(everyone, recipe.validation, recipe.seed)
        if recipe.atomic_poses and not definition.single_person:  # whose region is the whole image
            made = proposals.learn(
                self.people, definition, task.boxes, task.device, atomic=recipe.atomic_poses, seed=recipe.seed
            )
            self.people = replace(self.people, proposals=made)
        self.mirrored = heatmaps.flip_order(definition.joints, definition.flip_pairs)
        self.objective: Objective = training_of(task.baseline).objective(recipe, task.size)
        self.objective.prepared(self.network, _in_crops(self.people, task.size), self.people.weights.astype(np.float32))
        self.optimiser = optimiser_of(recipe, self.network, training_of(task.baseline).slower)
        self.scaler = torch.amp.GradScaler(task.device.split(":")[0], enabled=task.precision == "fp16")
        self.threads = 0 if task.device == "cpu" else min(8, os.cpu_count() or 1)
        self.steps = math.ceil(len(self.people) / recipe.batch)  # of an epoch
        self.identity = task.identity(len(self.people))
        self.state_file = task.stem.with_suffix(".state")
        if self.state_file.exists():
            self.resume()

    def run(self) -> None:
        """All remaining epochs."""
        epochs = self.task.recipe.epochs
        while self.state.epoch < epochs:
            with Progress(f"epoch {self.state.epoch + 1}/{epochs}", self.steps, done=self.state.step) as progress:
                self.one_epoch(progress)
                self.end_epoch(progress)

    def one_epoch(self, progress: Progress) -> None:
        """The remaining steps of the epoch."""
        task, recipe, state = self.task, self.task.recipe, self.state
        rows = annotated.order(len(self.people), recipe.seed, state.epoch)[state.step * recipe.batch :]
        self.network.train()
        saved = time.monotonic()
        for batch in annotated.batches(
            self.people, rows, size=task.size, batch=recipe.batch, mirrored=self.mirrored,
            augmentation=recipe.augmentation, seed=recipe.seed, epoch=state.epoch, everyone=self.objective.everyone,
            threads=self.threads,
        ):  # fmt: skip
            done = (state.epoch * self.steps + state.step) / (recipe.epochs * self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = recipe.rate(done, state.epoch) * group["share"]
            images = _images(batch.images, task.device)
            with _autocast(task):
                loss = self.objective(self.network, images, batch.joints, batch.weights)
            self.optimiser.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            if recipe.clip:
                self.scaler.unscale_(self.optimiser)
                nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            value = float(loss.detach())
            if not math.isfinite(value):
                message = f"the loss is {value} in epoch {state.epoch + 1}: a lower --learning-rate may help"
                raise BaselineFailed("diverged", message)
            state.loss += value * len(images)
            state.step += 1
            progress.step(state.step, loss=state.loss / (state.step * recipe.batch))
            if time.monotonic() - saved >= task.save_seconds:
                self.save()
                saved = time.monotonic()

    def end_epoch(self, progress: Progress) -> None:
        """Validate, store the weights if they are the best, log, and save."""
        state = self.state
        row = {"epoch": state.epoch + 1, "loss": round(state.loss / len(self.people), 5)}
        found = self.validate() if len(self.held_out) else float(state.epoch)  # the last, without validation
        if len(self.held_out):
            row["validation"] = round(found, 4)
        if found >= state.best:
            state.best = found
            weights = self.network.state_dict()
            state.best_weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
        row["cpu_seconds"] = round(self.cpu_seconds(), 1)
        state.log.append(row)
        state.epoch, state.step, state.loss = state.epoch + 1, 0, 0.0
        self.save()
        with self.task.stem.with_suffix(".csv").open("w", newline="") as file:
            rows = csv.DictWriter(file, list(row))
            rows.writeheader()
            rows.writerows(state.log)
        progress.finish(", ".join(f"{name} {value}" for name, value in row.items() if name != "epoch"))

    def validate(self) -> float:
        """The share of the held-out people's joints that are found within NEAR of the crop's diagonal. Where everyone
        in a crop is learned, each joint counts once per crop, and is found if it is at anyone's."""
        task = self.task
        self.network.eval()
        rows = np.arange(len(self.held_out))
        near = there = 0.0
        for batch in annotated.batches(
            self.held_out, rows, size=task.size, batch=32, mirrored=self.mirrored, augmentation=None,
            seed=0, epoch=0, everyone=self.objective.everyone, threads=self.threads,
        ):  # fmt: skip
            with torch.inference_mode(), _autocast(task):
                maps = self.network(_images(batch.images, task.device))[:, -1].float().cpu().numpy()
            stride = np.array([task.size[0] / maps.shape[3], task.size[1] / maps.shape[2]])
            found = (heatmaps.decode(maps)[0] + 0.5) * stride  # [B, K, 2]
            joints = batch.joints.reshape(len(found), -1, *found.shape[1:])  # [B, P, K, 2]
            weights = batch.weights.reshape(joints.shape[:3])  # [B, P, K]
            off = np.linalg.norm(joints - found[:, None], axis=3)
            near += float(((off <= NEAR * math.hypot(*task.size)) * weights).max(axis=1).sum())
            there += float(weights.max(axis=1).sum())
        return near / max(there, 1.0)

    def cpu_seconds(self) -> float:
        """CPU seconds of this process and of the killed ones before it."""
        return self.state.cpu_seconds + time.process_time() - self.started

    def save(self) -> None:
        """Replace the state file."""
        content = {
            "identity": self.identity,
            "state": {**vars(self.state), "cpu_seconds": self.cpu_seconds()},
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        scratch = self.state_file.with_suffix(".state.new")
        with scratch.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.state_file)

    def resume(self) -> None:
        """Resume from the state file. Raises BaselineFailed for one that is unreadable or another training's."""
        name = self.state_file.name
        try:
            found = torch.load(self.state_file, map_location="cpu", weights_only=True)
            identity = found["identity"]
        except Exception as error:  # torch and pickle promise no common kind of error
            raise BaselineFailed("state", f"{name} cannot be read, delete it to start again ({error})") from error
        if identity != self.identity:
            message = f"{name} belongs to another training: delete it to start again, or give another --out"
            raise BaselineFailed("other_training", message)
        self.state = TrainingState(**found["state"])
        self.network.load_state_dict(found["network"])
        self.optimiser.load_state_dict(found["optimiser"])
        self.scaler.load_state_dict(found["scaler"])
        torch.set_rng_state(found["random"])
        if found["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(found["random_cuda"])
        print(f"resuming from epoch {self.state.epoch + 1}, step {self.state.step}", flush=True)

    def write(self) -> Checkpoint:
        """The weights of the best epoch and their description; the state file is removed."""
        task, recipe, state = self.task, self.task.recipe, self.state
        self.network.load_state_dict(state.best_weights)
        file = task.stem.with_suffix(".safetensors")
        checkpoint = Checkpoint(
            baseline=task.baseline,
            variant=task.variant,
            file=file.name,
            sha256=checkpoints.write_weights(self.network, file),
            joints=tuple(task.dataset.joints),
            flip_pairs=tuple((a, b) for a, b in task.dataset.flip_pairs),
            network=task.network,
            input_size=task.size,
            padding=self.people.padding,
            mean=annotated.MEAN,
            std=annotated.STD,
            output=self.objective.output,
            decoding=self.objective.decoding,
            licence="Apache-2.0",
            source="trained from scratch by the command below",
            training={
                "command": task.command,
                "dataset": task.dataset.name,
                "annotations_sha256": checkpoints.sha256_of(task.annotations),
                "people": len(self.people),
                "validation_people": len(self.held_out),
                "recipe": asdict(recipe),
                "log": state.log,
                "cpu_seconds": round(self.cpu_seconds()),
                "device": task.device,
                "precision": task.precision,
                "machine": platform.machine(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        )
        checkpoint.write(task.stem.with_suffix(".json"))
        self.state_file.unlink(missing_ok=True)
        return checkpoint


def _images(images: NDArray[np.float32], device: str) -> Tensor:
    """Normalised images [B, 3, H, W] on the device, channels last."""
    return torch.from_numpy(images).to(device, memory_format=torch.channels_last)


def _autocast(task: Task) -> AbstractContextManager[Any]:
    """Half precision where the task asks for it, otherwise nothing."""
    if task.precision == "float32":
        return nullcontext()
    kind = torch.bfloat16 if task.precision == "bf16" else torch.float16
    return torch.autocast(task.device.split(":")[0], dtype=kind)


def optimiser_of(recipe: Recipe, network: nn.Module, slower: Mapping[str, float]) -> torch.optim.Optimizer:
    """The recipe's optimiser; weights whose names begin with a key of `slower` get that share of the rate."""
    by_share: dict[float, list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        share = next((share for start, share in slower.items() if name.startswith(start)), 1.0)
        by_share.setdefault(share, []).append(weight)
    rate, decay = recipe.learning_rate, recipe.weight_decay
    groups = [{"params": weights, "share": share, "lr": rate * share} for share, weights in by_share.items()]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, weight_decay=decay)
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=0.99, weight_decay=decay)
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=rate, weight_decay=decay, fused=True)  # one pass over all weights


def _in_crops(people: TrainingPeople, size: tuple[int, int]) -> NDArray[np.float64]:
    """The joints of all people [N, K, 2] in their crops, without augmentation."""
    return np.stack(
        [
            crops.apply(crops.box_crop((x, y, w, h), size, people.padding), joints)
            for (x, y, w, h), joints in zip(people.regions.tolist(), people.joints, strict=True)
        ]
    )

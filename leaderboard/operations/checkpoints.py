"""Weights that the operator brings: recognised, checked, and put where the baseline workers find them."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.db import transaction

from leaderboard.files import writing
from leaderboard.models import Checkpoint
from leaderboard.operations.refusals import Refused


def register(
    *,
    file: Path,
    licence: str,
    source: str,
    sha256: str = "",
    joints: str = "",
    input_size: tuple[int, int] | None = None,
) -> tuple[Checkpoint, bool]:
    """A checkpoint of a public file of weights, and whether it is new. Loads torch: not for the web process.

    What is registered is a copy, and it is the copy that is checked. The code of a refusal is that of the
    CheckpointError behind it, with `checkpoint_` before it.
    """
    from baselines.weights import checkpoints, registration

    if not licence.strip() or not source.strip():
        raise Refused("no_licence", "State the licence of the weights and where they are from.")
    folder = Path(settings.CHECKPOINTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"partial-{uuid.uuid4().hex}{file.suffix}"
    try:
        checkpoints.check_size(file)
        _copy(file, partial)
        found = registration.describe(
            partial,
            licence=licence.strip(),
            source=source.strip(),
            sha256=sha256 or None,
            joints=joints or None,
            input_size=input_size,
        )
        final = folder / f"{found.sha256}{file.suffix}"
        with transaction.atomic():
            row, new = Checkpoint.objects.get_or_create(
                sha256=found.sha256,
                defaults={
                    "family": found.baseline,
                    "variant": found.variant,
                    "file": final.name,
                    "size": partial.stat().st_size,
                    "joints": list(found.joints),
                    "licence": found.licence,
                    "source": found.source,
                },
            )
            if new or not final.exists():
                with writing.written(row.path, mode=0o644) as out:
                    out.write(found.renamed(final.name).to_json().encode())
            # a run may have the weights mapped: what is there already stays the same file
            writing.place(partial, final)
    except checkpoints.CheckpointError as error:
        message = str(error).replace(partial.name, file.name)
        raise Refused(f"checkpoint_{error.code}", f"{file.name} was not registered: {message}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return row, new


def _copy(file: Path, to: Path) -> None:
    """Copy, and be sure that it is on the disk."""
    with file.open("rb") as stream, to.open("xb") as out:
        while chunk := stream.read(1 << 20):
            out.write(chunk)
        out.flush()
        writing.sync(out.fileno())

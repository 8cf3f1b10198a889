"""Has the compiled code ready before it is needed: for servers, and for those who measure.

Only numba has anything to prepare. What it compiles is compiled for the types of the arguments, so two small files are
read and scored that hold every kind of number and value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from evaluator import compiled
from evaluator.evaluation import evaluate

COMPLETE = "complete"
"""The name of the empty file that says that the folder holds the machine code of every function."""

SMALL_UPLOAD = (
    b'[{"image_id": 1, "category_id": 1, "keypoints": [' + b", ".join([b"1.5, 10.123456789012345678, 0.25"] * 17)
    + b'], "score": 0.5, "bbox": [1, 2, 3e0, null]}]'
)  # fmt: skip
SMALL_TRUTH = (
    b'{"images": [{"id": 1, "file_name": "1.jpg"}], "categories": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1,'
    b' "num_keypoints": 17, "iscrowd": 0, "area": 100.5, "bbox": [0, 0, 20, 20], "keypoints": ['
    + b", ".join([b"1, 10, 2"] * 17) + b"]}]}"
)  # fmt: skip


def warm_up(say: Callable[[str], None] | None = None) -> bool:
    """Loads the compiled code, or compiles it, so that no later call has to: for servers before they fork.

    `say` is told when that will take long; by default a line on standard error if it is a terminal. False where
    there is no compiled code: everything works without it, more slowly.
    """
    if compiled.engine() == "numba":
        compiled.load_numba(say)
        _compile_all()
    return compiled.engine() != "arrays"


def warm_up_if_compiled() -> bool:
    """Loads the compiled code where it was built or an earlier `warm_up` left all of it, else does without it here.

    For servers: a process that is about to fork confined children must not compile, and its children cannot.
    """
    if compiled.engine() == "numba" and not (compiled.cache_folder() / COMPLETE).exists():
        compiled.give_up()
    return warm_up()


@cache
def _compile_all() -> None:
    evaluate("coco", SMALL_UPLOAD, SMALL_TRUTH).to_dict()
    (compiled.cache_folder() / COMPLETE).touch()

"""The dataset definitions, one TOML each, and the loader that checks them with one-line errors.

The folder is the registry: a file's name is the dataset's. May import `evaluator.dataset` and `evaluator.metrics`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from evaluator.dataset import Dataset
from evaluator.datasets.checks import Place, read_fields
from evaluator.datasets.fields import FIELDS
from evaluator.errors import DatasetDefinitionError
from evaluator.metrics import load_metric

FOLDER = Path(__file__).parent


def dataset_names() -> list[str]:
    """The names of all datasets, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load_dataset(name: str) -> Dataset:
    """The dataset of this name, such as "lsp"; DatasetDefinitionError when there is none or its file is wrong.

    >>> load_dataset("lsp").metric("pck@0.2").parts[-3:]
    ('knee', 'ankle', 'all')
    """
    if name not in dataset_names():
        raise DatasetDefinitionError(f"no dataset {name!r}: one of {', '.join(dataset_names())}")
    return read_dataset(FOLDER / f"{name}.toml")


def read_dataset(path: Path) -> Dataset:
    """The dataset of one definition file. DatasetDefinitionError is one line with the file and the field."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetDefinitionError(f"{path.name}: not TOML: {error}") from None
    found = read_fields(Place(path.name), table, FIELDS)
    dataset = Dataset(name=path.stem, **found | {"unscored": frozenset(found["unscored"])})
    for index, (name, parameters, _) in enumerate(dataset.measurements):
        check = getattr(load_metric(name), "check", None)
        try:
            if check is not None:
                check(dataset, **parameters)
        except DatasetDefinitionError:
            raise  # it names the field
        except ValueError as error:
            raise DatasetDefinitionError(f"{path.name}: metrics[{index}].parameters.{error}") from None
    return dataset

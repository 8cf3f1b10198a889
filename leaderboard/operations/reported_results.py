"""The numbers that papers print: a data file with sources, read into the boards that the site has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from django.db.models import F

from evaluator import load_dataset
from leaderboard.models import Benchmark, ReportedResult
from leaderboard.models.transactions import lock, retried

FILE = Path(__file__).parent.parent / "reported_results.yaml"


def read(file: Path = FILE) -> dict[str, dict[str, Any]]:
    """The records by key, as the file has them: scores as printed, in percent or millimetres, named metric/part."""
    return yaml.safe_load(file.read_text())


@retried
def load(file: Path = FILE, *, only: Benchmark | None = None) -> int:
    """Show the file's records on the boards they belong to, in place of earlier ones. Returns how many are shown.

    `only`: on this board, and leave the others as they are.
    """
    boards = Benchmark.objects.filter(pk=only.pk) if only else Benchmark.objects.all()
    # a board whose dataset is no longer defined shows none, and does not keep the others from theirs
    benchmarks = {benchmark.slug: benchmark for benchmark in lock(boards) if benchmark.definition}
    records = [
        (benchmarks[record["benchmark"]], key, record)
        for key, record in read(file).items()
        if record["benchmark"] in benchmarks
    ]
    for benchmark in {benchmark.pk: benchmark for benchmark, _, _ in records}.values():
        Benchmark.objects.filter(pk=benchmark.pk).update(version=F("version") + 1)
    for benchmark, key, record in records:
        fields = _fields(record, benchmark.dataset)
        ReportedResult.objects.update_or_create(benchmark=benchmark, key=key, defaults=fields)
    return len(records)


def _fields(record: dict[str, Any], dataset: str) -> dict[str, Any]:
    lengths = {spec.name for spec in load_dataset(dataset).metrics if not spec.is_fraction}
    variant, status, note = record.get("variant", ""), record.get("status", ""), record.get("note", "")
    millions = record.get("parameters_millions")
    return {
        # some variants begin with the method's own name
        "method": variant if variant.startswith(record["method"]) else f"{record['method']} {variant}".strip(),
        "authors": record["authors"],
        "year": record["year"],
        "paper_title": record["paper"],
        "paper_url": f"https://arxiv.org/abs/{record['arxiv']}" if record.get("arxiv") else "",
        "source": "; ".join(part for part in (record["source"], status, note) if part)[:300],
        "input_size": record.get("input_size", ""),
        "parameters": round(millions * 1e6) if millions else None,
        "gflops": record.get("gflops"),
        "scores": [
            {"metric": metric, "part": part, "value": printed if metric in lengths else round(printed / 100, 6)}
            for (metric, _, part), printed in ((name.partition("/"), value) for name, value in record["scores"].items())
        ],
    }

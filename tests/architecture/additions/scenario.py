"""What is done in a copy of the tree with the additions, by a process of its own: `python scenario.py FOLDER`.

FOLDER has truth.json, predictions.json and images/; it gets results.json, with the scores and what the site shows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import django

django.setup()

from django.core.management import call_command
from django.test import Client

import evaluator
from leaderboard import tasks
from leaderboard.models import BaselineRun, Evaluation

BENCHMARK = "torsos-test"
PAGES = {
    "board": f"/{BENCHMARK}/",
    "metric": "/metrics/nme/",
    "metrics": "/metrics/",
    "dataset": "/datasets/torsos/",
    "csv": f"/{BENCHMARK}/board.csv",
    "api": f"/api/v1/boards/{BENCHMARK}",
    "baselines": "/baselines/",
    "baseline": "/baselines/box_centre/",
}


def main(folder: Path) -> None:
    results: dict[str, Any] = {"package": str(Path(evaluator.__file__).parent.parent)}
    report = evaluator.evaluate("torsos", folder / "predictions.json", folder / "truth.json")
    results["offline"] = {f"{score.metric} {score.part}": score.value for score in report.scores}

    call_command("migrate", verbosity=0)
    call_command("import_benchmark", "torsos", folder / "truth.json", images=folder / "images", boxes=True)
    call_command("import_submission", BENCHMARK, folder / "predictions.json", method="Shifted", team="Team")
    tasks.score()
    call_command("run_baseline", "box_centre", BENCHMARK)
    results["run"] = tasks.run_baseline()
    results["runs"] = list(BaselineRun.objects.values_list("state", "error_message"))
    tasks.score()
    results["states"] = list(Evaluation.objects.order_by("pk").values_list("state", flat=True))

    client = Client(SERVER_NAME="localhost")
    for name, address in PAGES.items():
        response = client.get(address)
        content = b"".join(response.streaming_content) if response.streaming else response.content
        results[name] = [response.status_code, content.decode()]
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

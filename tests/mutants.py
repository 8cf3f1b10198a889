"""Whether the tests notice small changes: `make mutants`, or `python -m tests.mutants [--number 300] [--seed 1]`.

cosmic-ray makes the changes: an operator, a comparison, a number or a keyword at a time, but no text literal, docstring
or type annotation. This file draws a seeded sample of places, one change of each, over the files that score and that
keep the books, and runs the tests that execute the changed line, fastest first, until one fails. Everything happens in
copies of the tree. A change that no test notices survives; one that changes nothing a caller could see is listed in
`tests/mutants.toml` with the reason.

The last line is `mutants: K killed, S survived, E equivalent of N (seed X)`; the exit status is 1 if any survived.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, count, starmap
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# rooms and files, as patterns, so that a new file is among them
CHANGED = (
    "evaluator/metrics/*.py", "evaluator/tally.py", "evaluator/matching.py", "leaderboard/operations/*.py",
    "leaderboard/queue/*.py", "leaderboard/boards/*.py",
)  # fmt: skip
TESTS = ("tests/evaluator", "tests/leaderboard", "tests/faults")
# what looks at definitions without executing them, asked about every line that runs at import
LOOKING = (
    "tests/evaluator/test_plain_data.py",
    "tests/evaluator/test_metric_cards.py",
    "tests/leaderboard/test_plain_data.py",
)
# what drives a browser or starts servers takes too long to be asked about every change
LEFT_OUT = ("tests/leaderboard/pages/test_browser.py", "tests/leaderboard/pages/test_submit_in_browser.py")
FEW, MANY, MORE_SECONDS, SECONDS = 12, 60, 60, 30
EQUIVALENT = ROOT / "tests" / "mutants.toml"
# operators whose result cannot differ from the original, whose only effect is a crash, or that need arguments
USELESS = (
    "_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq", "_Eq_IsNot", "_NotEq_Is", "RemoveDecorator", "Variable",
    "ExceptionReplacer",
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the occurrence of an operator in a file."""

    file: str
    operator: str
    occurrence: int
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before!r} -> {self.after!r} ({self.operator.removeprefix('core/')})"


Place = tuple[int, int]


def texts_and_types(source: str) -> list[tuple[Place, Place]]:
    """From where to where (line, column) only texts, annotations or messages would change."""
    spans: list[tuple[Place, Place]] = []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            parts = [node.returns, *(each.annotation for each in every if each)]
        elif (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.")) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            parts = [node]
        elif isinstance(node, ast.keyword) and node.arg == "strict":
            parts = [node.value]  # a guard: whatever is of equal length gives the same without it
        for part in filter(None, parts):
            start, end = (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)  # type: ignore[attr-defined]
            spans.append((start, end))
    return spans


def within(place: Place, spans: list[tuple[Place, Place]]) -> bool:
    return any(start <= place < end for start, end in spans)


def places_of(file: str) -> list[tuple[str, str, int, Place]]:
    """(file, operator, occurrence, place) of everything that cosmic-ray can change in a file."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = (ROOT / file).read_text()
    skipped, nodes, found = texts_and_types(source), list(ast_nodes(get_ast(source))), []
    for name in sorted(operator_names()):
        if any(part in name for part in USELESS):
            continue
        operator, occurrence = get_operator(name)(), 0
        for node in nodes:
            for place, _ in operator.mutation_positions(node):
                if not within(place, skipped):
                    found.append((file, name, occurrence, place))
                occurrence += 1
    return found


def mutant_of(file: str, operator: str, occurrence: int) -> Mutant | None:
    """The change, or None where it is none, or no Python."""
    source = (ROOT / file).read_text()
    result = changed(source, operator, occurrence) or source
    try:
        ast.parse(result)
    except SyntaxError:  # a bare * of keyword-only parameters is no product
        return None
    lines, after = source.splitlines(), result.splitlines()
    different = next((n for n, (old, new) in enumerate(zip(lines, after, strict=False), 1) if old != new), 0)
    if not different:
        return None
    return Mutant(file, operator, occurrence, different, lines[different - 1].strip(), after[different - 1].strip())


def draw(files: list[str], number: str, seed: int) -> tuple[list[Mutant], int]:
    """(the drawn changes, how many places there are): of each place one change, or with `all` every one.

    A place comes up by a digest of its line's text, not of its number, so that after an edit elsewhere in the tree the
    same seed draws nearly the same changes.
    """
    places: dict[tuple[str, Place], list[tuple[str, str, int]]] = defaultdict(list)
    for file in files:
        for name, operator, occurrence, place in places_of(file):
            places[name, place].append((name, operator, occurrence))
    texts = {file: (ROOT / file).read_text().splitlines() for file in files}

    def chance(key: tuple[str, Place]) -> int:
        file, (line, column) = key
        return int(hashlib.sha256(f"{seed} {file} {column} {texts[file][line - 1]}".encode()).hexdigest(), 16)

    drawn: list[Mutant] = []
    for key in sorted(places, key=lambda key: (chance(key), key)):
        each = places[key] if number == "all" else [places[key][chance(key) % len(places[key])]]
        drawn += [mutant for mutant in starmap(mutant_of, each) if mutant is not None]
        if number != "all" and len(drawn) >= int(number):
            break
    return drawn, len(places)


def changed(source: str, operator: str, occurrence: int) -> str | None:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    result: str | None = mutate_code(source, get_operator(operator)(), occurrence)
    return result


def copy_of_the_tree(target: Path) -> Path:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = [*listing.split("\0"), *(str(path.relative_to(ROOT)) for path in (ROOT / "evaluator").rglob("*.so"))]
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def environment(tree: Path) -> dict[str, str]:
    from tests.conftest import TEST_DATA  # where they look for it by themselves depends on the tree

    return {
        **os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
        "POSEBOARD_TEST_DATA": str(TEST_DATA),
    }  # fmt: skip


def who_executes(folder: Path) -> tuple[dict[str, dict[int, set[str]]], dict[str, float]]:
    """(file -> line -> tests that execute it, test -> seconds): one run of all tests, with coverage."""
    from coverage import CoverageData

    tree = copy_of_the_tree(folder / "measured")
    configuration = tree / ".coveragerc"
    include = "\n    ".join(CHANGED)
    configuration.write_text(f"[run]\ninclude =\n    {include}\nconcurrency = thread\n")
    times = folder / "times.json"
    command = [
        sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "--cov",
        f"--cov-config={configuration}",
        "--cov-context=test", "--cov-report=", "-p", "tests.mutants", *(f"--ignore={path}" for path in LEFT_OUT),
        *TESTS,
    ]  # fmt: skip
    variables = {**environment(tree), "MUTANTS_TIMES": str(times)}
    done = subprocess.run(command, cwd=tree, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The tests fail without any change:\n{done.stdout[-3000:]}")
    data = CoverageData(str(tree / ".coverage"))
    data.read()
    found: dict[str, dict[int, set[str]]] = {}
    for measured in data.measured_files():
        name = Path(measured).relative_to(tree).as_posix()
        contexts = data.contexts_by_lineno(measured)
        found[name] = {line: {each.rpartition("|")[0] for each in names if each} for line, names in contexts.items()}
    return found, json.loads(times.read_text())


_times: dict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: Any) -> None:
    """As a plugin of the measured run: what each test takes."""
    _times[report.nodeid] += report.duration


def pytest_sessionfinish(session: Any) -> None:
    if (path := os.environ.get("MUTANTS_TIMES")) and not hasattr(session.config, "workerinput"):
        Path(path).write_text(json.dumps(_times))


def nearest(tests: set[str], times: dict[str, float]) -> list[list[str]]:
    """The fastest tests first, one of each function before the next of any, in portions: most changes meet one only."""
    by_function: dict[str, list[str]] = defaultdict(list)
    for test in sorted(tests, key=lambda test: (times.get(test, 0.0), test)):
        by_function[test.split("[")[0]].append(test)
    ranked = sorted((n, times.get(test, 0.0), test) for each in by_function.values() for n, test in enumerate(each))
    together = accumulate(seconds for _, seconds, _ in ranked[MANY:])
    more = [test for (_, _, test), until in zip(ranked[MANY:], together, strict=True) if until < MORE_SECONDS]
    first = [test for _, _, test in ranked[:MANY]]
    return [portion for portion in (first[:FEW], first[FEW:], more) if portion]


def executing(mutant: Mutant, executed: dict[str, dict[int, set[str]]], tests: Iterable[str]) -> set[str]:
    """The tests that execute the line; of a line that runs at import, all that execute anything of the file, and those
    that look at definitions."""
    lines = executed.get(mutant.file, {})
    around = [
        node.lineno
        for node in ast.walk(ast.parse((ROOT / mutant.file).read_text()))
        if isinstance(node, ast.stmt) and node.lineno <= mutant.line <= (node.end_lineno or node.lineno)
    ]
    # of a statement over several lines coverage knows the first
    line = max((each for each in (mutant.line, *around) if each in lines), default=None)
    if line is None:
        return set()
    if lines[line]:
        return lines[line]
    return set().union(*lines.values(), (test for test in tests if test.startswith(LOOKING)))


def failing(tests: list[str], tree: Path, seconds: float) -> list[str]:
    """The test that fails first; all of them where none can be named: they take far too long, or cannot be read."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-rfE", *tests]
    with tempfile.TemporaryFile("w+") as output:
        # a group of its own, so that what the tests have started ends with them
        process = subprocess.Popen(
            command, cwd=tree, env=environment(tree), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            if process.wait(seconds) == 0:
                return []
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        said = [line.partition(" ")[2] for line in output if line.startswith(("FAILED ", "ERROR "))]
    named = [test for test in tests if any(line.rstrip() == test or line.startswith(f"{test} - ") for line in said)]
    return named or tests


def failing_with(mutant: Mutant, tests: list[str], tree: Path, seconds: float) -> list[str]:
    file = tree / mutant.file
    source = file.read_text()
    file.write_text(changed(source, mutant.operator, mutant.occurrence) or source)
    try:
        return failing(tests, tree, seconds)
    finally:
        file.write_text(source)


def main() -> int:
    parser = argparse.ArgumentParser(description="Do the tests notice small changes?")
    parser.add_argument("--number", default="300", help="how many changes are drawn, or all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only files whose name contains this")
    chosen = parser.parse_args()
    started = time.monotonic()
    files = sorted({path.relative_to(ROOT).as_posix() for pattern in CHANGED for path in ROOT.glob(pattern)})
    drawn, places = draw([file for file in files if chosen.only in file], chosen.number, chosen.seed)
    listed = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    known = [(each["file"], each["before"], each["after"]) for each in listed]
    equivalent = [mutant for mutant in drawn if (mutant.file, mutant.before, mutant.after) in known]
    asked = [mutant for mutant in drawn if mutant not in equivalent]
    print(f"{len(drawn)} changes, of {places} places in {len(files)} files", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        executed, times = who_executes(folder)
        print(f"measured which tests execute which lines in {time.monotonic() - started:.0f} s", flush=True)
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(os.cpu_count() or 1):
            trees.put(copy_of_the_tree(folder / f"tree{number}"))

        sound: set[str] = set()
        asked_of = count(1)

        def noticed(mutant: Mutant, tests: list[str], tree: Path) -> bool:
            seconds = SECONDS + 5 * sum(times.get(test, 0.0) for test in tests)
            failed = failing_with(mutant, tests, tree, seconds)
            # a test that fails without the change too would kill everything
            if (unsure := [test for test in failed if test not in sound]) and failing(unsure, tree, seconds):
                raise SystemExit(f"These tests fail without any change: {' '.join(unsure)}")
            sound.update(failed)
            return bool(failed)

        def ask(mutant: Mutant) -> bool:
            portions = nearest(executing(mutant, executed, times), times)
            tree = trees.get()
            try:
                alive = not any(noticed(mutant, tests, tree) for tests in portions)
            finally:
                trees.put(tree)
            if alive:
                print(f"SURVIVED {mutant}" + ("" if portions else " (no test executes the line)"), flush=True)
            if (done := next(asked_of)) % 50 == 0:
                print(f"{done} asked", flush=True)
            return alive

        with ThreadPoolExecutor(trees.qsize()) as pool:
            survived = sum(pool.map(ask, asked))
    killed = len(asked) - survived
    minutes = (time.monotonic() - started) / 60
    print(f"in {minutes:.0f} minutes")
    counts = f"{killed} killed, {survived} survived, {len(equivalent)} equivalent"
    print(f"mutants: {counts} of {len(drawn)} (seed {chosen.seed})")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())

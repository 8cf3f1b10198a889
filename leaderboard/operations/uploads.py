"""A prediction file's way from a request to a submission: the only one, for the browser, the API and the operator.

Nothing of a file is stored before everything is checked that can be checked; what is refused after that is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import transaction

from leaderboard.files import blobs
from leaderboard.models import Benchmark, Method, Submission, Team, User
from leaderboard.models.transactions import retried
from leaderboard.operations import storage, submissions, teams


def accept(
    *,
    user: User | None,
    team: Team,
    benchmark: Benchmark,
    method: str,
    described: Mapping[str, Any],
    chunks: Callable[[], Iterable[bytes]],
    limit: int,
    source: str,
    file_name: str = "",
    idempotency_key: str = "",
    publish_when_scored: bool = False,
    told_publishes_all: bool | None = None,
) -> tuple[Submission, bool]:
    """Store a file and submit it for the team's method of that name, which is made when there is none.

    Args:
        described: what is said of the method.
        chunks: called for each pass over the file; the first writes nothing.
        limit: of the file, in bytes.
        told_publishes_all: whether the submitter read that the benchmark publishes everything.

    Returns the submission and whether it is new, as `submissions.submit` does. Raises `Refused`, `blobs.TooLarge`.
    """
    sha256, size = blobs.digest(chunks(), limit=limit)
    known = Method.objects.filter(team=team, name=" ".join(method.split())).first()
    earlier = submissions.check(
        user=user, team=team, benchmark=benchmark, method=known, sha256=sha256, size=size, source=source,
        idempotency_key=idempotency_key,
    )  # fmt: skip
    if earlier is not None:
        if not blobs.is_intact(sha256):
            with storage.stored(chunks(), limit=limit):
                pass
        teams.method_named(team=team, name=method, **described)
        return earlier, False
    teams.check_method(team=team, name=method, **described)
    # One transaction: a refused submission leaves no new method behind, and says nothing else of a known one.
    with storage.stored(chunks(), limit=limit) as blob:

        @retried
        def submit() -> tuple[Submission, bool]:
            return submissions.submit(
                user=user,
                team=team,
                benchmark=benchmark,
                method=teams.method_named(team=team, name=method, **described),
                blob=blob,
                source=source,
                file_name=file_name,
                idempotency_key=idempotency_key,
                publish_when_scored=publish_when_scored,
                told_publishes_all=told_publishes_all,
            )

        return submit()


def accept_import(*, team: str, **upload: Any) -> tuple[Submission, bool]:
    """`accept` for a team of that name, which is made when there is none; what is refused leaves no team behind."""
    with transaction.atomic():
        return accept(user=None, team=Team.objects.get_or_create(name=team)[0], **upload)

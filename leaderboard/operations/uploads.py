"""A prediction file's way from a request to a submission: the only one, for the browser, the API and the operator.

Nothing of a file is stored before everything has been checked that can be; a file that is rejected later is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db import transaction

from leaderboard.files import blobs
from leaderboard.models import Benchmark, Method, Submission, Team
from leaderboard.models.transactions import retried
from leaderboard.operations import storage, submissions, teams
from leaderboard.operations.submissions import SubmissionRequest

IMPORT_LIMIT = 1 << 30
"""The largest file, in bytes, that the operator may import."""


def accept(
    *,
    request: SubmissionRequest,
    method: str,
    described: Mapping[str, Any],
    chunks: Callable[[], Iterable[bytes]],
    limit: int,
) -> tuple[Submission, bool]:
    """Store a file and submit it for the team's method of that name, which is made when there is none.

    Args:
        request: who submits it, where, and what is to become of it.
        method: the method's name.
        described: the fields of the method to change.
        chunks: called for each pass over the file; the first writes nothing.
        limit: of the file, in bytes.

    Returns the submission and whether it is new, as `submissions.submit` does. Raises `Refused`, `blobs.TooLarge`.
    """
    sha256, size = blobs.digest(chunks(), limit=limit)
    team = request.team
    known = Method.objects.filter(team=team, name=" ".join(method.split())).first()
    earlier = submissions.check(request=request, method=known, sha256=sha256, size=size)
    if earlier is not None:
        if not blobs.is_intact(sha256):
            with storage.stored(chunks(), limit=limit):
                pass
        teams.method_named(team=team, name=method, **described)
        return earlier, False
    teams.check_method(team=team, name=method, **described)
    # one transaction: a submission that is refused leaves no new method behind and changes no known one
    with storage.stored(chunks(), limit=limit) as blob:

        @retried
        def submit() -> tuple[Submission, bool]:
            named = teams.method_named(team=team, name=method, **described)
            return submissions.submit(request=request, method=named, blob=blob)

        return submit()


def accept_import(
    *, file: Path, team: str, benchmark: Benchmark, method: str, described: Mapping[str, Any], publish: bool
) -> tuple[Submission, bool]:
    """`accept` a file of the operator's for the team of that name, which is made when there is none.

    A rejected file leaves no team behind. Raises OSError where the file cannot be read.
    """

    def chunks() -> Iterator[bytes]:
        with file.open("rb") as stream:
            yield from iter(lambda: stream.read(1 << 20), b"")

    with transaction.atomic():
        request = SubmissionRequest(
            user=None,
            team=Team.objects.get_or_create(name=team)[0],
            benchmark=benchmark,
            source=Submission.Source.IMPORT,
            file_name=file.name,
            publish_when_scored=publish,
        )
        return accept(request=request, method=method, described=described, chunks=chunks, limit=IMPORT_LIMIT)

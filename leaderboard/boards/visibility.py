"""Who may see what. Every query a page or the API makes starts from one of these, so a stranger gets 404."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet

from leaderboard.models import Benchmark, BoardEvent, Membership, Submission, User

Anyone = User | AnonymousUser


def benchmarks_for(user: Anyone) -> QuerySet[Benchmark]:
    """Public ones; private ones for their teams, organisers and the operators."""
    if not isinstance(user, User):
        return Benchmark.objects.filter(is_public=True)
    if user.is_staff:
        return Benchmark.objects.all()
    return Benchmark.objects.filter(
        Q(is_public=True)
        | Q(pk__in=Benchmark.objects.filter(teams__members=user).values("pk"))
        | Q(pk__in=user.organised.values("pk"))
    )


def organised_by(user: Anyone) -> QuerySet[Benchmark]:
    """The benchmarks whose limits, annotations and baselines this person decides about."""
    if not isinstance(user, User):
        return Benchmark.objects.none()
    return Benchmark.objects.all() if user.is_staff else Benchmark.objects.filter(organisers=user)


def own_submissions(user: Anyone) -> QuerySet[Submission]:
    """Those of the person's teams."""
    if not isinstance(user, User):
        return Submission.objects.none()
    return Submission.objects.filter(team__memberships__user=user)


def submissions_for(user: Anyone) -> QuerySet[Submission]:
    """Own ones, those on a board that this person may see, and all of a benchmark's for its organiser."""
    listed = BoardEvent.objects.filter(
        submission=OuterRef("pk"), current=True, kind__in=BoardEvent.ON_BOARD, benchmark__in=benchmarks_for(user)
    )
    visible = Q(Exists(listed))
    if isinstance(user, User):
        visible |= Q(pk__in=own_submissions(user).values("pk")) | Q(benchmark__in=organised_by(user))
    return Submission.objects.filter(visible)


def may_publish(user: Anyone, submission: Submission) -> bool:
    """Somebody of the team that owns it."""
    return isinstance(user, User) and submission.team.memberships.filter(user=user).exists()


def agreed() -> Q:
    """Submissions that their teams chose to publish when they submitted, or of teams in which nobody can decide.

    Whatever was submitted as private is not among them: a later change of the benchmark's policy is no agreement.
    """
    run_or_imported = Q(source__in=[Submission.Source.BASELINE, Submission.Source.IMPORT])
    somebody = Q(Exists(Membership.objects.filter(team=OuterRef("team"))))
    return Q(publish_when_scored=True) | (run_or_imported & ~somebody)


def may_publish_for_team(user: Anyone, submission: Submission) -> bool:
    """The benchmark's organiser, what its team agreed to publish."""
    return submission.benchmark.is_organiser(user) and Submission.objects.filter(agreed(), pk=submission.pk).exists()


def may_see_details(user: Anyone, submission: Submission) -> bool:
    """The file's name, errors and digests: the team's, the organiser's and the operator's."""
    return may_publish(user, submission) or submission.benchmark.is_organiser(user)

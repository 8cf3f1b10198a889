"""The tables, one file per noun; the database enforces what it can. May import only files, drawing and celery."""

from leaderboard.models.accounts import ApiToken, Membership, Team, User
from leaderboard.models.baselines import BaselineRun
from leaderboard.models.benchmarks import AnnotationImport, Benchmark, Phase, Release
from leaderboard.models.boards import BoardEvent, ReportedResult
from leaderboard.models.checkpoints import Checkpoint
from leaderboard.models.jobs import Job, State
from leaderboard.models.methods import Method
from leaderboard.models.submissions import Evaluation, Quota, Score, Submission
from leaderboard.models.workers import Worker

__all__ = [
    "AnnotationImport",
    "ApiToken",
    "BaselineRun",
    "Benchmark",
    "BoardEvent",
    "Checkpoint",
    "Evaluation",
    "Job",
    "Membership",
    "Method",
    "Phase",
    "Quota",
    "Release",
    "ReportedResult",
    "Score",
    "State",
    "Submission",
    "Team",
    "User",
    "Worker",
]

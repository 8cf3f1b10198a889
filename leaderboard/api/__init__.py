"""The API, version 1, one file per noun. Endpoints parse, call an operation or a board, respond, and write nothing.

May import access, operations, boards and what is below, and no page.
"""

from __future__ import annotations

from leaderboard.api import baselines, benchmarks, boards, methods, problems, reported, submissions, teams, tokens
from leaderboard.api.application import Api
from leaderboard.api.reference import Reference

api = Api(
    title="PoseBoard API",
    version="1",
    description="Send predictions, follow their scoring, read the boards.",
    urls_namespace="api",
    docs=Reference(),
)
problems.install(api)
api.add_router("/benchmarks", benchmarks.router)
api.add_router("/boards", boards.router)
api.add_router("/submissions", submissions.router)
api.add_router("/methods", methods.router)
api.add_router("/baselines", baselines.router)
api.add_router("/reported", reported.router)
api.add_router("", teams.router)
api.add_router("/tokens", tokens.router)

__all__ = ["api"]

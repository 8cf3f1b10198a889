"""The addresses of the pages. A board's is its benchmark's slug, so it comes last."""

from __future__ import annotations

from django.urls import path

from leaderboard.views import baselines, boards, datasets, front, methods, organise, profile, site, submissions

urlpatterns = [
    path("", front.front, name="front"),
    path("boards/", boards.boards, name="boards"),
    path("submit/", submissions.submit, name="submit"),
    path("submissions/", submissions.mine, name="my_submissions"),
    path("submissions/<int:pk>/", submissions.submission, name="submission"),
    path("submissions/<int:pk>/status", submissions.status, name="submission_status"),
    path("submissions/<int:pk>/report.json", submissions.report, name="submission_report"),
    path("submissions/<int:pk>/<slug:action>", submissions.act, name="submission_act"),
    path("methods/<int:pk>/", methods.method, name="method"),
    path("methods/<int:pk>/edit", methods.edit, name="method_edit"),
    path("teams/<int:pk>/", methods.team, name="team"),
    path("profile/", profile.profile, name="profile"),
    path("profile/tokens/<int:pk>/revoke", profile.revoke, name="token_revoke"),
    path("how-it-works/", site.how, name="how"),
    path("status/", site.status, name="status"),
    path("baselines/", baselines.baselines, name="baselines"),
    path("baselines/<slug:name>/", baselines.baseline, name="baseline"),
    path("baselines/<slug:name>/seen/<int:pk>/<slug:which>.webp", baselines.picture, name="baseline_picture"),
    path("datasets/<slug:name>/", datasets.dataset, name="dataset"),
    path("metrics/", datasets.metrics, name="metrics"),
    path("metrics/<str:name>/", datasets.metric, name="metric"),
    path("organise/", organise.organise, name="organise"),
    path("organise/new/", organise.new, name="organise_new"),
    path("organise/<benchmark:slug>/", organise.benchmark, name="organise_benchmark"),
    path("organise/<benchmark:slug>/live", organise.live, name="organise_live"),
    path("organise/<benchmark:slug>/<slug:action>", organise.act, name="organise_act"),
    path("<benchmark:slug>/", boards.board, name="board"),
    path("<benchmark:slug>/submit/", submissions.submit, name="submit_to"),
    path("<benchmark:slug>/images.json", boards.image_list, name="image_list"),
    path("<benchmark:slug>/sample.json", submissions.sample, name="sample"),
    path("<benchmark:slug>/board.<slug:form>", boards.board_export, name="board_export"),
]

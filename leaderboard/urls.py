"""The root of the addresses: the API, accounts, the operator's admin, health, then the pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from leaderboard.api import api
from leaderboard.views.health import healthz

handler500 = "leaderboard.web.faults.server_error"
urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("api/v1/", api.urls),
    path("account/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("", include("leaderboard.views.urls")),
]

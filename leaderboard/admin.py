"""What an operator may look at and fix by hand. States, scores and events change by operations only."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest
from django.views.generic import RedirectView

from leaderboard.access.accounts import AdminSignInForm
from leaderboard.models import (
    AnnotationImport,
    ApiToken,
    BaselineRun,
    Benchmark,
    BoardEvent,
    Checkpoint,
    Evaluation,
    Membership,
    Method,
    Quota,
    Release,
    ReportedResult,
    Submission,
    Team,
    User,
    Worker,
)
from leaderboard.operations import benchmarks


class ReadOnly(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 1


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):
    list_display = ("name", "person", "created_at")
    search_fields = ("name",)
    inlines = (MembershipInline,)


@admin.register(Benchmark)
class BenchmarkAdmin(admin.ModelAdmin):
    list_display = ("slug", "title", "dataset", "split", "hidden", "is_public", "person_count")
    filter_horizontal = ("teams", "organisers")
    readonly_fields = ("truth_sha256", "image_list_sha256", "image_count", "person_count", "has_images", "version")

    def save_model(self, request: HttpRequest, obj: Benchmark, form: ModelForm, change: bool) -> None:
        """Write what was changed and nothing else: a worker may be writing the rest of the row."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        names = {field.name for field in Benchmark._meta.concrete_fields} & set(form.changed_data)
        changes = {name: form.cleaned_data[name] for name in names}
        benchmarks.update(benchmark=obj, changes=changes)


@admin.register(Method)
class MethodAdmin(admin.ModelAdmin):
    list_display = ("name", "team", "year", "approach")
    search_fields = ("name", "team__name")


@admin.register(Submission)
class SubmissionAdmin(ReadOnly):
    list_display = ("__str__", "benchmark", "method", "team", "source", "created_at")
    list_filter = ("benchmark", "source")


@admin.register(Evaluation, BaselineRun, AnnotationImport)
class JobAdmin(ReadOnly):
    list_display = ("__str__", "state", "attempts", "worker", "queued_at", "finished_at")
    list_filter = ("state",)


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnly):
    list_display = ("__str__", "licence", "source", "created_at")


@admin.register(BoardEvent)
class BoardEventAdmin(ReadOnly):
    list_display = ("at", "kind", "benchmark", "method", "by")
    list_filter = ("benchmark", "kind")


@admin.register(Release)
class ReleaseAdmin(ReadOnly):
    list_display = ("at", "benchmark", "truth_sha256", "image_count", "person_count")
    list_filter = ("benchmark",)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly):
    list_display = ("name", "user", "prefix", "created_at", "last_used_at", "revoked_at")
    fields = ("user", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")


@admin.register(Quota)
class QuotaAdmin(ReadOnly):
    list_display = ("team", "benchmark", "kind", "window", "used")


@admin.register(ReportedResult)
class ReportedResultAdmin(admin.ModelAdmin):
    list_display = ("method", "benchmark", "year", "source")
    list_filter = ("benchmark",)


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("name", "queue", "started_at", "seen_at")


admin.site.register(User, UserAdmin)
admin.site.site_header = "PoseBoard operations"
admin.site.login_form = AdminSignInForm
# one page asks for the old password, and counts wrong ones
admin.site.password_change = RedirectView.as_view(  # type: ignore[assignment, method-assign]
    pattern_name="account_change_password"
)

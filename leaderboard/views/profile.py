"""The profile page of a user: teams and API tokens."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from leaderboard.models import ApiToken
from leaderboard.operations import teams, tokens
from leaderboard.operations.refusals import Refused
from leaderboard.views.forms import TokenForm
from leaderboard.views.responses import person, private_page, say_refusal


@private_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """The response to the form shows the new token's text, once: it is in no message, no session and no address."""
    user = person(request)
    secret, made = "", None
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            made, secret = tokens.create(
                user=user, name=data["name"], scopes=data["scopes"], expires_at=form.expires_at()
            )
        except Refused as refused:
            form.add_error(None, str(refused))
        else:
            form = TokenForm()
    own = ApiToken.objects.filter(user=user).order_by("revoked_at", "-pk")
    context = {
        "form": form,
        "tokens": own.filter(revoked_at=None),
        "revoked": own.exclude(revoked_at=None)[:20],
        "secret": secret,
        "made": made,
        "teams": teams.teams_of(user),
        "section": "profile",
    }
    return render(request, "profile.html", context, status=400 if form.errors else 200)


@private_page
@login_required
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=pk, user=person(request))
    try:
        tokens.revoke(token=token, by=person(request))
    except Refused as refused:
        say_refusal(request, refused)
    else:
        messages.success(request, f"The token {token.name} was revoked.")
    return redirect("profile")

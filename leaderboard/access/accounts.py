"""Signing in and up: allauth's adapter and forms, and the admin's, with the site's rate limits and mail.

Every entry of a password goes through `guess`. It counts before the password is checked, so that a hundred guesses at
once are counted as a hundred, and takes the count back when the password was right.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest

from leaderboard.access import rate_limits, visitors
from leaderboard.access.page_limits import refusal, refuse
from leaderboard.access.rate_limits import RateLimited
from leaderboard.models import User

KNOWN_DAYS = 30
"""How long a network is known as one that an account signed in from."""

NO_MAIL = "This site does not send e-mail. Ask its operator to set a new password for you."


def sends_mail() -> bool:
    """Whether there is a mail server: without one no link is made, since it could only arrive in a log."""
    return bool(settings.EMAIL_HOST)


# --- passwords -------------------------------------------------------------------------------------------------------


@dataclass
class Guess:
    """One entry of a password. Whoever checked it sets `right` to the user it opened."""

    right: User | None = None


@contextmanager
def guess(request: HttpRequest, login: str | User) -> Iterator[Guess]:
    """Count an entry of a password for an account; raises a ValidationError, before it is checked, where it may not be.

    Three counters: of the account from this network, which is tight; of the network over all accounts; and of the
    account from everywhere. The latter two do not stop an account from a network that it signed in from lately, so no
    stranger locks an owner out there.
    """
    network = visitors.network(request)
    accounts = _accounts(login)
    with _refusals(request):
        for account in accounts:
            _count(account, network)
    entry = Guess()
    yield entry
    if entry.right is not None:
        _opened(accounts, f"user {entry.right.pk}", network)


def _count(account: str, network: str) -> None:
    # a guess that the first counter stops does not count in the others: one visitor cannot use up a shared limit
    rate_limits.take("login", account, network)
    if not rate_limits.remembers("signed_in", account, network):
        rate_limits.take("login_network", network)
        rate_limits.take("login_account", account)


def _opened(accounts: list[str], opened: str, network: str) -> None:
    if opened not in accounts:
        return
    if not rate_limits.remembers("signed_in", opened, network):
        rate_limits.give_back("login_network", network)
        rate_limits.give_back("login_account", opened)
        rate_limits.remember("signed_in", opened, network, days=KNOWN_DAYS)
    # only for the account whose password it was: a name may be another account's e-mail address
    rate_limits.clear("login", opened, network)


def _accounts(login: str | User) -> list[str]:
    """The accounts that a log-in may mean, by name and by e-mail address; an unknown name is counted too."""
    if isinstance(login, User):
        return [f"user {login.pk}"]
    login = login.strip()
    meant = Q(username__iexact=login) | Q(email__iexact=login) | Q(emailaddress__email__iexact=login)
    found = User.objects.filter(meant).order_by("pk").values_list("pk", flat=True).distinct()[:5]
    return [f"user {pk}" for pk in found] or [f"name {digest(login)}"]


def digest(personal: str) -> str:
    """A digest of a name or an e-mail address, for counters and logs."""
    return sha256(f"{settings.SECRET_KEY} {personal.strip().casefold()}".encode()).hexdigest()[:16]


def forget_guesses(*, request: HttpRequest, user: User, **_: Any) -> None:
    """A new password was set by a link: guesses at the old one no longer count. Receives allauth's signal."""
    rate_limits.clear("login_account", f"user {user.pk}")
    rate_limits.clear("login", f"user {user.pk}", visitors.network(request))


@contextmanager
def _refusals(request: HttpRequest) -> Iterator[None]:
    """Turn a limit into an error of the form, whose page is then a 429."""
    try:
        yield
    except RateLimited as limited:
        refuse(request, limited)
        raise ValidationError(str(limited), code="rate_limited") from limited


# --- allauth ---------------------------------------------------------------------------------------------------------


class Adapter(DefaultAccountAdapter):
    """What allauth asks the site."""

    def get_client_ip(self, request: HttpRequest) -> str:
        return visitors.address(request)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Signing in, and giving the password once more."""
        login = str(credentials.get("username") or credentials.get("email") or "")
        with guess(request, login) as entry:
            entry.right = super().authenticate(request, **credentials)
        return entry.right

    def send_confirmation_mail(self, request: HttpRequest, emailconfirmation: Any, signup: bool) -> None:
        try:
            if not signup:
                rate_limits.take("mail_network", visitors.network(request))
            rate_limits.take("mail", digest(emailconfirmation.email_address.email))
        except RateLimited as limited:
            refuse(request, limited)
        else:
            super().send_confirmation_mail(request, emailconfirmation, signup)

    def send_account_already_exists_mail(self, email: str) -> None:
        try:
            rate_limits.take("mail", digest(email))
        except RateLimited:
            return  # silently: whoever signs up must not learn whether the address has an account
        super().send_account_already_exists_mail(email)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        if sends_mail():
            super().send_mail(template_prefix, email, context)

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **more: Any
    ) -> None:
        of_mail = message_template == "account/messages/email_confirmation_sent.txt"
        if not of_mail or (sends_mail() and refusal(request) is None):
            super().add_message(request, level, message_template, *args, **more)


class SignupForm(allauth_forms.SignupForm):
    def clean(self) -> Any:
        cleaned = super().clean()
        if not self.errors:
            with _refusals(context.request):
                rate_limits.take("signup", visitors.network(context.request))
        return cleaned


class ResetPasswordForm(allauth_forms.ResetPasswordForm):
    """Counted by the address that was typed, so that nobody can tell whether it has an account."""

    def clean_email(self) -> str:
        if not sends_mail():
            raise ValidationError(NO_MAIL, code="no_mail")
        with _refusals(context.request):
            rate_limits.take("mail_network", visitors.network(context.request))
            rate_limits.take("mail", digest(self.cleaned_data["email"]))
        return super().clean_email()


class ChangePasswordForm(allauth_forms.ChangePasswordForm):
    def clean_oldpassword(self) -> str:
        with guess(context.request, self.user) as entry:
            given = super().clean_oldpassword()
            entry.right = self.user
        return given


# --- the operator's admin --------------------------------------------------------------------------------------------


class AdminSignInForm(AdminAuthenticationForm):
    """The admin's own log-in: also open to an operator whose e-mail address nobody has confirmed."""

    def clean(self) -> Any:
        name = self.cleaned_data.get("username")
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        assert self.request is not None
        with guess(self.request, name) as entry:
            cleaned = super().clean()
            entry.right = self.get_user()
        return cleaned

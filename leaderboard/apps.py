from django.apps import AppConfig


class LeaderboardConfig(AppConfig):
    name = "leaderboard"
    verbose_name = "PoseBoard"

    def ready(self) -> None:
        from allauth.account.signals import password_reset

        from leaderboard import checks  # noqa: F401  registers the system checks
        from leaderboard.access import accounts

        password_reset.connect(accounts.forget_guesses, dispatch_uid="leaderboard.access.accounts")

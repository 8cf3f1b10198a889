"""Fill an empty site with the demonstration; a second run changes nothing."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from leaderboard.local import demo


class Command(BaseCommand):
    help = "Fill an empty site with Mannequins boards, reported results and demo accounts (loopback only)."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.LOOPBACK:
            raise CommandError("Demo accounts have public passwords: they are created on loopback addresses only.")
        demo.seed(self.stdout.write)

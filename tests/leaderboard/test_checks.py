"""The system checks are registered: a misconfigured site says so at start."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks

from leaderboard import checks as ours


def test_every_check_of_ours_is_registered() -> None:
    registered = checks.registry.registry.get_checks(include_deployment_checks=True)
    defined = {each for name, each in vars(ours).items() if getattr(each, "tags", None) and callable(each)}
    assert defined and defined <= set(registered)


@pytest.mark.django_db
def test_source_code_shown_to_visitors_is_an_error_of_a_deployment(settings: Any) -> None:
    settings.DEBUG = True
    found = {each.id for each in checks.run_checks(include_deployment_checks=True)}
    assert "poseboard.E002" in found

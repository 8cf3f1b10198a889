"""Requests that cannot be read, and faults of ours: problem details that reveal nothing."""

from __future__ import annotations

import pytest
from django.test import Client

from leaderboard.models import Submission
from tests.leaderboard.api.conftest import API, Sender

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("body", ["{", "[]", "3", '"x"', "[" * 100_000, "\x00", '{"name": NaN}'])
def test_bodies_that_are_not_an_object(as_alice: Client, submission: Submission, body: str) -> None:
    response = as_alice.patch(f"{API}/methods/{submission.method_id}", body, content_type="application/json")
    assert response.status_code in {400, 422}, response.content
    assert response["Content-Type"] == "application/problem+json"


def test_a_broken_multipart_body(as_alice: Client) -> None:
    for content_type, body in [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n'),
        ("multipart/form-data; boundary=x", b"--x\r\n" * 1000),
        ("application/json", b"{}"),
        ("text/plain", b"hello"),
    ]:
        response = as_alice.generic("POST", f"{API}/submissions", body, content_type=content_type)
        assert response.status_code in {400, 422}, (content_type, response.content)
        assert response["Content-Type"] == "application/problem+json"


def test_a_form_of_a_thousand_fields(as_alice: Client) -> None:
    response = as_alice.post(f"{API}/submissions", {f"field{i}": "x" for i in range(1100)})
    assert response.status_code == 400
    large = as_alice.post(f"{API}/submissions", {"benchmark": "x" * (1 << 20), "method": "y" * 4096})
    assert (large.status_code, large.json()["code"]) == (413, "form_too_large")


def test_the_database_is_away(as_alice: Client, monkeypatch: pytest.MonkeyPatch, post: Sender) -> None:
    from django.db import OperationalError

    def away(**_: object) -> None:
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setattr("leaderboard.operations.submissions.submit", away)
    response = post(as_alice)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "10.1.2.3" not in response.content.decode()


def test_our_fault_says_nothing_of_the_inside(
    as_alice: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, post: Sender
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("leaderboard.operations.submissions.submit", broken)
    response = post(as_alice)
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "hunter2" not in response.content.decode()
    reference = response.json()["detail"].split()[-1].rstrip(".")
    assert reference in caplog.text

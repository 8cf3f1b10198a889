"""Which server and which token: from options, from the environment, or from what `poseboard login` stored."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer


@dataclass(frozen=True)
class Credentials:
    """A server's address and the token for it, None where there is none."""

    url: str | None
    token: str | None


def stored_at() -> Path:
    """The file of the user's config folder that `login` writes; POSEBOARD_CONFIG names another folder."""
    folder = os.environ.get("POSEBOARD_CONFIG") or typer.get_app_dir("poseboard")
    return Path(folder) / "credentials.json"


def read(url: str | None = None) -> Credentials:
    """`url`, otherwise POSEBOARD_URL, otherwise the stored one; POSEBOARD_TOKEN, otherwise the stored token.

    A stored token goes only to the server it was stored for. Raises ValueError when the stored file is damaged.
    """
    stored = _stored()
    chosen = (url or os.environ.get("POSEBOARD_URL") or stored.url or "").rstrip("/") or None
    token = os.environ.get("POSEBOARD_TOKEN") or (stored.token if chosen == stored.url else None)
    return Credentials(url=chosen, token=token)


def store(url: str, token: str) -> Path:
    """Write both for this user alone (mode 600), in one step."""
    path = stored_at()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number, name = tempfile.mkstemp(dir=path.parent, prefix="credentials-")  # mode 600 from the start
    temporary = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump({"url": url.rstrip("/"), "token": token}, file)
            file.write("\n")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def _stored() -> Credentials:
    path = stored_at()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Credentials(url=str(stored["url"]), token=str(stored["token"]))
    except FileNotFoundError:
        return Credentials(None, None)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: run `poseboard login` again") from error

"""Who may enter the data folder: nobody else on this machine. Standard library only, for the settings and `serve`.

Hidden annotations, the database and the key that signs sessions lie in it, so it is closed before they are written.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path


class NotPrivate(Exception):
    """Others may enter the folder, or own it, and this process cannot or must not change that."""


def make_private(folder: Path, *, group: bool = True, owner: int | None = None) -> str:
    """Make the folder for its owner alone, or close one that others may enter. Returns a line on what was changed.

    A folder that is open to a group only was shared on purpose, and stays so with `group`. `owner` may have it although
    this process is root. Raises `NotPrivate`, with what to do.
    """
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    mode, ours = stat.S_IMODE(found.st_mode), found.st_uid in {os.geteuid(), owner}
    if os.geteuid() == 0 and not ours:
        # what root writes there, the account that runs the server could not read
        raise NotPrivate(
            f"The data folder {folder} belongs to {name_of(found.st_uid)}: run this command as that account "
            f"(sudo -u {name_of(found.st_uid)} ...), or choose another folder with POSEBOARD_DATA."
        )
    open_to = mode & (0o007 if group or mode & stat.S_ISVTX else 0o077)
    if not open_to:
        return ""
    if not ours:
        raise NotPrivate(
            f"The data folder {folder} is open to other users and belongs to {name_of(found.st_uid)}. "
            f"Ask its owner to run chmod 700 {folder}, or choose another folder with POSEBOARD_DATA."
        )
    try:
        folder.chmod(0o700)
    except OSError as error:
        raise NotPrivate(f"The data folder {folder} is open to other users: {error.strerror}.") from None
    return f"Data folder {folder} was open to other users of this machine; its permissions are now 0700."


def is_shared(folder: Path) -> bool:
    """Whether `serve` arranged it for the web server's and the workers' users, who share a group."""
    mode = folder.stat().st_mode if folder.exists() else 0
    return bool(mode & stat.S_ISVTX and mode & 0o070 and not mode & 0o007)


def name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"

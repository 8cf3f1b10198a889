#!/usr/bin/env python
"""Django's commands, and `serve`, which runs everything on one machine."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")
    from leaderboard.local import programs

    # before the settings are read: they read the environment once
    if sys.argv[1:2] == ["serve"]:
        programs.choose_environment(os.environ)
    else:
        programs.find_broker(os.environ)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()

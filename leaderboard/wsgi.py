"""gunicorn's entry: `gunicorn leaderboard.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")
application = get_wsgi_application()

# Django imports the pages and the API with the first request: about a second of work, for which whoever comes first to
# a new process would wait, on a busy machine for half a minute.
# What rings the workers is imported here too.
import leaderboard.celery  # noqa: E402
import leaderboard.urls  # noqa: E402, F401

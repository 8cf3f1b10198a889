"""gunicorn's entry: `gunicorn leaderboard.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")
application = get_wsgi_application()

# Django imports the pages and the API with the first request to a process: about a second of work, half a minute on a
# busy machine. Imported here, with Celery for the wake-up calls, no request waits for it.
import leaderboard.celery  # noqa: E402
import leaderboard.urls  # noqa: E402, F401

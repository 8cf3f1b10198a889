"""The project's settings with a data folder of its own, a broker within the process, and quick password hashes."""

import os
import tempfile

os.environ.setdefault("POSEBOARD_TEST_FOLDER", tempfile.mkdtemp(prefix="poseboard-tests-"))
os.environ["POSEBOARD_DATA"] = os.environ["POSEBOARD_TEST_FOLDER"]
os.environ["BROKER_URL"] = "memory://"

from leaderboard.settings import *

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# many tests send more than a person would; those of the limits switch them on
RATE_LIMITED = False
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # a file as in production: in memory, threads would share one connection's locks
    DATABASES["default"]["TEST"] = {"NAME": DATA / "test.sqlite3"}

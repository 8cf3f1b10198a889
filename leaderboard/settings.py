"""Every setting comes from the environment; a wrong value raises, it is never guessed. docs/deploy.md has them all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from csp.constants import NONE, SELF


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def flag(name: str, default: bool) -> bool:
    value = text(name, "1" if default else "0").lower()
    if value not in {"0", "1", "false", "true", "no", "yes"}:
        raise ValueError(f"{name}={value!r}: write 1 or 0")
    return value in {"1", "true", "yes"}


def whole(name: str, default: int) -> int:
    value = text(name, str(default))
    if not value.isdigit():
        raise ValueError(f"{name}={value!r}: write a whole number")
    return int(value)


ROOT = Path(__file__).resolve().parent.parent
DATA = Path(text("POSEBOARD_DATA", "data")).resolve()
# blobs by sha256 that the web process may read: uploads and public image lists
UPLOADS_DIR = Path(text("POSEBOARD_UPLOADS", str(DATA / "uploads")))
# hidden annotations and images: only workers mount it
ANNOTATIONS_DIR = Path(text("POSEBOARD_ANNOTATIONS", str(DATA / "annotations")))
# where the web process leaves an organiser's annotation file for a worker to take
DROP_DIR = Path(text("POSEBOARD_DROP", str(DATA / "drop")))
CHECKPOINTS_DIR = Path(text("POSEBOARD_CHECKPOINTS", str(DATA / "checkpoints")))
# what baseline runs that have not ended have predicted: baseline workers only
RUNS_DIR = Path(text("POSEBOARD_RUNS", str(DATA / "runs")))

DEBUG = flag("POSEBOARD_DEBUG", False)
SITE_URL = text("POSEBOARD_URL", "http://127.0.0.1:8000").rstrip("/")
_site = urlsplit(SITE_URL)
if _site.scheme not in {"http", "https"} or not _site.hostname:
    raise ValueError(f"POSEBOARD_URL={SITE_URL!r}: write the address people open, such as https://pose.example.org")
HTTPS = _site.scheme == "https"
LOOPBACK = _site.hostname in {"127.0.0.1", "localhost", "::1"}
DEMO = flag("POSEBOARD_DEMO", False)


def secret_key() -> str:
    """The configured key, or on a laptop one that is drawn at the first start and kept in the data folder."""
    if configured := text("POSEBOARD_SECRET_KEY"):
        return configured
    if not LOOPBACK:
        raise ValueError("POSEBOARD_SECRET_KEY is not set: give it 50 random characters")
    kept = DATA / "secret-key"
    if not kept.exists():
        DATA.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_name(f"secret-key.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            # several processes may start at once: the first link wins and all read the same key
            os.link(fresh, kept)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return kept.read_text()


SECRET_KEY = secret_key()
ALLOWED_HOSTS = [host for host in text("POSEBOARD_HOSTS", _site.hostname).split(",") if host]
if LOOPBACK:
    ALLOWED_HOSTS += ["127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = [SITE_URL]

INSTALLED_APPS = [
    "leaderboard",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "leaderboard.bodies.BodyLimits",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "leaderboard.urls"
WSGI_APPLICATION = "leaderboard.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


def database(url: str) -> dict[str, object]:
    """`postgres://user:password@host:port/name`, or nothing for SQLite in the data folder."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA / "db.sqlite3",
            # Without IMMEDIATE a transaction that reads first cannot wait for a writer, and fails at once.
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError("DATABASE_URL: write postgres://user:password@host:port/name, or leave it out for SQLite")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # a folder (percent-encoded, or ?host=) is a Unix socket
        "HOST": options.pop("host", unquote(parts.hostname or "")),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **options},
    }


DATABASES = {"default": database(text("DATABASE_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

AUTH_USER_MODEL = "leaderboard.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
# without a mail server on a laptop a link could not arrive
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if text("POSEBOARD_EMAIL_HOST") else "none"
ACCOUNT_USERNAME_BLACKLIST = ["admin", "api", "poseboard", "staff"]
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
EMAIL_HOST = text("POSEBOARD_EMAIL_HOST")
EMAIL_PORT = whole("POSEBOARD_EMAIL_PORT", 587)
EMAIL_HOST_USER = text("POSEBOARD_EMAIL_USER")
EMAIL_HOST_PASSWORD = text("POSEBOARD_EMAIL_PASSWORD")
EMAIL_USE_TLS = flag("POSEBOARD_EMAIL_TLS", True)
DEFAULT_FROM_EMAIL = text("POSEBOARD_EMAIL_FROM", f"PoseBoard <noreply@{_site.hostname}>")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = Path(text("POSEBOARD_STATIC", str(DATA / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

UPLOAD_LIMIT = whole("POSEBOARD_UPLOAD_MIB", 64) << 20
# the largest body of a request that sends no file, whatever its address
FORM_LIMIT = whole("POSEBOARD_FORM_KIB", 1024) << 10
# how long a client may take to send a file, and what unfinished uploads may take of the disk, for each web process
UPLOAD_SECONDS = whole("POSEBOARD_UPLOAD_SECONDS", 600)
SPOOL_LIMIT = whole("POSEBOARD_SPOOL_MIB", 1024) << 20
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
FILE_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

SCORING_MEMORY = whole("POSEBOARD_SCORING_MEMORY_MIB", 4096) << 20
SCORING_SECONDS = whole("POSEBOARD_SCORING_SECONDS", 300)
# A claim is lost when its worker has not renewed it for so long; everything else follows from it.
LEASE_SECONDS = whole("POSEBOARD_LEASE_SECONDS", 60)
HEARTBEAT_SECONDS = LEASE_SECONDS / 3
SWEEP_SECONDS = whole("POSEBOARD_SWEEP_SECONDS", 5)
MAX_ATTEMPTS = 3

BROKER_URL = text("BROKER_URL", "redis://127.0.0.1:6379/0")

SECURE_SSL_REDIRECT = HTTPS and flag("POSEBOARD_SSL_REDIRECT", True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": text("POSEBOARD_LOG_LEVEL", "INFO")},
    "loggers": {"django.security.DisallowedHost": {"level": "CRITICAL"}},
}

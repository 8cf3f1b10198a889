"""Every setting comes from the environment; a wrong value raises, it is never guessed. docs/deploy.md has them all."""

from __future__ import annotations

import os
import pwd
import secrets
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from csp.constants import NONE, SELF
from limits import RateLimitItem, parse_many

from leaderboard.files import folders


def text(name: str, default: str = "") -> str:
    """An empty variable is one that was not given: make and Compose pass such on."""
    return os.environ.get(name) or default


def flag(name: str, default: bool) -> bool:
    value = text(name, "1" if default else "0").lower()
    if value not in {"0", "1", "false", "true", "no", "yes"}:
        raise ValueError(f"{name}={value!r}: must be 1 or 0")
    return value in {"1", "true", "yes"}


def whole(name: str, default: int) -> int:
    value = text(name, str(default))
    if not value.isdigit():
        raise ValueError(f"{name}={value!r}: must be a whole number")
    return int(value)


def rates(name: str, default: str) -> list[RateLimitItem]:
    """`20 per minute; 100 per hour`: each of them holds. An empty variable is the default, as Compose passes it on."""
    value = text(name) or default
    try:
        found = parse_many(value)
    except ValueError:
        found = []
    if not found or not all(item.amount for item in found):
        raise ValueError(f"{name}={value!r}: must be in the form {default!r}")
    return found


def proxies(name: str) -> list[IPv4Network | IPv6Network | str]:
    """Addresses and networks, separated by commas, and the word `unix` for whoever reaches the server's Unix socket."""
    found: list[IPv4Network | IPv6Network | str] = []
    for part in text(name).replace(",", " ").split():
        try:
            found.append("unix" if part == "unix" else ip_network(part))
        except ValueError:
            raise ValueError(
                f"{name}: {part!r} is not an address or network: write 192.0.2.7, 10.0.1.0/24 or unix"
            ) from None
    return found


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


def _close_folders() -> None:
    """Before anything is written, by whichever command comes first: the data folder, and what was put elsewhere."""
    # the database or the key lie in the data folder itself; otherwise it holds the other folders, or is not used
    must = not text("DATABASE_URL") or not text("POSEBOARD_SECRET_KEY")
    worker = text("POSEBOARD_WORKER_USER")
    owner = pwd.getpwnam(worker).pw_uid if worker and os.geteuid() == 0 else None
    elsewhere = [UPLOADS_DIR, ANNOTATIONS_DIR, DROP_DIR, CHECKPOINTS_DIR, RUNS_DIR]
    for folder in [DATA, *(each for each in elsewhere if not each.resolve().is_relative_to(DATA))]:
        try:
            if narrowed := folders.make_private(folder.resolve(), owner=owner):
                print(narrowed, file=sys.stderr)
        except folders.NotPrivate as error:
            if must and folder == DATA:
                raise SystemExit(str(error)) from None
        except OSError as error:  # a container sees some of them only, and may write to none
            if must and folder == DATA:
                raise SystemExit(f"The data folder {DATA} cannot be made: {error.strerror}.") from None
    if folders.is_shared(DATA):  # what one of the two users makes, in a shell too, is for the other as well
        os.umask(0o007)


_close_folders()

DEBUG = flag("POSEBOARD_DEBUG", False)
SITE_URL = text("POSEBOARD_URL", "http://127.0.0.1:8000").rstrip("/")
_site = urlsplit(SITE_URL)
if _site.scheme not in {"http", "https"} or not _site.hostname:
    raise ValueError(f"POSEBOARD_URL={SITE_URL!r}: write the address people open, such as https://pose.example.org")
HTTPS = _site.scheme == "https"
LOOPBACK = _site.hostname in {"127.0.0.1", "localhost", "::1"}
DEMO = flag("POSEBOARD_DEMO", False)


def secret_key() -> str:
    """The configured key, or on a laptop one that is drawn at the first start and stored in the data folder."""
    if configured := text("POSEBOARD_SECRET_KEY"):
        return configured
    if not LOOPBACK:
        raise ValueError("POSEBOARD_SECRET_KEY is not set: set it to 50 random characters")
    file = DATA / "secret-key"
    if not file.exists():
        fresh = file.with_name(f"secret-key.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            # several processes may start at once: the first link wins and all read the same key
            os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return file.read_text()


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
    "leaderboard.web.faults.spooled_files_closed",
    "leaderboard.web.bodies.BodyLimits",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    # before the one for CSRF, which reads the body: what is refused is not read
    "leaderboard.access.page_limits.RateLimits",
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
                # FULL: what was committed, and so every submission that was accepted, survives a power cut
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
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
ACCOUNT_ADAPTER = "leaderboard.access.accounts.Adapter"
ACCOUNT_FORMS = {
    "signup": "leaderboard.access.accounts.SignupForm",
    "reset_password": "leaderboard.access.accounts.ResetPasswordForm",
    "change_password": "leaderboard.access.accounts.ChangePasswordForm",
}
# leaderboard.access.rate_limits has them all: allauth's own are counted per process, and respond with 200
ACCOUNT_RATE_LIMITS = False
EMAIL_HOST = text("POSEBOARD_EMAIL_HOST")
EMAIL_PORT = whole("POSEBOARD_EMAIL_PORT", 587)
EMAIL_HOST_USER = text("POSEBOARD_EMAIL_USER")
EMAIL_HOST_PASSWORD = text("POSEBOARD_EMAIL_PASSWORD")
EMAIL_USE_TLS = flag("POSEBOARD_EMAIL_TLS", True)
DEFAULT_FROM_EMAIL = text("POSEBOARD_EMAIL_FROM", f"PoseBoard <noreply@{_site.hostname}>")
# Without a mail server nothing is sent, and nothing is written to the log instead: a link to set a password is a key.
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'dummy'}.EmailBackend"

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
# 0: no limit
PERSON_STORAGE = whole("POSEBOARD_PERSON_STORAGE_MIB", 10_240) << 20
SITE_STORAGE = whole("POSEBOARD_SITE_STORAGE_MIB", 0) << 20
# no upload may take what the database, the logs and the workers need
FREE_DISK = whole("POSEBOARD_FREE_DISK_MIB", 1024) << 20
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

# whose X-Forwarded-For is believed
TRUSTED_PROXIES = proxies("POSEBOARD_TRUSTED_PROXIES")
RATE_LIMITED = flag("POSEBOARD_RATE_LIMITS", True)
RATE_LIMITS = {
    # wrong passwords: of one account from one network; of one account from networks it never signed in from; and from
    # one network for accounts that never signed in from there
    "login": rates("POSEBOARD_LIMIT_LOGIN", "10 per 10 minutes"),
    "login_account": rates("POSEBOARD_LIMIT_LOGIN_ACCOUNT", "50 per 10 minutes"),
    "login_network": rates("POSEBOARD_LIMIT_LOGIN_NETWORK", "100 per hour"),
    # new accounts from one network: a class that signs up in one room has some minutes for it
    "signup": rates("POSEBOARD_LIMIT_SIGNUP", "20 per minute; 100 per hour"),
    # links by e-mail: to one e-mail address, and asked for from one network
    "mail": rates("POSEBOARD_LIMIT_MAIL", "5 per hour"),
    "mail_network": rates("POSEBOARD_LIMIT_MAIL_NETWORK", "30 per hour"),
    # requests to the API: of one user, from one network without a token, and with invalid tokens
    "api": rates("POSEBOARD_LIMIT_API", "1200 per minute"),
    "api_network": rates("POSEBOARD_LIMIT_API_NETWORK", "1200 per minute"),
    "api_invalid": rates("POSEBOARD_LIMIT_API_INVALID", "30 per minute"),
    # files sent by one user, and forms sent by one user, or from one network by people who are not signed in
    "upload": rates("POSEBOARD_LIMIT_UPLOAD", "300 per minute"),
    "form": rates("POSEBOARD_LIMIT_FORM", "300 per minute"),
}
# how long a request may wait for the broker before each process counts the limits for itself
RATE_LIMIT_WAIT = whole("POSEBOARD_LIMIT_WAIT_MS", 50) / 1000

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
    "formatters": {
        "plain": {"()": "leaderboard.logs.WithoutSecrets", "format": "{levelname} {name}: {message}", "style": "{"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": text("POSEBOARD_LOG_LEVEL", "INFO")},
    "loggers": {
        # Django gives these two handlers of their own, which would write an address as it came
        "django": {"handlers": []},
        "django.server": {"handlers": [], "propagate": True},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}

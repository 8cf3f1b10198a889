#!/bin/sh
# Secrets must not be in a Compose file, so they come as files: NAME_FILE=/run/secrets/name becomes NAME.
set -eu
for name in POSEBOARD_SECRET_KEY POSEBOARD_EMAIL_PASSWORD DATABASE_URL BROKER_URL PGPASSWORD; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        value=$(cat "$file")
        export "$name=$value"
    fi
done
exec "$@"

# The web process: pages, API, accounts. No torch, no scipy, and nothing of the hidden annotations.
# Build from the project's root: docker build -f docker/web.Dockerfile .
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS libraries
ARG PIP_OPTIONS=""
WORKDIR /build
# the installed packages depend on these files alone, so a change of the code installs nothing
COPY pyproject.toml constraints.txt README.md LICENSE ./
# hadolint ignore=SC2086
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir ${PIP_OPTIONS} -c constraints.txt ".[server]" \
    && /venv/bin/pip uninstall --yes poseboard pip

FROM ${BASE}
RUN groupadd --gid 10001 poseboard \
    && useradd --uid 10001 --gid poseboard --no-create-home --home-dir /nonexistent poseboard \
    && mkdir -p /data/uploads /data/drop /data/checkpoints \
    && chown -R poseboard:poseboard /data
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    POSEBOARD_DATA=/data POSEBOARD_STATIC=/app/static
COPY --from=libraries /venv /venv
WORKDIR /app
COPY manage.py ./
COPY docker/entrypoint.sh docker/healthcheck.py ./docker/
COPY baselines ./baselines
COPY evaluator ./evaluator
COPY leaderboard ./leaderboard
# compiled here, because the running container can write nothing
RUN python -m compileall -q baselines evaluator leaderboard \
    && POSEBOARD_SECRET_KEY=only-for-this-command POSEBOARD_DATA=/tmp/none python manage.py collectstatic --noinput \
    && rm -rf /tmp/none
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "docker/healthcheck.py"]
ENTRYPOINT ["sh", "docker/entrypoint.sh"]
CMD ["gunicorn", "leaderboard.wsgi", "--worker-class", "leaderboard.web.Worker", "--workers", "2", "--threads", "4", \
     "--worker-connections", "512", "--keep-alive", "75", "--bind", "0.0.0.0:8000", "--worker-tmp-dir", "/dev/shm", \
     "--no-control-socket", "--graceful-timeout", "20"]

# Workers and the scheduler. Two targets: `scoring` (no torch), `baselines` (the reference models, with torch).
# Build from the project's root: docker build -f docker/worker.Dockerfile --target scoring .
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS libraries
ARG PIP_OPTIONS=""
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
# hadolint ignore=SC2086
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir ${PIP_OPTIONS} -c constraints.txt ".[server]" \
    && /venv/bin/pip uninstall --yes poseboard

# PIP_OPTIONS may name an index of CPU or CUDA builds of torch
FROM libraries AS libraries-with-torch
ARG PIP_OPTIONS=""
# hadolint ignore=SC2086
RUN /venv/bin/pip install --no-cache-dir ${PIP_OPTIONS} -c constraints.txt ".[server,baselines]" \
    && /venv/bin/pip uninstall --yes poseboard

# The evaluator's C. The compiler stays here, and an image without the extension is not made.
FROM ${BASE} AS native
ARG PIP_OPTIONS=""
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY evaluator ./evaluator
# hadolint ignore=SC2086
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir ${PIP_OPTIONS} "setuptools>=77" \
    && PYTHONPATH=evaluator/native /venv/bin/python -c "from setuptools import setup; setup()" build_ext --inplace \
    && test -f evaluator/native/extension.abi3.so

FROM ${BASE} AS program
RUN groupadd --gid 10001 poseboard \
    && useradd --uid 10001 --gid poseboard --no-create-home --home-dir /nonexistent poseboard \
    && mkdir -p /data/uploads /data/drop /data/annotations /data/checkpoints /data/runs \
    && chmod 700 /data/annotations \
    && chown -R poseboard:poseboard /data
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    POSEBOARD_DATA=/data POSEBOARD_CHECKPOINTS=/data/checkpoints
WORKDIR /app
COPY manage.py ./
COPY docker/entrypoint.sh ./docker/
COPY baselines ./baselines
COPY evaluator ./evaluator
COPY --from=native /build/evaluator/native/extension.abi3.so ./evaluator/native/
COPY leaderboard ./leaderboard
RUN python3 -m compileall -q baselines evaluator leaderboard
ENTRYPOINT ["sh", "docker/entrypoint.sh"]

FROM program AS baselines
COPY --from=libraries-with-torch /venv /venv
USER 10001
CMD ["celery", "-A", "leaderboard.celery", "worker", "-Q", "baseline", "-P", "prefork", "-c", "1", "-n", "baselines@%h", \
     "--without-gossip", "--without-mingle", "--loglevel", "info"]

FROM program AS scoring
COPY --from=libraries /venv /venv
USER 10001
CMD ["celery", "-A", "leaderboard.celery", "worker", "-Q", "score", "-P", "prefork", "-c", "1", "-n", "scoring@%h", \
     "--without-gossip", "--without-mingle", "--loglevel", "info"]

"""The Celery application: two queues, one scheduled sweep. The broker carries wake-up calls; the rows are the queue."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")

from django.conf import settings

app = Celery("leaderboard")
app.conf.update(
    broker_url=settings.BROKER_URL,
    # results live in the database, so none is sent back
    task_ignore_result=True,
    # the sweep repeats a lost message, so nothing is gained by late acknowledgement
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    # a busy worker takes no message that would wake an idle one
    worker_disable_prefetch=True,
    broker_connection_retry_on_startup=True,
    # nothing waits long for a broker that is away
    broker_transport_options={"socket_connect_timeout": 0.5, "socket_timeout": 10, "retry_on_timeout": False},
    broker_connection_timeout=1,
    task_publish_retry=False,
    task_routes={
        "leaderboard.tasks.score": {"queue": "score"},
        "leaderboard.tasks.check_annotations": {"queue": "score"},
        "leaderboard.tasks.sweep": {"queue": "score"},
        "leaderboard.tasks.collect": {"queue": "score"},
        "leaderboard.tasks.run_baseline": {"queue": "baseline"},
        "leaderboard.tasks.count_costs": {"queue": "baseline"},
        "leaderboard.tasks.collect_runs": {"queue": "baseline"},
    },
    task_default_queue="score",
    beat_schedule={
        "sweep": {
            "task": "leaderboard.tasks.sweep",
            "schedule": settings.SWEEP_SECONDS,
            # a sweep that waited longer than until the next one has nothing left to do
            "options": {"expires": settings.SWEEP_SECONDS},
        },
        "collect": {"task": "leaderboard.tasks.collect", "schedule": 3600, "options": {"expires": 3600}},
        "collect_when_short": {
            "task": "leaderboard.tasks.collect",
            "schedule": 60,
            "kwargs": {"when_short": True},
            "options": {"expires": 60},
        },
        "collect_runs": {"task": "leaderboard.tasks.collect_runs", "schedule": 3600, "options": {"expires": 3600}},
    },
    # a worker process first starts its scoring sandbox
    worker_proc_alive_timeout=60,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    timezone="UTC",
)
app.autodiscover_tasks(["leaderboard"])

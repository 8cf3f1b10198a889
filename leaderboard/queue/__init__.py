"""The work queue: leases on rows, wake-up calls, the list of workers, the clock. May import models and Celery."""

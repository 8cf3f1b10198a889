"""The work queue below the operations: leases on rows, wake-up calls, the list of workers, the database's clock.

May import models and the Celery application.
"""

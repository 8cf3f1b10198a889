"""The sandbox: scorer, zygote, defences, the check of the report. May import the evaluator, no models and no Celery."""

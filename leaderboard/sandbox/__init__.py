"""The sandbox that scores one file: scorer, zygote, defences, the check of the report.

May import the evaluator, and neither models nor Celery: what it is given are paths.
"""

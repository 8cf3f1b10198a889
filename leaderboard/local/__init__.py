"""What `manage.py serve` runs on one machine: supervisor, programs, broker, system users, demonstration.

May import operations, boards and what is below; the supervisor needs the standard library alone.
"""

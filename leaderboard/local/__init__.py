"""What `manage.py serve` starts: supervisor, programs, broker, users, demonstration."""

"""What `manage.py serve` runs: supervisor, programs, broker, users, demonstration. May import the API and below."""

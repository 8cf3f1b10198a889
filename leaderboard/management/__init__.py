"""The operator's commands, `manage.py NAME`: they parse, call operations and print.

May import every room but the web server, the admin and the tasks.
"""

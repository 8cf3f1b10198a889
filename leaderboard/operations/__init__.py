"""Every write, one file per noun. Keywords only; each owns its transaction; what the rules forbid raises `Refused`.

May import boards, queue, models and files; of the sandbox, only the check of its report.
"""

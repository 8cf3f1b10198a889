"""Every write, one file per noun. Keywords only; each owns its transaction; what the rules forbid raises `Refused`.

May import boards, queue and models.
"""

"""Checkpoints: their descriptions, public formats, recognition, registration, download.

May import the registry, models and decode.
"""

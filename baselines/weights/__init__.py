"""Checkpoints: their descriptions, public formats, recognition, registration and download.

May import the registry and what is below it. What a toolkit names and prepares for one model is on that model's card.
"""

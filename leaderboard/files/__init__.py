"""Bytes on disk: files written whole and never replaced, blobs under their sha256, folders closed to others.

May import no other room of the site, and no table.
"""

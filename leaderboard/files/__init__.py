"""Bytes on disk: written whole and never replaced, blobs under their sha256, folders closed to others. No table."""

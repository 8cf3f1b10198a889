"""What a researcher installs: the `poseboard` command, the client of a server, and the server's own `evaluate`.

from poseboard import evaluate
evaluate("coco", "results.json", "annotations.json").scores
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluator import evaluate, validate
    from poseboard.client import Client

__all__ = ["Client", "evaluate", "validate"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: the command line starts without numpy and httpx."""
    if name in {"evaluate", "validate"}:
        import evaluator

        return getattr(evaluator, name)
    if name == "Client":
        from poseboard.client import Client

        return Client
    raise AttributeError(f"module 'poseboard' has no attribute {name!r}")

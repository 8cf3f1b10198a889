"""Where a request comes from: the one place that decides which address is the visitor's."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

log = logging.getLogger(__name__)

UNIX = "unix"
"""The address of whoever reached the server by its Unix socket."""

_said: set[str] = set()


def address(request: HttpRequest) -> str:
    """The visitor's IP address, or `unix`.

    `X-Forwarded-For` is believed only from the proxies of POSEBOARD_TRUSTED_PROXIES, and read from its right end: each
    of them appended the address that connected to it, so the first one that is not trusted is the visitor's. The
    rest was written by the visitor and can be anything.
    """
    peer = _normal(request.META.get("REMOTE_ADDR") or "") or UNIX
    hops = request.headers.get("X-Forwarded-For", "")
    if not _trusted(peer):
        if hops:
            _say_once(peer)
        return peer
    nearest = peer
    for hop in reversed(hops.split(",")):
        found = _normal(hop)
        if found is None:
            break
        nearest = found
        if not _trusted(found):
            break
    return nearest


def network(request: HttpRequest) -> str:
    """What is counted as one visitor: an IPv4 address, or the /64 network that one IPv6 subscriber has for itself."""
    where = address(request)
    if ":" not in where:
        return where
    return str(ip_network((where.partition("%")[0], 64), strict=False))


def _trusted(where: str) -> bool:
    if where == UNIX:
        return UNIX in settings.TRUSTED_PROXIES
    found = ip_address(where)
    return any(found in network for network in settings.TRUSTED_PROXIES if network != UNIX)


def _normal(text: str) -> str | None:
    """An address without port, brackets and the IPv4-in-IPv6 form; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(found)


def _say_once(peer: str) -> None:
    """Help the operator whose proxy is not trusted: all its visitors then count as one."""
    private = peer == UNIX or ip_address(peer).is_private
    if private and peer not in _said and len(_said) < 10:
        _said.add(peer)
        log.warning(
            "%s sent X-Forwarded-For and is not trusted: if it is your proxy, name it in POSEBOARD_TRUSTED_PROXIES",
            peer,
        )

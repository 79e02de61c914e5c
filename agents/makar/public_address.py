"""Requests to public addresses only, so that a page on the web cannot reach into the network of whoever runs this.

Names are resolved here; every address of a name is checked, and the connection goes to a checked address, so that a
name which resolves differently the next time gains nothing. TLS still verifies the name. Redirects are requests too.
"""

import ipaddress
import socket
from collections.abc import Collection

import httpx2

from setaria.agents.exchange import Refused


NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


class PrivateAddress(Refused):
    """A host whose address is not on the public internet."""


class PublicTransport(httpx2.HTTPTransport):
    """Transport of httpx2 that raises `PrivateAddress` before it connects to an address which is not public.

    A proxy would resolve names itself: give this to a client as its `transport`, which then uses no proxy. Connections
    are not kept, since two names may share an address.

    Args:
        allowed: hosts that may have any address, as they are written in addresses of pages.
    """

    def __init__(self, allowed: Collection[str] = ()):
        super().__init__(limits=httpx2.Limits(max_keepalive_connections=0))
        self._allowed = frozenset(host.lower() for host in allowed)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send `request` to an address of its host: the first of each family is tried."""
        host = request.url.raw_host.decode("ascii").lower()
        addresses = _resolve(host)
        if host not in self._allowed:
            for address in addresses:
                if not is_public(address):
                    raise PrivateAddress(f"{host} is at {address}, which is not a public address")
        first: dict[bool, str] = {}
        for address in addresses:
            first.setdefault(":" in address, address)
        *others, last = first.values()
        for address in others:
            try:
                return self._send(request, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return self._send(request, last)

    def _send(self, request: httpx2.Request, address: str) -> httpx2.Response:
        name = {} if address == request.url.host else {"sni_hostname": request.url.raw_host.decode("ascii")}
        return super().handle_request(
            httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # Host still holds the name
                stream=request.stream,
                extensions={**request.extensions, **name},
            )
        )


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; an IPv4 address inside an IPv6 one decides for it.

    Raises:
        ValueError: if it is no IP address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(ip.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _resolve(host: str) -> list[str]:
    """IP addresses of `host`, in the order of the resolver."""
    try:
        found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpx2.ConnectError(f"{host}: {error}") from None
    return [str(address[0]) for *_, address in found]

"""No request leaves for a private address, by whatever name."""

import socket

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_web import send, web

from setaria.agents.makar.public_address import PrivateAddress, PublicTransport, is_public


@pytest.mark.parametrize(
    "address",
    [
        *["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "192.0.2.1"],
        *["192.168.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"],
        *["::", "::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1"],
        *["::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"],  # IPv4 inside IPv6: compatible, mapped
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        *["64:ff9b::7f00:1", "64:ff9b::a01:203"],  # NAT64 of 127.0.0.1 and 10.1.2.3
        *["64:ff9b:1::1", "2001::1"],  # local NAT64, Teredo
    ],
)
def test_private_addresses(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"],
)
def test_public_addresses(address):
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_decides(address):
    inner = address.packed.hex()
    for outer in (f"::ffff:{address}", f"64:ff9b::{inner[:4]}:{inner[4:]}", f"2002:{inner[:4]}:{inner[4:]}::1"):
        assert is_public(outer) == is_public(str(address))


@pytest.fixture
def names(monkeypatch):
    """Addresses by name for the resolver, and which it was asked for; addresses resolve to themselves."""
    known, asked = {}, []

    def getaddrinfo(host, port, *_, **__):
        asked.append(host.decode())
        addresses = known.get(host.decode(), [host.decode()])
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        family = {False: socket.AF_INET, True: socket.AF_INET6}
        return [(family[":" in a], socket.SOCK_STREAM, 6, "", (a, port or 0)) for a in addresses]

    resolve = socket.getaddrinfo
    # Connections go to an address, which the real resolver hands back.
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *a, **k: (
        getaddrinfo(host, port) if isinstance(host, bytes) else resolve(host, port, *a, **k)
    ))  # fmt: skip
    return known, asked


@pytest.fixture
def connected(monkeypatch):
    """Addresses that a connection was opened to."""
    opened, connect = [], socket.create_connection

    def create_connection(address, *args, **kwargs):
        opened.append(address[0])
        return connect(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return opened


def get(url, allowed=()):
    with httpx2.Client(transport=PublicTransport(allowed), timeout=5.0, trust_env=False) as client:
        return client.get(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0", "[::ffff:127.0.0.1]"]
)
def test_loopback_by_any_name_is_refused(connected, host):
    with web(send("secret")) as server:
        with pytest.raises(PrivateAddress, match="which is not a public address"):
            get(f"http://{host}:{server.server_port}/")
        assert server.requests == []
    assert connected == []


def test_one_private_address_among_public_ones_is_enough(names, connected):
    names[0]["mixed.example"] = ["8.8.8.8", "192.168.1.1", "8.8.4.4"]
    with pytest.raises(PrivateAddress, match=r"^mixed.example is at 192.168.1.1"):
        get("http://mixed.example/")
    assert connected == []


def test_the_connection_goes_to_the_address_that_was_checked(names, connected, monkeypatch):
    known, asked = names
    # 127.0.0.2 passes for public here; a second look-up of the name would not reach it.
    monkeypatch.setattr("setaria.agents.makar.public_address.is_public", lambda address: address == "127.0.0.2")
    known["page.example"] = ["127.0.0.2"]
    with web(send("hello"), host="127.0.0.2") as server:
        assert get(f"http://page.example:{server.server_port}/a?b=1").text == "hello"
        path, headers = server.requests[0]
    assert connected == ["127.0.0.2"]
    assert asked == ["page.example"]
    assert (path, headers["Host"]) == ("/a?b=1", f"page.example:{server.server_port}")


def test_the_next_family_is_tried(names, connected, monkeypatch):
    monkeypatch.setattr("setaria.agents.makar.public_address.is_public", lambda _: True)
    with web(send("hello")) as server:
        names[0]["page.example"] = ["::1", "::2", "127.0.0.1"]  # nobody listens at ::1
        assert get(f"http://page.example:{server.server_port}/").text == "hello"
    assert connected == ["::1", "127.0.0.1"]


def test_tls_verifies_the_name_and_not_the_address(names, monkeypatch):
    monkeypatch.setattr("setaria.agents.makar.public_address.is_public", lambda _: True)
    names[0]["page.example"] = ["127.0.0.1"]
    asked = []

    def handle_request(_, request):
        asked.append((str(request.url), request.headers["Host"], request.extensions.get("sni_hostname")))
        return httpx2.Response(200)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", handle_request)
    get("https://page.example/")
    get("https://8.8.8.8/")
    assert asked == [
        ("https://127.0.0.1/", "page.example", "page.example"),
        ("https://8.8.8.8/", "8.8.8.8", None),
    ]


def test_allowed_hosts(names):
    known, _ = names
    known["wiki.example"] = known["other.example"] = ["127.0.0.1"]
    with web(send("hello")) as server:
        assert get(f"http://Wiki.example:{server.server_port}/", allowed=["wiki.Example"]).text == "hello"
        with pytest.raises(PrivateAddress):
            get(f"http://other.example:{server.server_port}/", allowed=["wiki.example"])


def test_unknown_names(names):
    names[0]["gone.example"] = []
    with pytest.raises(httpx2.ConnectError, match=r"gone.example: .*not known"):
        get("http://gone.example/")

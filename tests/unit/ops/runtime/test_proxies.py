"""Who asked, when a proxy stands in between: nobody can say that for himself."""

from ipaddress import ip_network

import pytest

from ops.runtime.proxies import client
from ops.runtime.settings import Configuration, ConfigurationError

OURS = tuple(ip_network(text) for text in ("10.0.0.0/24", "192.0.2.1/32", "2001:db8:1::/48"))
PEER = "10.0.0.2"


@pytest.mark.parametrize(
    ("peer", "said", "found"),
    [
        # no proxy, or none that we know
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.1.2", ["198.51.100.1"], "10.0.1.2"),
        ("2001:db8:2::1", ["198.51.100.1"], "2001:db8:2::1"),
        (None, ["198.51.100.1"], None),
        ("", ["198.51.100.1"], None),
        # one proxy, with and without what a caller made up
        (PEER, ["198.51.100.1"], "198.51.100.1"),
        (PEER, ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        (PEER, ["10.0.0.7, 198.51.100.1"], "198.51.100.1"),
        (PEER, ["junk, <script>, 198.51.100.1"], "198.51.100.1"),
        (PEER, ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        (PEER, [], PEER),
        # several of ours, one behind the other
        (PEER, ["198.51.100.1, 192.0.2.1, 10.0.0.9"], "198.51.100.1"),
        (PEER, ["1.2.3.4, 198.51.100.1, 192.0.2.1"], "198.51.100.1"),
        (PEER, ["198.51.100.1, 198.51.100.2, 192.0.2.1"], "198.51.100.2"),
        (PEER, ["10.0.0.3, 10.0.0.4"], "10.0.0.3"),
        # IPv6, ports, and IPv4 inside of IPv6, as proxies write them
        ("2001:db8:1::5", ["2001:db8:2::7"], "2001:db8:2::7"),
        (PEER, ["2001:DB8:2:0:0::7"], "2001:db8:2::7"),
        (PEER, ["[2001:db8:2::7]:4711"], "2001:db8:2::7"),
        (PEER, ["[2001:db8:2::7]"], "2001:db8:2::7"),
        (PEER, ["198.51.100.1:4711"], "198.51.100.1"),
        (PEER, ["198.51.100.1:4711,192.0.2.1:80"], "198.51.100.1"),
        ("::ffff:10.0.0.2", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fe80::1%eth0", ["198.51.100.1"], "fe80::1"),
        # junk where our proxy should have written: its own address is the best there is
        (PEER, ["junk"], PEER),
        (PEER, [""], PEER),
        (PEER, [","], PEER),
        (PEER, ["198.51.100.1, "], PEER),
        (PEER, ["unknown"], PEER),
        (PEER, ["198.51.100.1, _hidden, 192.0.2.1"], PEER),
        (PEER, ["198.51.100.256"], PEER),
        (PEER, ["198.51.100.1 203.0.113.1"], PEER),
        (PEER, ["0x7f.1"], PEER),
        (PEER, ["[2001:db8"], PEER),
        (PEER, ["9" * 5000], PEER),
    ],
)
def test_address_is_the_one_that_a_proxy_of_ours_saw(peer: str | None, said: list[str], found: str | None) -> None:
    assert client(peer, said, OURS) == found


def test_without_proxies_nobody_is_believed() -> None:
    assert client("127.0.0.1", ["198.51.100.1"], ()) == "127.0.0.1"


def test_networks_are_read_from_one_variable_and_junk_is_named_and_not_shown() -> None:
    given = {"DATABASE_URL": "postgresql://h/d", "LANDFALL_TRUSTED_PROXIES": " 10.0.0.5 ,10.1.2.3/16,, 2001:db8::/32"}
    loaded = Configuration.load([], given).settings
    assert [str(network) for network in loaded.landfall_trusted_proxies] == [
        "10.0.0.5/32",
        "10.1.0.0/16",
        "2001:db8::/32",
    ]
    with pytest.raises(ConfigurationError) as caught:
        Configuration.load([], given | {"LANDFALL_TRUSTED_PROXIES": "canary"})
    assert "LANDFALL_TRUSTED_PROXIES cannot be used" in str(caught.value)
    assert "canary" not in str(caught.value)

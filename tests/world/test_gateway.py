"""A network has a name that is the same the next time, another elsewhere, and tells nothing."""

import socket

from ramson.world.real import gateway, world

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
HOME = (
    "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)
DOCKER = "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
V6 = "0" * 32 + " 00 " + "0" * 32 + " 00 fe80000000000000000000000000000{} 00000400 00000001 00000000 00000003 wlan0\n"


def name(tmp_path, v4="", v6=""):
    (tmp_path / "v4").write_text(HEAD + v4)
    (tmp_path / "v6").write_text(v6)
    return gateway.fingerprint(tmp_path / "v4", tmp_path / "v6")


def test_the_same_network_has_the_same_name(tmp_path):
    assert name(tmp_path, HOME) == name(tmp_path, HOME) != ""
    assert name(tmp_path, HOME + DOCKER) == name(tmp_path, DOCKER + HOME) == name(tmp_path, HOME)  # only ways out count


def test_another_gateway_network_or_interface_is_another_network(tmp_path):
    others = [HOME.replace("0101A8C0", "FE01A8C0"), HOME.replace("0001A8C0", "0000000A"), HOME.replace("eth0", "wlan0")]
    assert len({name(tmp_path, each) for each in [HOME, *others]}) == 4


def test_ipv6_counts_too(tmp_path):
    assert (
        len({name(tmp_path, "", V6.format(1)), name(tmp_path, "", V6.format(2)), name(tmp_path, HOME, V6.format(1))})
        == 3
    )


def test_no_way_out_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "_towards_nowhere", list)
    assert name(tmp_path, DOCKER) == ""
    assert gateway.fingerprint(tmp_path / "no", tmp_path / "no") == ""


def test_where_the_system_does_not_tell_the_own_address_has_to_do(tmp_path, monkeypatch):
    class Datagram(socket.socket):
        def connect(self, address):
            assert address == ("192.0.2.1", 9)  # of a datagram socket: nothing is sent

        def getsockname(self):
            return ("10.1.2.3", 4)

    monkeypatch.setattr(gateway.socket, "socket", Datagram)
    assert len(gateway.fingerprint(tmp_path / "no", tmp_path / "no")) == 32


def test_it_shows_no_address(tmp_path):
    shown = name(tmp_path, HOME)
    assert len(shown) == 32
    assert "A8C0" not in shown.upper()
    assert world().outlets.gateway() == gateway.fingerprint()

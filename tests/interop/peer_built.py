"""Packets as scapy and dpkt build them, with their fields at will, for hypothesis."""

from __future__ import annotations

from functools import cache, reduce
from operator import truediv
from typing import Any

import dpkt
from hypothesis import strategies as st
from peer_packets import IP4, IP6, MAC, PAYLOAD, PORT, U8, U16, U32, bits

from rawproto.wire.address import ip_text, mac_text

__all__ = ["dpkt_packets", "scapy_packets"]

MACS, IP4S, IP6S = MAC.map(mac_text), IP4.map(ip_text), IP6.map(ip_text)
ZEROS = st.just(0)
TCP_CHOICES = st.lists(
    st.one_of(
        st.tuples(st.just("MSS"), U16),
        st.tuples(st.just("WScale"), st.integers(0, 14)),
        st.tuples(st.just("Timestamp"), st.tuples(U32, U32)),
        st.tuples(st.just("SAck"), st.tuples(U32, U32)),
        st.just(("SAckOK", b"")),
        st.just(("NOP", None)),
    ),
    max_size=3,
)


@cache
def scapy_packets(scapy: Any) -> st.SearchStrategy[Any]:
    """Ethernet frames with what scapy knows in them; lengths and checksums are scapy's to compute."""
    router_alert = scapy.IPOption_Router_Alert
    ip_options = st.lists(st.one_of(st.builds(router_alert, alert=U16), st.just(scapy.IPOption_NOP())), max_size=2)
    ether = st.builds(scapy.Ether, dst=MACS, src=MACS)
    tag = st.builds(scapy.Dot1Q, prio=bits(3), dei=bits(1), vlan=bits(12))
    outer = st.builds(scapy.Dot1AD, prio=bits(3), dei=bits(1), vlan=bits(12))
    flags = st.sampled_from((0, 2, 4))
    ip = st.builds(scapy.IP, tos=U8, id=U16, flags=flags, ttl=U8, src=IP4S, dst=IP4S, options=ip_options)
    ip6 = st.builds(scapy.IPv6, tc=U8, fl=bits(20), hlim=U8, src=IP6S, dst=IP6S)
    extension = st.one_of(
        st.builds(scapy.IPv6ExtHdrHopByHop, options=st.just([scapy.RouterAlert(value=0)])),
        st.builds(scapy.IPv6ExtHdrDestOpt, options=st.lists(st.builds(scapy.HAO, hoa=IP6S), max_size=1)),
        st.builds(scapy.IPv6ExtHdrFragment, id=U32),
        st.builds(scapy.IPv6ExtHdrRouting, segleft=ZEROS, addresses=st.lists(IP6S, max_size=2)),
        st.builds(scapy.IPv6ExtHdrSegmentRouting, addresses=st.lists(IP6S, min_size=2, max_size=3), tag=U16),
    )
    tcp = st.builds(
        scapy.TCP,
        sport=PORT,
        dport=PORT,
        seq=U32,
        ack=U32,
        reserved=bits(3),
        flags=bits(9),
        window=U16,
        urgptr=U16,
        options=TCP_CHOICES,
    )
    udp = st.builds(scapy.UDP, sport=PORT, dport=PORT)
    raw = st.builds(scapy.Raw, st.binary(min_size=1, max_size=20))
    above = [(tcp, raw), (tcp,), (udp, raw), (udp,)]
    icmp = [
        (st.builds(scapy.ICMP, type=st.sampled_from((0, 8)), id=U16, seq=U16), raw),
        (st.builds(scapy.ICMP, type=st.sampled_from((13, 14)), ts_ori=U32, ts_rx=U32, ts_tx=U32),),
        (st.builds(scapy.ICMP, type=st.just(3), code=st.just(4), nexthopmtu=U16), ip, udp, raw),
        (st.builds(scapy.ICMP, type=st.just(5), code=bits(2), gw=IP4S), ip, udp, raw),
        (st.builds(scapy.ICMP, type=st.just(11), code=bits(1)), ip, udp, raw),
        (st.builds(scapy.ICMP, type=st.just(12), ptr=U8), ip, udp, raw),
    ]
    link_address = st.builds(scapy.ICMPv6NDOptSrcLLAddr, lladdr=MACS)
    icmp6 = [
        (st.builds(scapy.ICMPv6EchoRequest, id=U16, seq=U16, data=st.binary(max_size=20)),),
        (st.builds(scapy.ICMPv6ND_NS, tgt=IP6S), link_address),
        (st.builds(scapy.ICMPv6ND_NA, R=bits(1), S=bits(1), O=bits(1), tgt=IP6S), link_address),
        (st.builds(scapy.ICMPv6ND_RS), link_address),
        (
            st.builds(scapy.ICMPv6ND_RA, chlim=U8, M=bits(1), O=bits(1), prf=bits(2), routerlifetime=U16),
            st.builds(scapy.ICMPv6NDOptPrefixInfo, prefix=IP6S, prefixlen=st.integers(0, 128)),
            st.builds(scapy.ICMPv6NDOptMTU, mtu=U32),
        ),
        (st.builds(scapy.ICMPv6ND_Redirect, tgt=IP6S, dst=IP6S),),
        (st.builds(scapy.ICMPv6PacketTooBig, mtu=U32), ip6, udp, raw),
        (st.builds(scapy.ICMPv6DestUnreach, code=st.integers(0, 4)), ip6, udp, raw),
        (st.builds(scapy.ICMPv6TimeExceeded, code=bits(1)), ip6, udp, raw),
        (st.builds(scapy.ICMPv6ParamProblem, code=st.integers(0, 2), ptr=U32), ip6, udp, raw),
        (st.builds(scapy.ICMPv6MLReport, mladdr=IP6S),),
        (st.builds(scapy.ICMPv6MLQuery2, mladdr=IP6S, S=bits(1), QRV=bits(3), sources=st.lists(IP6S, max_size=2)),),
        (
            st.builds(
                scapy.ICMPv6MLReport2,
                records=st.lists(
                    st.builds(scapy.ICMPv6MLDMultAddrRec, rtype=st.integers(1, 6), dst=IP6S, sources=st.lists(IP6S)),
                    max_size=2,
                ),
            ),
        ),
    ]
    arp = st.builds(
        scapy.ARP,
        hwlen=st.just(6),
        plen=st.just(4),
        op=st.integers(1, 2),
        hwsrc=MACS,
        psrc=IP4S,
        hwdst=MACS,
        pdst=IP4S,
    )
    tails: list[tuple[Any, ...]] = [(arp,)]
    tails += [(ip, *each) for each in above + icmp]
    tails += [(ip6, *each) for each in above + icmp6]
    tails += [(ip6, extension, *each) for each in above + icmp6]
    tails += [(ip, ip6, *each) for each in above] + [(ip6, ip, *each) for each in above]
    heads: list[tuple[Any, ...]] = [(ether,), (ether,), (ether, tag), (ether, outer, tag), (ether, tag, tag)]
    stacks = st.tuples(st.sampled_from(range(len(heads))), st.sampled_from(range(len(tails))))
    chosen = stacks.flatmap(lambda at: st.tuples(*heads[at[0]], *tails[at[1]]))
    return chosen.map(lambda layers: reduce(truediv, layers))


def _ip(upper: Any, **given: Any) -> Any:
    return dpkt.ip.IP(data=upper, **given)


def _ip6(upper: Any, **given: Any) -> Any:
    packet = dpkt.ip6.IP6(data=upper, plen=len(upper), **given)
    packet.extension_hdrs = {}
    return packet


def _udp(**given: Any) -> Any:
    udp = dpkt.udp.UDP(**given)
    udp.ulen = len(udp)
    return udp


def _tcp(opts: bytes, **given: Any) -> Any:
    tcp = dpkt.tcp.TCP(opts=opts, **given)
    tcp.off = 5 + len(opts) // 4
    return tcp


def _arp(**given: Any) -> Any:
    return dpkt.arp.ARP(**given)


def _icmp(kind: int, **given: Any) -> Any:
    return dpkt.icmp.ICMP(type=kind, data=dpkt.icmp.ICMP.Echo(**given))


def _icmp6(kind: int, **given: Any) -> Any:
    return dpkt.icmp6.ICMP6(type=kind, data=dpkt.icmp6.ICMP6.Echo(**given))


def dpkt_packets() -> st.SearchStrategy[Any]:
    """Ethernet frames with what dpkt knows in them; checksums, and IPv4's length, are dpkt's to compute."""
    options = st.sampled_from((b"", b"\2\4\5\xb4", b"\1\1\x08\x0a" + bytes(8), b"\4\2\1\3\3\7\0\0"))
    ports: dict[str, Any] = {"sport": PORT, "dport": PORT, "data": PAYLOAD}
    tcp = st.builds(_tcp, options, seq=U32, ack=U32, flags=bits(9), win=U16, urp=U16, **ports)
    udp = st.builds(_udp, **ports)
    network: dict[str, Any] = {"tos": U8, "id": U16, "ttl": U8, "src": IP4, "dst": IP4}
    network6: dict[str, Any] = {"fc": U8, "flow": bits(20), "hlim": U8, "src": IP6, "dst": IP6}
    echo: dict[str, Any] = {"id": U16, "seq": U16, "data": PAYLOAD}
    packets = [
        (0x0800, st.builds(_ip, tcp, p=st.just(6), df=bits(1), **network)),
        (0x0800, st.builds(_ip, udp, p=st.just(17), df=bits(1), **network)),
        (0x0800, st.builds(_ip, st.builds(_icmp, st.sampled_from((0, 8)), **echo), p=st.just(1), **network)),
        (0x86DD, st.builds(_ip6, tcp, nxt=st.just(6), **network6)),
        (0x86DD, st.builds(_ip6, udp, nxt=st.just(17), **network6)),
        (0x86DD, st.builds(_ip6, st.builds(_icmp6, st.sampled_from((128, 129)), **echo), nxt=st.just(58), **network6)),
        (0x0806, st.builds(_arp, op=st.integers(1, 2), sha=MAC, spa=IP4, tha=MAC, tpa=IP4)),
    ]
    frames = [
        st.builds(dpkt.ethernet.Ethernet, dst=MAC, src=MAC, type=st.just(kind), data=data) for kind, data in packets
    ]
    return st.one_of(frames)

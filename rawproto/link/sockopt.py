"""The kernel's socket constants that Python's `socket` module lacks, in one place.

Each group names the header of Linux's user API (`include/uapi/`) that the numbers come from. They are part of
the kernel's ABI and are the same on x86, ARM, RISC-V and s390 (alpha, mips, parisc and sparc number some of the
SO_ options differently and are not served here). What `socket` does have is taken from there.
"""

from __future__ import annotations

from typing import Final

# --- asm-generic/socket.h: level SOL_SOCKET -----------------------------------------------------------------
SO_ATTACH_FILTER: Final = 26
SO_SNDBUFFORCE: Final = 32
"""Like SO_SNDBUF but beyond net.core.wmem_max; needs CAP_NET_ADMIN."""
SO_RCVBUFFORCE: Final = 33
"""Like SO_RCVBUF but beyond net.core.rmem_max; needs CAP_NET_ADMIN in the first user namespace."""
SO_TIMESTAMPNS: Final = 35
"""Ancillary data with the time of arrival, as a `struct timespec` of CLOCK_REALTIME."""
SCM_TIMESTAMPNS: Final = SO_TIMESTAMPNS

# --- linux/socket.h: socket levels --------------------------------------------------------------------------
SOL_IPV6: Final = 41
SOL_UDP: Final = 17
SOL_PACKET: Final = 263

# --- linux/if_ether.h: protocols of AF_PACKET ---------------------------------------------------------------
ETH_P_ALL: Final = 0x0003
ETH_P_8021Q: Final = 0x8100

# --- linux/if_packet.h: sockaddr_ll.sll_pkttype -------------------------------------------------------------
PACKET_HOST: Final = 0
PACKET_OTHERHOST: Final = 3
PACKET_OUTGOING: Final = 4

# --- linux/if_packet.h: level SOL_PACKET --------------------------------------------------------------------
PACKET_ADD_MEMBERSHIP: Final = 1
PACKET_RX_RING: Final = 5
PACKET_STATISTICS: Final = 6
PACKET_AUXDATA: Final = 8
PACKET_VERSION: Final = 10
PACKET_RESERVE: Final = 12
PACKET_TX_RING: Final = 13
PACKET_VNET_HDR: Final = 15
PACKET_TIMESTAMP: Final = 17
PACKET_FANOUT: Final = 18
PACKET_QDISC_BYPASS: Final = 20
PACKET_IGNORE_OUTGOING: Final = 23
PACKET_MR_PROMISC: Final = 1

# --- linux/if_packet.h: enum tpacket_versions ---------------------------------------------------------------
TPACKET_V1: Final = 0
TPACKET_V2: Final = 1
TPACKET_V3: Final = 2
TPACKET_ALIGNMENT: Final = 16
TPACKET2_HDRLEN: Final = 52
"""`struct tpacket2_hdr` (32 bytes) and the `struct sockaddr_ll` (20) behind it."""

# --- linux/if_packet.h: bits of tp_status -------------------------------------------------------------------
TP_STATUS_KERNEL: Final = 0
TP_STATUS_USER: Final = 1 << 0
TP_STATUS_COPY: Final = 1 << 1
TP_STATUS_LOSING: Final = 1 << 2
TP_STATUS_CSUMNOTREADY: Final = 1 << 3
"""The transport checksum was left for hardware to fill in."""
TP_STATUS_VLAN_VALID: Final = 1 << 4
TP_STATUS_BLK_TMO: Final = 1 << 5
TP_STATUS_VLAN_TPID_VALID: Final = 1 << 6
TP_STATUS_CSUM_VALID: Final = 1 << 7
"""The kernel or the card has checked the transport checksum."""

# --- linux/in.h: level IPPROTO_IP ---------------------------------------------------------------------------
IP_MTU_DISCOVER: Final = 10
IP_NODEFRAG: Final = 22
IP_RECVERR: Final = 11
IP_PMTUDISC_DO: Final = 2
"""Set don't-fragment and obey the path MTU that ICMP reports."""
IP_PMTUDISC_PROBE: Final = 3
"""Set don't-fragment and ignore the path MTU that ICMP reports: only the interface's MTU limits."""

# --- linux/in6.h: level SOL_IPV6 ----------------------------------------------------------------------------
IPV6_FLOWINFO: Final = 11
"""Ancillary data with the first word of the IPv6 header: traffic class and flow label."""
IPV6_MTU_DISCOVER: Final = 23
IPV6_RECVERR: Final = 25
IPV6_HDRINCL: Final = 36
IPV6_PMTUDISC_DO: Final = 2
IPV6_PMTUDISC_PROBE: Final = 3

# --- linux/udp.h: level SOL_UDP -----------------------------------------------------------------------------
UDP_SEGMENT: Final = 103
"""Cut what is sent into datagrams of this length (generic segmentation offload)."""
UDP_GRO: Final = 104
"""Give runs of equal datagrams in one call; ancillary data holds their length."""
UDP_MAX_SEGMENTS: Final = 64
"""linux/udp.h, not user API: 64 until Linux 6.8, 128 since. The lower one works everywhere."""

# --- linux/errqueue.h: sock_extended_err.ee_origin ----------------------------------------------------------
SO_EE_ORIGIN_LOCAL: Final = 1
SO_EE_ORIGIN_ICMP: Final = 2
SO_EE_ORIGIN_ICMP6: Final = 3

# --- linux/sockios.h: ioctl requests, and linux/if.h: interface flags ---------------------------------------
SIOCGIFCONF: Final = 0x8912
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
SIOCGIFMTU: Final = 0x8921
SIOCGIFHWADDR: Final = 0x8927
IFF_UP: Final = 1 << 0
IFF_LOOPBACK: Final = 1 << 3
IFF_NOARP: Final = 1 << 7

# --- linux/sched.h: what unshare(2) and setns(2) take -------------------------------------------------------
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

# --- linux/filter.h: where a filter finds what is not in the bytes that it sees -----------------------------
SKF_AD_OFF: Final = 0xFFFF_F000
"""-0x1000 as the kernel writes it: loads from here on ask for what the kernel knows beside the frame."""
SKF_AD_VLAN_TAG: Final = 44
SKF_AD_VLAN_TAG_PRESENT: Final = 48
SKF_AD_VLAN_TPID: Final = 60
SKF_NET_OFF: Final = 0xFFF0_0000
"""-0x100000: loads from here on count from the network header."""

# --- linux/if_ether.h: the tag of a provider ----------------------------------------------------------------
ETH_P_8021AD: Final = 0x88A8

# --- linux/if_tun.h: TUN and TAP ----------------------------------------------------------------------------
TUNSETIFF: Final = 0x400454CA
IFF_TUN: Final = 0x0001
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000
"""No four bytes of flags and protocol before each packet."""

# --- asm-generic/socket.h, linux/if_packet.h: what AF_PACKET sockets in a group need ------------------------
SO_DETACH_FILTER: Final = 27
PACKET_DROP_MEMBERSHIP: Final = 2
PACKET_FANOUT_HASH: Final = 0
PACKET_FANOUT_LB: Final = 1
PACKET_FANOUT_CPU: Final = 2
PACKET_FANOUT_ROLLOVER: Final = 3
PACKET_FANOUT_RND: Final = 4
PACKET_FANOUT_QM: Final = 5
PACKET_FANOUT_FLAG_IGNORE_OUTGOING: Final = 0x4000
"""A group has a hook of its own, for which PACKET_IGNORE_OUTGOING of its sockets does not count."""

# --- linux/if_packet.h: bits of tp_status in a ring for sending ---------------------------------------------
TP_STATUS_AVAILABLE: Final = 0
TP_STATUS_SEND_REQUEST: Final = 1 << 0
TP_STATUS_SENDING: Final = 1 << 1
TP_STATUS_WRONG_FORMAT: Final = 1 << 2

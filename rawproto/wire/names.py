"""What numbers are called: EtherTypes, IP protocols, ports, kinds of hardware.

For people to read: nothing is decided by it. A number that is not listed has no name and is shown as it is. IANA's
registries have thousands of entries: here are all IP protocols, and of the ports those that one meets.
"""

from __future__ import annotations

__all__ = ["ETHERTYPE_NAMES", "HARDWARE_NAMES", "IP_PROTOCOL_NAMES", "PORT_NAMES"]


def _listed(text: str) -> dict[int, str]:
    """From "80 http; 443 https": numbers and names."""
    pairs = (entry.strip().split(" ", 1) for entry in text.split(";"))
    return {int(number, 0): name for number, name in pairs}


ETHERTYPE_NAMES = _listed(
    "0x0800 IPv4; 0x0806 ARP; 0x0842 wake-on-LAN; 0x22EA SRP; 0x22F0 AVTP; 0x22F3 TRILL; 0x6002 DEC MOP; "
    "0x6003 DECnet; 0x8035 RARP; 0x809B AppleTalk; 0x80F3 AARP; 0x8100 VLAN; 0x8137 IPX; 0x86DD IPv6; "
    "0x8808 flow control; 0x8809 slow protocols; 0x8847 MPLS; 0x8848 MPLS multicast; 0x8863 PPPoE discovery; "
    "0x8864 PPPoE session; 0x886D Intel ANS; 0x887B HomePlug; 0x888E EAPOL; 0x8892 PROFINET; "
    "0x88A2 ATA over Ethernet; 0x88A4 EtherCAT; 0x88A8 VLAN (provider); 0x88AB Powerlink; 0x88B5 experimental 1; "
    "0x88B6 experimental 2; 0x88B8 GOOSE; 0x88CC LLDP; 0x88E1 HomePlug AV; 0x88E3 MRP; 0x88E5 MACsec; "
    "0x88E7 provider backbone; 0x88F5 MVRP; 0x88F7 PTP; 0x88FB PRP; 0x8902 CFM; 0x8906 FCoE; 0x8914 FIP; "
    "0x8915 RoCE; 0x892F HSR; 0x893A IEEE 1905; 0x894F NSH; 0x9000 loopback test; 0x9100 VLAN (old provider); "
    "0xF1C1 redundancy tag"
)
"""IEEE's public list of EtherTypes."""

IP_PROTOCOL_NAMES = _listed(
    "0 hop-by-hop options; 1 ICMP; 2 IGMP; 3 GGP; 4 IPv4; 5 ST; 6 TCP; 7 CBT; 8 EGP; 9 IGP; 10 BBN-RCC-MON; "
    "11 NVP-II; 12 PUP; 13 ARGUS; 14 EMCON; 15 XNET; 16 CHAOS; 17 UDP; 18 MUX; 19 DCN-MEAS; 20 HMP; 21 PRM; "
    "22 XNS-IDP; 23 TRUNK-1; 24 TRUNK-2; 25 LEAF-1; 26 LEAF-2; 27 RDP; 28 IRTP; 29 ISO-TP4; 30 NETBLT; 31 MFE-NSP; "
    "32 MERIT-INP; 33 DCCP; 34 3PC; 35 IDPR; 36 XTP; 37 DDP; 38 IDPR-CMTP; 39 TP++; 40 IL; 41 IPv6; 42 SDRP; "
    "43 routing; 44 fragment; 45 IDRP; 46 RSVP; 47 GRE; 48 DSR; 49 BNA; 50 ESP; 51 AH; 52 I-NLSP; 53 SWIPE; 54 NARP; "
    "55 Min-IPv4; 56 TLSP; 57 SKIP; 58 ICMPv6; 59 no next header; 60 destination options; "
    "61 any host internal protocol; 62 CFTP; 63 any local network; 64 SAT-EXPAK; 65 KRYPTOLAN; 66 RVD; 67 IPPC; "
    "68 any distributed file system; 69 SAT-MON; 70 VISA; 71 IPCV; 72 CPNX; 73 CPHB; 74 WSN; 75 PVP; 76 BR-SAT-MON; "
    "77 SUN-ND; 78 WB-MON; 79 WB-EXPAK; 80 ISO-IP; 81 VMTP; 82 SECURE-VMTP; 83 VINES; 84 IPTM; 85 NSFNET-IGP; "
    "86 DGP; 87 TCF; 88 EIGRP; 89 OSPF; 90 Sprite-RPC; 91 LARP; 92 MTP; 93 AX.25; 94 IPIP; 95 MICP; 96 SCC-SP; "
    "97 EtherIP; 98 ENCAP; 99 any private encryption; 100 GMTP; 101 IFMP; 102 PNNI; 103 PIM; 104 ARIS; 105 SCPS; "
    "106 QNX; 107 A/N; 108 IPComp; 109 SNP; 110 Compaq-Peer; 111 IPX-in-IP; 112 VRRP; 113 PGM; "
    "114 any 0-hop protocol; 115 L2TP; 116 DDX; 117 IATP; 118 STP; 119 SRP; 120 UTI; 121 SMP; 122 SM; 123 PTP; "
    "124 ISIS over IPv4; 125 FIRE; 126 CRTP; 127 CRUDP; 128 SSCOPMCE; 129 IPLT; 130 SPS; 131 PIPE; 132 SCTP; 133 FC; "
    "134 RSVP-E2E-IGNORE; 135 mobility; 136 UDP-Lite; 137 MPLS-in-IP; 138 manet; 139 HIP; 140 Shim6; 141 WESP; "
    "142 ROHC; 143 Ethernet; 144 AGGFRAG; 145 NSH; 253 RDT; 254 experimental 2; 255 reserved"
)
"""IANA's "Assigned Internet Protocol Numbers"; 253, for experiments (RFC 3692), is RDT's here."""

PORT_NAMES = _listed(
    "7 echo; 9 discard; 13 daytime; 17 qotd; 19 chargen; 20 ftp-data; 21 ftp; 22 ssh; 23 telnet; 25 smtp; 37 time; "
    "43 whois; 49 tacacs; 53 domain; 67 bootps; 68 bootpc; 69 tftp; 70 gopher; 79 finger; 80 http; 88 kerberos; "
    "102 iso-tsap; 109 pop2; 110 pop3; 111 sunrpc; 113 auth; 119 nntp; 123 ntp; 135 epmap; 137 netbios-ns; "
    "138 netbios-dgm; 139 netbios-ssn; 143 imap; 161 snmp; 162 snmptrap; 177 xdmcp; 179 bgp; 194 irc; 264 bgmp; "
    "319 ptp-event; 320 ptp-general; 389 ldap; 427 svrloc; 434 mobile-ip; 443 https; 445 microsoft-ds; 464 kpasswd; "
    "465 submissions; 496 pim-rp-disc; 500 isakmp; 502 mbap; 512 exec; 513 login; 514 syslog; 515 printer; 517 talk; "
    "520 router; 521 ripng; 530 courier; 540 uucp; 546 dhcpv6-client; 547 dhcpv6-server; 548 afpovertcp; 554 rtsp; "
    "563 nntps; 587 submission; 623 asf-rmcp; 631 ipp; 636 ldaps; 639 msdp; 646 ldp; 694 ha-cluster; "
    "749 kerberos-adm; 830 netconf-ssh; 853 domain-s; 860 iscsi; 873 rsync; 989 ftps-data; 990 ftps; 992 telnets; "
    "993 imaps; 995 pop3s; 1080 socks; 1194 openvpn; 1433 ms-sql-s; 1434 ms-sql-m; 1521 oracle; 1645 radius-old; "
    "1701 l2tp; 1719 h323gatestat; 1720 h323hostcall; 1723 pptp; 1812 radius; 1813 radius-acct; 1883 mqtt; "
    "1900 ssdp; 1985 hsrp; 2000 sccp; 2049 nfs; 2055 netflow; 2123 gtp-control; 2152 gtp-user; 2181 zookeeper; "
    "2375 docker; 2376 docker-s; 2379 etcd-client; 2380 etcd-server; 2427 mgcp; 3020 cifs; 3128 proxy; "
    "3260 iscsi-target; 3268 msft-gc; 3306 mysql; 3389 ms-wbt-server; 3478 stun; 3544 teredo; 3784 bfd-control; "
    "3785 bfd-echo; 3868 diameter; 4500 ipsec-nat-t; 4739 ipfix; 4789 vxlan; 5004 rtp; 5005 rtcp; 5060 sip; "
    "5061 sips; 5201 iperf3; 5222 xmpp-client; 5269 xmpp-server; 5349 stuns; 5353 mdns; 5355 llmnr; 5432 postgresql; "
    "5671 amqps; 5672 amqp; 5683 coap; 5684 coaps; 5900 rfb; 5985 wsman; 6000 x11; 6081 geneve; 6343 sflow; "
    "6379 redis; 6443 kubernetes; 6514 syslog-tls; 6633 openflow-old; 6653 openflow; 6667 ircd; 6881 bittorrent; "
    "7946 serf; 8000 http-alt; 8080 http-proxy; 8443 https-alt; 8883 mqtts; 9090 prometheus; 9092 kafka; "
    "9100 pdl-datastream; 9200 elasticsearch; 9418 git; 10050 zabbix-agent; 10051 zabbix-trapper; 11211 memcache; "
    "20000 dnp; 25300 rdt; 27017 mongodb; 33434 traceroute; 44818 ethernet-ip; 47808 bacnet; 51820 wireguard"
)
"""Services of TCP and UDP, by IANA's names where they have one."""

HARDWARE_NAMES = _listed(
    "0 NET/ROM; 1 Ethernet; 2 experimental Ethernet; 3 AX.25; 4 ProNET; 5 Chaosnet; 6 IEEE 802; 7 ARCNET; "
    "8 AppleTalk; 15 frame relay; 16 ATM (old); 17 HDLC; 18 Fibre Channel; 19 ATM; 20 serial line; 24 IEEE 1394; "
    "27 EUI-64; 30 ARPSEC; 31 IPsec tunnel; 32 InfiniBand; 256 SLIP; 280 CAN; 512 PPP; 513 Cisco HDLC; 519 raw IP; "
    "768 IP in IP; 769 IPv6 in IP; 772 loopback; 776 IPv6 in IPv4; 778 GRE; 783 IrDA; 801 IEEE 802.11; "
    "802 IEEE 802.11 Prism; 803 IEEE 802.11 radiotap; 804 IEEE 802.15.4; 823 GRE over IPv6; 824 netlink; "
    "825 6LoWPAN; 65534 none"
)
"""ARP's hardware types (IANA), and with Linux's own from 256 up what a cooked capture says."""

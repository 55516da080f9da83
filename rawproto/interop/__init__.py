"""Other people's tools: tshark, dpkt, scapy, each imported or started only when it is asked for.

May import `wire`, `capture` and `errors`; the core never imports it.
"""

"""Offers 64-byte UDP frames to a receiver: `raw_offer.py RATE SECONDS ADDRESS PEER SPORT`.

In bursts that the kernel cuts up (UDP_SEGMENT), so that one core can send more than one can receive. Prints one line
of JSON: the frames, and when it began and ended (CLOCK_MONOTONIC). Imports little, because it is started often.
"""

import json
import socket
import sys
import time

SOL_UDP, UDP_SEGMENT = 17, 103
PAYLOAD = 22
BURST = 64
DISCARD = 9


def main() -> None:
    rate, seconds, address, peer, sport = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, PAYLOAD)
        sender.bind((address, int(sport)))
        sender.connect((peer, DISCARD))
        burst, gap = bytes(PAYLOAD * BURST), BURST / float(rate)
        bursts, begin = 0, time.monotonic()
        now, end = begin, begin + float(seconds)
        while now < end:
            sender.send(burst)
            bursts += 1
            while (now := time.monotonic()) < begin + bursts * gap:
                pass
    print(json.dumps({"frames": bursts * BURST, "begin": begin, "end": now}))


if __name__ == "__main__":
    main()

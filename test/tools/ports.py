"""Loopback ports for servers that must know theirs before they start, or get it back after a restart.

The kernel hands out ports above ip_local_port_range's lower end to anybody at any time, so a port found by binding to 0 and
closing again may be gone a moment later.  These are from below that range, and nobody else who asks here gets one while
this process lives: the UDP port of the same number, which no test uses, is held as the mark of that (as in test/unit/port.h).
"""
import random
import socket

FIRST, LAST = 12000, 31999
_marks = []


def free_port(host='127.0.0.1'):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    for _ in range(1000):
        port = random.randint(FIRST, LAST)
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(('127.0.0.1', port))
            with socket.socket(family) as s:
                s.bind((host, port))
        except OSError:
            mark.close()
            continue
        _marks.append(mark)
        return port
    raise RuntimeError(f'no free port between {FIRST} and {LAST} on {host}')

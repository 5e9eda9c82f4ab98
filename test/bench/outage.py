#!/usr/bin/python3
"""What calls to a DWS meet while its TWS is away: served, stale, failed.

    test/bench/outage.py [SECONDS]     default 60; needs WSTYPED or build/release/wstyped

Clients resolve and check all the time: half of them a type that is in use, the others an absolute one; some calls are forwarded.
The TWS is killed, stays away for SECONDS, and comes back.  Mappings live 10 s here and may be stale for the length of the outage.
"""
import collections
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integ'))

from harness import RpcError, Stage, free_port, make_module, register      # noqa: E402

SPEC = 'module Outage { typedef structure { string name; list<int> numbers; } Thing; };'
OBJECT = {'name': 'x', 'numbers': list(range(50))}
CLIENTS, FORWARDED_EVERY = 8, 50


class Load:
    def __init__(self, dws):
        self.dws, self.phase, self.stopping = dws, 'before', False
        self.counts, self.slowest = collections.Counter(), collections.Counter()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(CLIENTS)]

    def one(self, client, number, turn):
        name = 'Outage.Thing' if number % 2 else 'Outage.Thing-1.0'
        if turn % FORWARDED_EVERY == 0:
            client.call('list_modules', {})
            return 'forwarded'
        got = client.call('TypeService.validate_objects', {'objects': [{'type': name, 'name': 'o', 'data': OBJECT}]})
        if not got['valid']:
            return 'refused: ' + got['message'][:60]
        return 'stale' if got['objects'][0].get('stale') else 'checked'

    def client(self, number):
        with self.dws.client(timeout=120) as client:
            turn = 0
            while not self.stopping:
                turn += 1
                phase, start = self.phase, time.monotonic()
                try:
                    outcome = self.one(client, number, turn)
                except RpcError:
                    outcome = 'forwarded, failed' if turn % FORWARDED_EVERY == 0 else 'failed'
                with self.lock:
                    self.counts[phase, outcome] += 1
                    self.slowest[phase] = max(self.slowest[phase], time.monotonic() - start)

    def run(self, phase, seconds):
        self.phase = phase
        time.sleep(seconds)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    stage = Stage()
    try:
        tws = stage.tws(port=free_port())
        with tws.client() as c:
            make_module(c, 'Outage')
            register(c, SPEC, ['Thing'])
            c.call('release_module', 'Outage', token='t-ann')
        dws = stage.dws(tws.url, log_level='error', type_mapping_cache_time=10, type_mapping_max_stale=seconds + 60,
                        delegation_check_interval=5)
        load = Load(dws)
        for t in load.threads:
            t.start()
        load.run('before', 5)
        tws.kill()
        load.run('away', seconds)
        tws.start()
        load.run('coming back', 5)
        load.run('after', 5)
        load.stopping = True
        for t in load.threads:
            t.join()
        for phase in ('before', 'away', 'coming back', 'after'):
            what = ', '.join(f'{n} {outcome}' for (p, outcome), n in sorted(load.counts.items()) if p == phase)
            print(f'{phase:12} {what}; slowest {load.slowest[phase] * 1000:.0f} ms')
        print('types:', {k: v for k, v in dws.status()['types'].items() if k in ('stale_serves', 'failed_loads')})
    finally:
        stage.close()


if __name__ == '__main__':
    main()

"""Two TWS and one type database: refused, waiting, taking over, losing it."""
import json
import os
import signal
import socket
import sqlite3
import time
import unittest

from harness import Client, Service, Stage, StartFailed, free_port, make_module, register

SPEC = 'module Mod {\ntypedef structure { int a; } T;\n};\n'
NOT_STARTED = -32603


class Pair(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def prepare(self, **settings):
        first = self.stage.tws(**settings)
        with first.client() as c:
            make_module(c, 'Mod')
            register(c, SPEC, ['T'])
        return first

    def second(self, **settings):
        """A standby on a known port, because it writes no ready file while it waits."""
        port = free_port()
        service = self.stage.keep(Service({**self.stage.common(), **self.stage.database(), 'standby': 'true', 'port': port,
                                           **{k.replace('_', '-'): v for k, v in settings.items()}})).launch()
        service.url = f'http://127.0.0.1:{port}/'
        return service

    def until_waiting(self, service):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                reply = service.get('/ready')
                if reply.status == 503:
                    return reply.json()['reasons']
            except OSError:
                pass
            time.sleep(0.05)
        self.fail('not waiting: ' + service.log())

    def serves(self, service, seconds=30):
        start = time.monotonic()
        service.wait_ready(seconds)
        took = time.monotonic() - start
        self.assertEqual(service.get('/ready').status, 200)
        with service.client() as c:
            self.assertEqual(c.call('get_jsonschema', 'Mod.T-0.1')[:1], '{')
            make_module(c, f'Later{service.process.pid}')
        return took

    def who(self, service):
        with service.client() as c:
            return c.call('TypeService.describe')['node']

    def fence(self, service):
        return service.status()['store']['fence']


class Refused(Pair):
    def test_second_is_told_who_has_it(self):
        first = self.prepare()
        second = self.stage.keep(Service(first.settings)).launch()
        with self.assertRaises(StartFailed):
            second.wait_ready()
        self.assertEqual(second.process.returncode, 1)
        self.assertRegex(second.log(), f"held by node {self.who(first)}, process {first.process.pid} on {socket.gethostname()}, "
                         r'last seen \d+ ms ago')
        self.assertIn('type-database-file', second.log())

    def test_at_one_instant_one_serves(self):
        for _ in range(20):
            services = [self.stage.keep(Service({**self.stage.common(), **self.stage.database()})).launch() for _ in range(2)]
            serving = 0
            for service in services:
                try:
                    service.wait_ready()
                    serving += 1
                except StartFailed:
                    self.assertIn('the type database', service.log())
            self.assertEqual(serving, 1)
            for service in services:
                service.stop()


class Standby(Pair):
    def test_waits_and_answers_nothing(self):
        first = self.prepare()
        second = self.second()
        reasons = self.until_waiting(second)
        self.assertRegex(reasons[0], f'^standby: .*held by node {self.who(first)}, process {first.process.pid} on ')
        self.assertEqual(second.get('/live').status, 200)
        status = second.status()
        self.assertTrue(status['standby'])
        self.assertFalse(status['ready'])
        self.assertTrue(status['read_only']['effective'])
        with Client(second.url) as c:
            for method, *params in (('ver',), ('get_jsonschema', 'Mod.T'), ('list_modules', {}), ('TypeService.describe',)):
                error = c.fails(method, *params)
                self.assertEqual(error.code, NOT_STARTED)
                self.assertIn('standby', error.message)
        self.assertFalse(os.path.exists(second.ready))
        self.assertEqual(second.stop(), 0)
        self.assertEqual(self.fence(first), 1)

    def test_takes_over_after_a_clean_end(self):
        first = self.prepare(type_database_lease=600)
        second = self.second(type_database_lease=600)
        self.until_waiting(second)
        self.assertEqual(first.stop(), 0)
        self.assertLess(self.serves(second), 10)
        self.assertGreater(self.fence(second), 1)
        second.wait_log('tws.took_over')

    def test_takes_over_at_once_after_a_kill(self):
        first = self.prepare(type_database_lease=600)
        second = self.second(type_database_lease=600)
        self.until_waiting(second)
        first.kill()
        self.assertLess(self.serves(second), 10)
        self.assertFalse(second.status()['standby'])

    def test_of_two_one_takes_over(self):
        first = self.prepare()
        others = [self.second(), self.second()]
        for service in others:
            self.until_waiting(service)
        first.kill()
        end = time.monotonic() + 20
        while not any(os.path.exists(s.ready) for s in others) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(1)
        self.assertEqual(sorted(os.path.exists(s.ready) for s in others), [False, True])
        winner = next(s for s in others if os.path.exists(s.ready))
        loser = next(s for s in others if s is not winner)
        self.assertIn(f'process {winner.process.pid}', self.until_waiting(loser)[0])
        winner.kill()
        self.serves(loser)

    def test_a_stopped_holder_keeps_a_file(self):
        first = self.prepare(type_database_lease=1)
        second = self.second(type_database_lease=1)
        self.until_waiting(second)
        first.signal(signal.SIGSTOP)
        time.sleep(4)
        self.assertRegex(self.until_waiting(second)[0], r'last seen [3-9]\d\d\d ms ago')
        self.assertFalse(os.path.exists(second.ready))
        first.signal(signal.SIGCONT)
        end = time.monotonic() + 20
        while first.get('/ready').status != 200 and time.monotonic() < end:
            time.sleep(0.05)                        # until the next renewal
        self.serves(first)
        self.assertEqual(self.fence(first), 1)
        self.assertFalse(os.path.exists(second.ready))

    def test_waits_for_a_reader_too(self):
        first = self.prepare()
        self.assertEqual(first.stop(), 0)
        reader = self.stage.tws(read_only='true')
        second = self.second()
        self.assertIn('open for reading in another process', self.until_waiting(second)[0])
        self.assertEqual(reader.stop(), 0)
        self.serves(second)


class Lost(Pair):
    """Somebody else has written himself into the lease."""

    def take_away(self, service):
        db = sqlite3.connect(service.settings['type-database-file'], timeout=20)
        db.execute("UPDATE lease SET token = token + 1, node = 'other'")
        db.commit()
        db.close()

    def write(self, service):
        with service.client() as c:
            return c.fails('grant_module_ownership', {'mod': 'Mod', 'new_owner': 'bob'}, token='t-ann')

    def test_ends_and_says_why(self):
        first = self.prepare(type_database_lease=2)
        self.take_away(first)
        error = self.write(first)
        self.assertIn('lease of the type database', error.message)
        self.assertIn('fenced', error.trace)
        self.assertEqual(first.wait(20), 1)
        self.assertIn('another process has taken the writer lease', first.wait_log('tws.lease_lost'))
        again = self.stage.tws()
        with again.client() as c:
            self.assertNotIn('bob', json.dumps(c.call('get_module_info', {'mod': 'Mod'}, token='t-ann')['owners']))

    def test_reads_on_if_told_so(self):
        first = self.prepare(type_database_lease=2, read_only_when_fenced='true')
        self.take_away(first)
        end = time.monotonic() + 20
        while first.get('/ready').status == 200 and time.monotonic() < end:
            time.sleep(0.1)
        reply = first.get('/ready')
        self.assertEqual((reply.status, reply.json()['reasons']), (503, ['the lease of the type database is lost']))
        with first.client() as c:
            self.assertEqual(c.call('get_jsonschema', 'Mod.T-0.1')[:1], '{')
            about = c.call('TypeService.describe')
            self.assertEqual((about['read_only'], about['read_only_reason']), (1, 'the lease of the type database is lost'))
        self.assertIn('has lost the lease', self.write(first).message)
        status = first.status()
        self.assertEqual(status['read_only'], {'configured': False, 'effective': True, 'reason': 'the lease of the type database is lost'})
        self.assertFalse(status['store']['lease_held'])
        self.assertEqual(first.stop(), 0)


if __name__ == '__main__':
    unittest.main()

"""Delegation loops of real processes are refused at start or cut at the first repeated step, whatever the token."""
import time
import unittest

from harness import HttpProxy, Service, Stage, StartFailed, TcpProxy, free_port

TOKENS = ((None, 'get_type_info', ['Nope.T']), ('t-ann', 'get_module_info', [{'mod': 'Nope'}]),
          ('t-root', 'administer', [{'command': 'listModRequests'}]))


class Loops(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def refused(self, services):
        """Within some seconds one of them has ended with a message that names the key, and none has become ready."""
        for s in services:
            s.launch()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if any(s.process.poll() not in (None, 0) and 'type-delegation-target' in s.log() for s in services):
                break
            time.sleep(0.05)
        else:
            self.fail('nobody refused: ' + ' / '.join(s.log()[-500:] for s in services))
        for s in services:
            with self.assertRaises(StartFailed):
                s.wait_ready(0.3)

    def ring(self, size):
        ports = [free_port() for _ in range(size)]
        self.refused([self.stage.keep(Service({**self.stage.dws_settings(f'http://127.0.0.1:{ports[(i + 1) % size]}/'),
                                               'port': p, 'delegation-start-timeout': 5})) for i, p in enumerate(ports)])

    def test_ring_of_2(self):
        self.ring(2)

    def test_ring_of_3(self):
        self.ring(3)

    def test_self_by_three_names(self):
        for host, listen in (('127.0.0.1', '127.0.0.1'), ('localhost', '127.0.0.1'), ('[::1]', '::1')):
            with self.subTest(host=host):
                port = free_port(listen)
                self.refused([self.stage.keep(Service({**self.stage.dws_settings(f'http://{host}:{port}/'), 'port': port,
                                                       'listen-address': listen}))])

    def cut_per_call(self, size, proxy_kind):
        """The ring closes behind a proxy after everybody has started well."""
        tws = self.stage.tws()
        proxy = self.stage.keep(proxy_kind(tws.url))
        target = proxy.url
        for _ in range(size):
            target = self.stage.dws(target, delegation_check_interval=3600).url
        proxy.turn_to(target)
        first = next(t for t in reversed(self.stage.things) if isinstance(t, Service))
        for token, method, params in TOKENS:
            with self.subTest(token=token), first.client(token) as c:
                proxy.requests = 0
                start = time.monotonic()
                error = c.fails(method, *params)
                self.assertLess(time.monotonic() - start, 10)
                self.assertRegex(error.message, '(?i)delegat.*loop|loop.*delegat')
                self.assertLessEqual(proxy.requests, 3)

    def test_self_through_tcp_proxy(self):
        self.cut_per_call(1, TcpProxy)

    def test_self_through_header_dropping_proxy(self):
        self.cut_per_call(1, HttpProxy)

    def test_ring_of_2_where_chains_are_allowed(self):
        proxy = self.stage.keep(TcpProxy(self.stage.tws().url))
        one = self.stage.dws(proxy.url, delegation_max_hops=4, delegation_check_interval=3600)
        two = self.stage.dws(one.url, delegation_max_hops=4, delegation_check_interval=3600)
        proxy.turn_to(two.url)
        for token, method, params in TOKENS:
            with self.subTest(token=token), two.client(token) as c:
                proxy.requests = 0
                self.assertRegex(c.fails(method, *params).message, '(?i)delegat.*loop|loop.*delegat')
                self.assertLessEqual(proxy.requests, 4)


class Chains(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def test_a_dws_as_target_is_refused(self):
        dws = self.stage.dws(self.stage.tws().url)
        service = self.stage.keep(Service(self.stage.dws_settings(dws.url))).launch()
        with self.assertRaises(StartFailed):
            service.wait_ready()
        self.assertIn('type-delegation-target', service.log())

    def test_a_chain_works_where_it_is_allowed(self):
        dws = self.stage.dws(self.stage.tws().url, delegation_max_hops=2)
        front = self.stage.dws(dws.url, delegation_max_hops=2)
        with front.client() as c:
            self.assertEqual(c.fails('get_type_info', 'Nope.T').message, "Module doesn't exist: Nope")
            self.assertEqual(c.call('list_modules', {}), [])

    def test_a_target_that_becomes_a_loop_takes_readiness_down(self):
        proxy = self.stage.keep(TcpProxy(self.stage.tws().url))
        dws = self.stage.dws(proxy.url, delegation_check_interval=1)
        self.assertEqual(dws.get('/ready').status, 200)
        proxy.turn_to(dws.url)
        end = time.monotonic() + 20
        while dws.get('/ready').status == 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        self.assertIn('loop', dws.get('/ready').body.decode())
        with dws.client() as c:
            error = c.fails('list_modules', {})
        self.assertIn('type-delegation-target', error.message)


if __name__ == '__main__':
    unittest.main()

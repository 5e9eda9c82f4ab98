"""DWS behind nginx and haproxy, with the committed example files: bytes, kills, drains, large bodies, slow clients.

What is tested are docs/examples/nginx.conf and haproxy.cfg themselves: render() only puts ports and folders of this test in the
place of those that stand there, and fails if one of them stands there no more.  Both run without privileges.
"""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from harness import ROOT, Client, QuietServer, Reply, Stage, free_port, make_module, register

EXAMPLES = os.path.join(ROOT, 'docs', 'examples')
NOBODY = 65534
DRAIN_DELAY = 3             # what both examples ask for
FAIL_TIMEOUT = 2            # nginx: how long a DWS that failed is left alone
UNAVAILABLE = (b'{"version":"1.1","error":{"name":"JSONRPCError","code":-32603,'
               b'"message":"The load balancer got no answer from the service","error":null}}')
BIG = 5000000
SPEC = '''module Bal {
/* A thing. */
typedef structure { int a; string b; } T;
typedef structure { list<T> parts; mapping<string, float> values; } U;
funcdef count(U u) returns (int n);
};
'''


def setUpModule():
    subprocess.run([os.path.join(ROOT, 'test', 'tools', 'deps'), 'nginx-light', 'haproxy'], check=True)


def address(url):
    return urlsplit(url).netloc


def wait_for(case, what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        case.assertLess(time.monotonic(), end, 'this took too long')
        time.sleep(0.05)


class Balancer:
    """nginx or haproxy, configured by its example."""

    def __init__(self, kind, urls):
        self.kind, self.dir, self.port = kind, tempfile.mkdtemp(prefix='wstyped-lb-'), free_port()
        self.url, self.process = f'http://127.0.0.1:{self.port}/', None
        file, self.command = {
            'nginx': ('nginx.conf', ['nginx', '-p', self.dir, '-e', f'{self.dir}/error.log', '-g', 'daemon off;', '-c']),
            'haproxy': ('haproxy.cfg', ['haproxy', '-db', '-f'])}[kind]
        self.config = os.path.join(self.dir, file)
        self.render(os.path.join(EXAMPLES, file), urls)

    def places(self):
        """(what stands in the example, what this test needs there), in this order."""
        if self.kind == 'haproxy':
            return [('    user haproxy\n    group haproxy\n', ''), ('bind :80\n', f'bind 127.0.0.1:{self.port}\n')]
        # nginx makes the folders of modules that are not used, too
        unused = ''.join(f' {m}_temp_path {self.dir}/{m};' for m in ('fastcgi', 'scgi', 'uwsgi'))
        return [('pid /run/', f'pid {self.dir}/'), ('error_log /var/log/nginx/', f'error_log {self.dir}/'),
                ('listen 80 ', f'listen 127.0.0.1:{self.port} '), ('proxy_temp_path /', f'{unused} proxy_temp_path /'),
                ('/var/lib/nginx/', f'{self.dir}/')]

    def render(self, example, urls):
        with open(example, encoding='utf-8') as f:
            text = f.read()
        servers = [(f'192.0.2.{11 + i}:7058', address(url)) for i, url in enumerate(urls)]
        for here, there in servers + self.places():
            if here not in text:
                raise AssertionError(f'{example} has no {here!r} any more')
            text = text.replace(here, there)
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(text)

    def start(self):
        user = {}
        if os.geteuid() == 0:
            user = {'user': NOBODY, 'group': NOBODY, 'extra_groups': []}
            os.chown(self.dir, NOBODY, NOBODY)
        program = shutil.which(self.command[0], path=os.environ.get('PATH', '') + ':/usr/sbin:/usr/local/sbin')
        with open(os.path.join(self.dir, 'out'), 'wb') as out:
            self.process = subprocess.Popen([program, *self.command[1:], self.config], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, cwd='/', **user)
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port), 1):
                return self
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f'{self.kind} does not start: {self.log()}')
            time.sleep(0.05)

    def log(self):
        texts = []
        for name in ('out', 'error.log'):
            with contextlib.suppress(OSError), open(os.path.join(self.dir, name), encoding='utf-8', errors='replace') as f:
                texts.append(f.read()[-1500:])
        return '\n'.join(texts)

    def client(self, token=None):
        return Client(self.url, token)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def body_of(method, *params):
    name = method if '.' in method else 'Workspace.' + method
    return json.dumps({'params': params, 'method': name, 'version': '1.1', 'id': '7'}).encode()


READS = [('ver',), ('get_type_info', 'Bal.T'), ('get_all_type_info', 'Bal'), ('get_jsonschema', 'Bal.U'),
         ('get_module_info', {'mod': 'Bal'}), ('list_modules', {}), ('get_func_info', 'Bal.count'),
         ('list_module_versions', {'mod': 'Bal'}), ('translate_to_MD5_types', ['Bal.T-1.0']), ('list_all_types', {})]
ERRORS = [('get_type_info', 'Bal.Nope'), ('get_type_info', 'nonsense'), ('get_jsonschema', 'Nope.T-9.9'), ('get_type_info',),
          ('get_type_info', 5), ('no_such_method', 1), ('get_module_info', {'mod': 'Nope'})]


class Cluster(unittest.TestCase):
    """One TWS, three DWS, both balancers; each test leaves them running."""

    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        cls.addClassCleanup(cls.stage.close)
        cls.tws = cls.stage.tws()
        with cls.tws.client() as c:
            make_module(c, 'Bal')
            register(c, SPEC, ['T', 'U'])
            c.call('release_module', 'Bal', token='t-ann')
        cls.dws = [cls.stage.dws(cls.tws.url, drain_delay=DRAIN_DELAY, port=free_port()) for _ in range(3)]
        cls.balancers = [cls.stage.keep(Balancer(kind, [d.url for d in cls.dws])).start() for kind in ('nginx', 'haproxy')]

    def answers(self, requests):
        """[(body, status, answer)] as the TWS gives them."""
        with self.tws.client() as c:
            return [(body, reply.status, reply.body) for body in requests for reply in [c.post(body)]]


def told(reply):
    """What of an answer must be the same whatever it came through; only the trace of an error names the role."""
    dropped = ('date', 'server', 'connection', 'keep-alive')
    return reply.status, reply.body.replace(b'wstyped tws', b'wstyped dws'), sorted((k.lower(), v) for k, v in reply.headers if k.lower() not in dropped)


class Bytes(Cluster):
    def paths(self):
        return [self.tws, *self.dws, *self.balancers]

    def same_everywhere(self, ask, paths=None):
        answers = [told(ask(p)) for p in paths or self.paths()]
        for answer in answers[1:]:
            self.assertEqual(answer, answers[0])
        return answers[0]

    def test_reads_and_errors_are_the_same_bytes(self):
        for call in READS + ERRORS:
            with self.subTest(call=call):
                def ask(path):
                    with path.client('t-ann') as c:
                        return c.post(body_of(*call))
                status, body, _ = self.same_everywhere(ask)
                self.assertEqual(status, 200 if call in READS else 500, body)

    def test_broken_requests_and_other_verbs(self):
        def ask(verb, body, **headers):
            def one(path):
                with path.client() as c:
                    return c.send(verb, '/any/path?x=%2f', body, list(headers.items()))
            return one
        for verb, body in (('POST', b'{'), ('POST', b''), ('POST', b'[1]'), ('GET', None), ('PUT', b'x'), ('OPTIONS', None)):
            with self.subTest(verb=verb, body=body):
                self.same_everywhere(ask(verb, body))

    def test_headers_pass(self):
        """Those with an underscore in the name, long tokens, marks of a delegation."""
        def ask(path):
            with path.client() as c:
                return c.post(body_of('ver'), headers=[('HTTP_ACCESS_CONTROL_REQUEST_HEADERS', 'x-one,x-two')])
        self.assertIn(('access-control-allow-headers', 'x-one,x-two'), self.same_everywhere(ask)[2])

        def ask_long(path):
            with path.client('t-ann' + 'n' * 20000) as c:
                return c.post(body_of('get_type_info', 'Bal.T'))
        self.assertIn(b'maximum length', self.same_everywhere(ask_long)[1])

        def ask_marked(path):
            with path.client() as c:
                return c.post(body_of('get_type_info', 'Bal.T'), headers=[('X-Wstyped-Delegation', 'x')])
        status, body, _ = self.same_everywhere(ask_marked, [*self.dws, *self.balancers])
        self.assertEqual(status, 500, body)

    def test_a_refused_token_is_told_by_the_dws(self):
        def ask(path):
            with path.client('bad') as c:
                return c.post(body_of('get_module_info', {'mod': 'Bal'}))
        self.assertEqual(self.same_everywhere(ask, [*self.dws, *self.balancers])[0], 500)

    def test_probes_pass(self):
        for balancer in self.balancers:
            with balancer.client() as c:
                reply = c.send('GET', '/ready')
                self.assertEqual((reply.status, reply.json()), (200, {'ready': True}))

    def test_the_log_names_the_client_and_nobody_whom_it_claims_to_be(self):
        for balancer in self.balancers:
            with balancer.client() as c:
                for i in range(6):
                    c.post(body_of('get_type_info', f'Log.{balancer.kind}'), headers=[('X-Forwarded-For', '192.0.2.99')])
        for dws in self.dws:
            self.assertNotIn('192.0.2.99', dws.log())

    def test_too_large_is_told_in_upstreams_words(self):
        """The services read to the end what is too large; nginx need not, so it says so itself."""
        nginx = self.balancers[0]
        with socket.create_connection(('127.0.0.1', nginx.port), 10) as s:
            s.sendall(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1005000001\r\n\r\n{')
            response = http.client.HTTPResponse(s)
            response.begin()
            reply = Reply(response)
        self.assertEqual((reply.status, reply.header('Content-Type')), (500, 'application/json'))
        self.assertEqual(reply.json()['error'], {'name': 'JSONRPCError', 'code': -32700, 'error': None,
                                                 'message': 'Object is too big, length is more than 1005000000 bytes'})
        own = self.stage.tws(type_database_file=os.path.join(self.stage.dir, 'small.sqlite'), max_body_size=2000)
        with own.client() as c:
            told_by_us = c.post(b'x' * 2001)
        self.assertEqual(reply.body, told_by_us.body.replace(b' 2000 ', b' 1005000000 '))

    def test_large_bodies(self):
        """5 MB there, and twice as much back, in the error's texts."""
        def ask(path):
            with path.client() as c:
                return c.post(body_of('get_module_info', {'mod': 'x' * BIG}))
        _, body, _ = self.same_everywhere(ask)
        self.assertGreater(len(body), 2 * BIG)


class Load:
    """Calls from several threads; each call is kept with its times, and what was wrong with it."""

    def __init__(self, balancers, answers, threads=4):
        self.answers, self.calls, self.ending = answers, [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(b, i), daemon=True) for b in balancers for i in range(threads)]

    def run(self, balancer, number):
        mine, n = [], number
        client = balancer.client()
        while not self.ending.is_set():
            body, status, answer = self.answers[n % len(self.answers)]
            n += 1
            start, problem = time.monotonic(), None
            try:
                reply = client.post(body)
                if (reply.status, reply.body) != (status, answer):
                    problem = f'{reply.status} {reply.body[:300]}'
            except (OSError, http.client.HTTPException) as e:
                problem = repr(e)
            mine.append((start, time.monotonic(), balancer.kind, problem))
            if number % 2:
                client.http.close()                 # every second thread comes anew each time
        client.http.close()
        self.calls += mine

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join(60)

    def failed(self):
        return [c for c in self.calls if c[3]]

    def summary(self):
        def one(kind):
            took = sorted(end - start for start, end, k, _ in self.calls if k == kind)
            failed = sum(k == kind for _, _, k, _ in self.failed())
            return f'{kind}: {len(took)} calls, {failed} failed, median {took[len(took) // 2] * 1000:.1f} ms, ' \
                   f'worst {took[-1] * 1000:.0f} ms'
        return '; '.join(one(kind) for kind in ('nginx', 'haproxy'))


def slowly(balancer, body, seconds):
    """Sends a call in small pieces, and reads the answer in small pieces, as many bytes a second."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(30)
        s.connect(('127.0.0.1', balancer.port))
        s.sendall(b'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' % len(body))
        pieces = 50
        step = len(body) // pieces + 1
        for i in range(0, len(body), step):
            s.sendall(body[i:i + step])
            time.sleep(seconds / pieces)
        got = bytearray()
        start = time.monotonic()
        while data := s.recv(65536):
            got += data
            time.sleep(max(0, start + seconds * len(got) / len(body) - time.monotonic()))
    head, answer = bytes(got).split(b'\r\n\r\n', 1)
    return int(head.split(b' ', 2)[1]), answer


class UnderLoad(Cluster):
    def used(self):
        return [d.status()['calls']['total'] for d in self.dws]

    def load(self):
        return Load(self.balancers, self.answers([body_of(*c) for c in READS + ERRORS]))

    def test_killed(self):
        """
        A call may fail only if it was in flight: begun before the process was gone, and ended after the signal was sent.
        """
        kills = []
        with self.load() as load:
            time.sleep(0.5)
            for dws in self.dws:
                sent = time.monotonic()
                dws.kill()
                kills.append((sent, time.monotonic()))
                time.sleep(0.5)
                dws.start()
                time.sleep(FAIL_TIMEOUT + 0.5)
            before = self.used()
            time.sleep(0.5)
            after = self.used()
        print('\n  killed:', load.summary(), flush=True)
        for start, end, kind, problem in load.failed():
            self.assertTrue(any(start <= gone and end >= sent for sent, gone in kills), (kind, problem, start, end, kills))
            if kind == 'nginx':
                self.assertEqual(problem, f'500 {UNAVAILABLE}')
        for i in range(3):
            self.assertGreater(after[i], before[i] + 5, 'a DWS that came back gets no calls')

    def test_drained(self):
        """No call fails at all, nor do large ones of slow clients that were under way."""
        big = self.answers([body_of('get_module_info', {'mod': 'x' * BIG})])[0]
        slow, drains = [], []

        def be_slow(balancer):
            try:
                slow.append(slowly(balancer, big[0], 1.5) == big[1:])
            except OSError as e:
                slow.append(repr(e))

        with self.load() as load:
            time.sleep(0.5)
            for i in range(int(os.environ.get('DRAINS', '5'))):
                threads = [threading.Thread(target=be_slow, args=(b,)) for b in self.balancers * 3]
                for t in threads if i < 3 else []:
                    t.start()
                time.sleep(0.3)
                start = time.monotonic()
                self.dws[i % 3].signal(signal.SIGTERM)
                self.assertEqual(self.dws[i % 3].wait(), 0)
                drains.append(round(time.monotonic() - start, 2))
                self.dws[i % 3].start()
                time.sleep(0.5)
                for t in threads if i < 3 else []:
                    t.join()
        print('\n  drained:', load.summary(), 'seconds to the end:', drains, flush=True)
        self.assertEqual(load.failed(), [])
        self.assertEqual(slow, [True] * len(slow))
        self.assertGreater(len(load.calls), 500)
        self.assertLess(max(drains), DRAIN_DELAY + 10)

    def test_not_ready_but_answering_for_the_delay(self):
        dws = self.dws[0]
        with dws.client() as kept:
            self.assertEqual(kept.post(body_of('ver')).header('Connection'), None)
            dws.signal(signal.SIGTERM)
            time.sleep(0.3)
            reply = kept.post(body_of('ver'))
            self.assertEqual((reply.status, reply.header('Connection')), (200, 'close'))
        self.assertEqual(dws.get('/live').status, 200)
        reply = dws.get('/ready')
        self.assertEqual((reply.status, reply.json()['reasons']), (503, ['the server is shutting down']))
        start = time.monotonic()
        dws.signal(signal.SIGTERM)                  # the second one: who sends it does not want to wait
        self.assertEqual(dws.wait(), 0)
        self.assertLess(time.monotonic() - start, 1.5)
        dws.start()
        time.sleep(FAIL_TIMEOUT + 0.5)


class TargetAway(unittest.TestCase):
    """The TWS is down: no DWS is ready, and the balancers let them tell why, as if there were none in between."""

    def test_the_reason_comes_through(self):
        stage = Stage()
        self.addCleanup(stage.close)
        tws = stage.tws(port=free_port())
        dws = [stage.dws(tws.url, delegation_check_interval=1) for _ in range(3)]
        balancers = [stage.keep(Balancer(kind, [d.url for d in dws])).start() for kind in ('nginx', 'haproxy')]
        tws.kill()
        with dws[0].client() as c:
            self.assertIn('type-delegation-target', c.fails('get_type_info', 'Bal.T').message)
        wait_for(self, lambda: {d.get('/ready').status for d in dws} == {503})
        time.sleep(2.5)                             # now the balancers know it, too
        for balancer in balancers:
            for _ in range(3):
                with balancer.client() as c:
                    self.assertIn('type-delegation-target', c.fails('get_type_info', 'Bal.T').message)
                    self.assertEqual(c.call('ver'), '0.15.0')
        tws.start()
        wait_for(self, lambda: {d.get('/ready').status for d in dws} == {200})
        for balancer in balancers:
            with balancer.client() as c:
                self.assertEqual(c.call('list_modules', {}), [])


class Mute:
    """Is ready, takes a call, and cuts the connection instead of answering."""

    def __init__(self):
        self.posts, self.lock = 0, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                self.send_response(200)
                self.send_header('Content-Length', '0')
                self.end_headers()

            def do_POST(self):
                self.rfile.read(int(self.headers['Content-Length']))
                with outer.lock:
                    outer.posts += 1
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = QuietServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}/'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Failing(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def unavailable(self, balancer):
        with balancer.client() as c:
            reply = c.post(body_of('ver'))
        self.assertEqual((reply.status, reply.header('Content-Type'), reply.header('Access-Control-Allow-Origin')),
                         (500, 'application/json', '*'))
        self.assertEqual(reply.body, UNAVAILABLE)

    def test_a_call_that_was_sent_is_never_sent_again(self):
        for kind in ('nginx', 'haproxy'):
            with self.subTest(kind=kind):
                mutes = [self.stage.keep(Mute()) for _ in range(3)]
                balancer = self.stage.keep(Balancer(kind, [m.url for m in mutes])).start()
                for i in range(1, 4):
                    self.unavailable(balancer)
                    self.assertEqual(sum(m.posts for m in mutes), i)

    def test_nobody_there_is_a_json_rpc_error(self):
        for kind in ('nginx', 'haproxy'):
            with self.subTest(kind=kind):
                balancer = self.stage.keep(Balancer(kind, [f'http://127.0.0.1:{free_port()}/' for _ in range(3)])).start()
                for _ in range(3):
                    self.unavailable(balancer)


if __name__ == '__main__':
    unittest.main()

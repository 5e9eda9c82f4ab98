"""What the integration tests stand on: real processes of the real binary, an auth2 stand-in, proxies, a JSON-RPC client.

Everything runs on loopback.  Standard library only.  WSTYPED names the binary (default build/release/wstyped).
"""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'test', 'tools'))

from ports import free_port                                            # noqa: E402,F401

BINARY = os.path.abspath(os.environ.get('WSTYPED', os.path.join(ROOT, 'build', 'release', 'wstyped')))
START_SECONDS = 60      # generous: sanitizer builds on a busy machine


class RpcError(Exception):
    """A JSON-RPC error as a client sees it."""

    def __init__(self, error):
        super().__init__(error.get('message'))
        self.code, self.message, self.trace = error['code'], error['message'], error['error']


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read()

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)


class Client:
    """Calls one service; one connection, used by one thread."""

    def __init__(self, url, token=None, timeout=60):
        parts = urlsplit(url)
        self.http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self.token, self.number = token, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def send(self, verb, path='/', body=None, headers=()):
        try:
            self.http.putrequest(verb, path, skip_accept_encoding=True)
            for name, value in headers:
                self.http.putheader(name, value)
            if body is not None:
                self.http.putheader('Content-Length', str(len(body)))
            self.http.endheaders(body)
            return Reply(self.http.getresponse())
        except BaseException:
            self.http.close()
            raise

    def post(self, body, token=None, headers=(), path='/'):
        body = body.encode() if isinstance(body, str) else body
        token = self.token if token is None else token
        return self.send('POST', path, body, list(headers) + ([('Authorization', token)] if token is not None else []))

    def raw_call(self, method, *params, token=None, headers=()):
        self.number += 1
        name = method if '.' in method else 'Workspace.' + method
        return self.post(json.dumps({'params': params, 'method': name, 'version': '1.1', 'id': str(self.number)}),
                         token, headers)

    def call(self, method, *params, token=None):
        answer = self.raw_call(method, *params, token=token).json()
        if 'error' in answer:
            raise RpcError(answer['error'])
        return answer['result'][0] if answer['result'] else None

    def admin(self, command, token=None, **members):
        return self.call('administer', {'command': command, **members}, token=token)

    def fails(self, method, *params, token=None):
        """The error that the call must give."""
        try:
            got = self.call(method, *params, token=token)
        except RpcError as e:
            return e
        raise AssertionError(f'{method} should have failed, but gave {json.dumps(got)[:300]}')


class Auth2:
    """Stands in for the auth2 service: token `t-NAME` is user NAME; roles as given."""

    def __init__(self, roles=None):
        self.roles = {'root': ['WS_ADMIN'], 'auditor': ['WS_READ']} if roles is None else roles
        self.delay, self.broken, self.counts, self.lock = 0.0, None, {}, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                outer.serve(self)

            def log_message(self, *_):
                pass

        self.server = QuietServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, handler):
        path = handler.path.rstrip('/')
        with self.lock:
            self.counts[path] = self.counts.get(path, 0) + 1
        time.sleep(self.delay)
        if self.broken:
            return self.answer(handler, *self.broken)
        if path == '':
            return self.answer(handler, 200, {'version': '0.7.2', 'servicename': 'Authentication Service',
                                              'servertime': 1, 'gitcommithash': '0'})
        token = handler.headers.get('Authorization') or ''
        if not token.startswith('t-'):
            return self.answer(handler, 401, {'error': {'httpcode': 401, 'httpstatus': 'Unauthorized', 'appcode': 10020,
                                                        'apperror': 'Invalid token', 'message': '10020 Invalid token'}})
        user = token[2:]
        if path == '/api/V2/token':
            return self.answer(handler, 200, {'type': 'Login', 'id': 'x', 'user': user, 'cachefor': 300000})
        if path == '/api/V2/me':
            return self.answer(handler, 200, {'user': user, 'customroles': self.roles.get(user, [])})
        return self.answer(handler, 404, {'error': {'httpcode': 404, 'message': 'HTTP 404 Not Found'}})

    @staticmethod
    def answer(handler, status, body):
        data = json.dumps(body).encode() if not isinstance(body, bytes) else body
        handler.send_response(status)
        handler.send_header('Content-Type', 'application/json')
        handler.send_header('Content-Length', str(len(data)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(data)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass                                        # peers that go away are part of the tests


class StartFailed(Exception):
    pass


class Service:
    """One process of the binary."""

    def __init__(self, settings, args=(), env=None, binary=BINARY):
        self.dir = tempfile.mkdtemp(prefix='wstyped-test-')
        self.config, self.ready = os.path.join(self.dir, 'deploy.cfg'), os.path.join(self.dir, 'ready')
        self.log_path, self.settings, self.binary = os.path.join(self.dir, 'log'), dict(settings), binary
        self.args, self.env, self.process, self.url, self.role = list(args), env or {}, None, None, None

    def write_config(self):
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('[Workspace]\n' + ''.join(f'{k} = {v}\n' for k, v in self.settings.items()))

    def launch(self):
        self.write_config()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.ready)
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                [self.binary, 'serve', '--config', self.config, '--ready-file', self.ready, *self.args],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self.env})
        return self

    def wait_ready(self, seconds=START_SECONDS):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if os.path.exists(self.ready):
                with open(self.ready, encoding='utf-8') as f:
                    about = json.load(f)
                self.url, self.role = about['url'], about['role']
                assert about['pid'] == self.process.pid
                return self
            if self.process.poll() is not None:
                raise StartFailed(f'ended with status {self.process.returncode}: {self.log()[-2000:]}')
            time.sleep(0.02)
        raise StartFailed(f'not ready after {seconds} s: {self.log()[-2000:]}')

    def start(self):
        return self.launch().wait_ready()

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as f:
            return f.read()

    def wait_log(self, text, seconds=START_SECONDS):
        """The log, once the text is in it: lines are written by a thread of their own, a moment after the event."""
        end = time.monotonic() + seconds
        while text not in self.log():
            if time.monotonic() > end:
                raise AssertionError(f'{text!r} is not in the log: {self.log()[-3000:]}')
            time.sleep(0.02)
        return self.log()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=START_SECONDS):
        return self.process.wait(seconds)

    def stop(self):
        """SIGTERM; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                return self.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                return 'killed after 20 s'
        return self.process.returncode if self.process else None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def client(self, token=None, timeout=60):
        return Client(self.url, token, timeout)

    def get(self, path):
        with Client(self.url) as c:
            return c.send('GET', path)

    def status(self):
        return self.get('/status').json()


class TcpProxy:
    """Copies bytes; can be turned elsewhere and counts connections and requests."""

    def __init__(self, url):
        self.requests, self.target, self.lock, self.socks = 0, urlsplit(url), threading.Lock(), set()
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=256)
        self.url = f'http://127.0.0.1:{self.listener.getsockname()[1]}/'
        threading.Thread(target=self.accept, daemon=True).start()

    def turn_to(self, url):
        with self.lock:
            self.target, self.requests = urlsplit(url), 0
        self.cut()

    def cut(self):
        with self.lock:
            for s in self.socks:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(near,), daemon=True).start()

    def carry(self, near):
        try:
            far = socket.create_connection((self.target.hostname, self.target.port), 10)
        except OSError:
            near.close()
            return
        with self.lock:
            self.socks |= {near, far}
        back = threading.Thread(target=self.copy, args=(far, near, False), daemon=True)
        back.start()
        self.copy(near, far, True)
        back.join()
        with self.lock:
            self.socks -= {near, far}
        near.close()
        far.close()

    def copy(self, source, sink, count):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if count:
                    with self.lock:
                        self.requests += data.count(b'POST / HTTP/1.1\r\n')
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


class HttpProxy:
    """Makes a request of its own and passes on only the headers that it knows."""

    KNOWN = ('authorization', 'content-type')

    def __init__(self, url):
        self.requests, self.target, self.lock = 0, url, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                outer.pass_on(self)

            def log_message(self, *_):
                pass

        self.server = QuietServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}/'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def turn_to(self, url):
        with self.lock:
            self.target, self.requests = url, 0

    def pass_on(self, handler):
        body = handler.rfile.read(int(handler.headers.get('Content-Length') or 0))
        with self.lock:
            self.requests += 1
            target, runaway = self.target, self.requests > 60
        headers = [(k, v) for k, v in handler.headers.items() if k.lower() in self.KNOWN]
        try:
            if runaway:
                raise OSError('a loop that nobody cuts')
            with Client(target, timeout=30) as c:
                reply = c.send('POST', '/', body, headers)
            status, data = reply.status, reply.body
        except OSError as e:
            status, data = 502, repr(e).encode()
        Auth2.answer(handler, status, data)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Stage:
    """A test's processes; everything is ended and removed at close()."""

    def __init__(self):
        self.things, self.dir = [], tempfile.mkdtemp(prefix='wstyped-stage-')
        self.auth = self.keep(Auth2())

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def common(self):
        return {'listen-address': '127.0.0.1', 'port': 0, 'temp-dir': os.path.join(self.dir, 'tmp'),
                'auth2-service-url': self.auth.url, 'auth2-ws-admin-full-roles': 'WS_ADMIN',
                'auth2-ws-admin-read-only-roles': 'WS_READ'}

    def database(self, name='types.sqlite'):
        return {'type-database-file': os.path.join(self.dir, name)}

    def tws(self, binary=BINARY, env=None, **settings):
        merged = {**self.common(), **self.database(), **{k.replace('_', '-'): v for k, v in settings.items()}}
        return self.keep(Service(merged, env=env, binary=binary)).start()

    def dws_settings(self, target, **settings):
        return {**self.common(), 'type-delegation-target': target,
                **{k.replace('_', '-'): v for k, v in settings.items()}}

    def dws(self, target, **settings):
        return self.keep(Service(self.dws_settings(target, **settings))).start()

    def close(self):
        for thing in reversed(self.things):
            thing.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def make_module(client, module, user='t-ann', admin='t-root'):
    client.call('request_module_ownership', module, token=user)
    client.admin('approveModRequest', module=module, token=admin)


def register(client, spec, types, user='t-ann', **more):
    return client.call('register_typespec', {'spec': spec, 'new_types': types, 'dryrun': 0, **more}, token=user)

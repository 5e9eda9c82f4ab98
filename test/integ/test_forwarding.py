"""What a DWS does with calls: bytes unchanged, nothing cached, honest about a target that is away."""
import json
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler

from harness import QuietServer, Service, Stage, StartFailed, TcpProxy, free_port, make_module, register

SPEC = 'module Fwd {\ntypedef structure { int a; } T;\n};\n'


class Recorder:
    """A TWS of somebody else's making: knows no TypeService.describe, keeps what it was sent."""

    def __init__(self):
        self.seen, self.reply, self.delay, self.lock = [], None, 0, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                with outer.lock:
                    outer.seen.append((dict(self.headers.items()), body))
                status, data = outer.answer(body)
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = QuietServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}/'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, body):
        if b'TypeService.describe' in body:
            return 500, (b'{"version":"1.1","error":{"name":"JSONRPCError","code":-32601,"message":"Can not find method '
                         b'[TypeService.describe] in server class us.kbase.workspace.WorkspaceServer","error":null}}')
        if b'Nonce' in body or self.reply is None:
            return 500, (b'{"version":"1.1","error":{"name":"JSONRPCError","code":-32500,"message":"Module doesn\'t exist: '
                         b'x","error":"trace"}}')
        time.sleep(self.delay)
        return self.reply

    def calls(self):
        with self.lock:
            return [(h, b) for h, b in self.seen if b'describe' not in b and b'Nonce' not in b]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Forwarding(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.target = self.stage.keep(Recorder())
        self.dws = self.stage.dws(self.target.url)

    def test_body_passes_unchanged_but_for_the_mark(self):
        body = '{ "params" : [ "M.T" , {"\\u00e9":1.50e3} ],\n "id":"x", "method":"get_type_info"  }'.replace(
            ' , {"\\u00e9":1.50e3}', '')
        self.target.reply = (200, b'{"version":"1.1","result":[ {"z":1, "a":1.50} ]}')
        with self.dws.client('t-ann') as c:
            reply = c.post(body + ' garbage')
        self.assertEqual((reply.status, reply.body), self.target.reply)
        headers, seen = self.target.calls()[0]
        self.assertTrue(seen.startswith(body[:-1].rstrip().encode()), seen)
        sent = json.loads(seen)
        mark = sent.pop('context')['wstyped']
        self.assertEqual(sent, json.loads(body))
        self.assertEqual(headers['Authorization'], 't-ann')
        self.assertIn(mark['nodes'][0], next(v for k, v in headers.items() if k.lower() == 'x-wstyped-delegation'))

    def test_client_context_stays_in_front_of_the_mark(self):
        self.target.reply = (200, b'{"version":"1.1","result":[[]]}')
        with self.dws.client() as c:
            c.post('{"method":"list_modules","params":[{}],"context":{"service_ver":"dev"}}')
        self.assertIn(b'"context":{"service_ver":"dev"},"context":{"wstyped":', self.target.calls()[0][1])

    def test_utf16_body_keeps_its_encoding(self):
        self.target.reply = (200, b'{"version":"1.1","result":[[]]}')
        body = '{"method":"list_modules","params":[{"owner":"\u00e9\u2603"}]}'
        for encoding in ('utf-16-le', 'utf-32-be'):
            with self.dws.client() as c:
                c.post(body.encode(encoding))
            sent = json.loads(self.target.calls()[-1][1].decode(encoding))
            self.assertEqual(sent['params'], [{'owner': '\u00e9\u2603'}])
            self.assertEqual(len(sent['context']['wstyped']['nodes']), 1)

    def test_tokens(self):
        self.target.reply = (200, b'{"version":"1.1","result":[[]]}')
        with self.dws.client('t-ann') as c:
            for method, params, sent in (('list_modules', [{}], False), ('translate_from_MD5_types', [[]], False),
                                         ('get_type_info', ['M.T'], True), ('release_module', ['M'], True)):
                c.raw_call(method, *params)
                self.assertEqual('Authorization' in self.target.calls()[-1][0], sent, method)

    def test_errors_of_the_target_pass_byte_for_byte(self):
        self.target.reply = (500, b'{"version":"1.1","error":{"name":"JSONRPCError","code":-32500,"message":"M\xc3\xa9 \\n",'
                                  b'"error":"trace \\"x\\"", "extra":1},"id":"7"}')
        with self.dws.client() as c:
            reply = c.raw_call('get_type_info', 'M.T')
        self.assertEqual((reply.status, reply.body), self.target.reply)
        self.assertEqual(reply.header('Access-Control-Allow-Origin'), '*')

    def test_answers_that_are_none(self):
        for reply in ((502, b'<html>bad gateway</html>'), (404, b'{}'), (200, b'<html>'), (301, b'{}')):
            self.target.reply = reply
            with self.subTest(reply=reply), self.dws.client() as c:
                error = c.fails('get_type_info', 'M.T')
                self.assertEqual(error.code, -32500)
                self.assertIn('type-delegation-target', error.message)
                self.assertNotIn('127.0.0.1', error.message)
                self.assertNotIn('http:', error.message)

    def test_nothing_is_cached(self):
        self.target.reply = (200, b'{"version":"1.1","result":["x"]}')
        with self.dws.client('t-ann') as c:
            for method, params in (('get_jsonschema', ['M.T-1.0']), ('get_type_info', ['M.T']), ('list_modules', [{}]),
                                   ('list_all_types', [{}]), ('get_module_info', [{'mod': 'M'}]), ('get_func_info', ['M.f']),
                                   ('get_all_type_info', ['M']), ('get_all_func_info', ['M']),
                                   ('list_module_versions', [{'mod': 'M'}]), ('translate_to_MD5_types', [['M.T']]),
                                   ('translate_from_MD5_types', [['M.T-' + '0' * 32]]),
                                   ('register_typespec', [{'spec': 'x'}]), ('release_module', ['M']),
                                   ('request_module_ownership', ['M']), ('grant_module_ownership', [{}]),
                                   ('remove_module_ownership', [{}]), ('register_typespec_copy', [{}])):
                before = len(self.target.calls())
                c.raw_call(method, *params)
                c.raw_call(method, *params)
                self.assertEqual(len(self.target.calls()) - before, 2, method)
            for command in ('listModRequests', 'approveModRequest', 'denyModRequest'):
                before = len(self.target.calls())
                for _ in range(2):
                    c.raw_call('administer', {'command': command, 'module': 'M'}, token='t-root')
                self.assertEqual(len(self.target.calls()) - before, 2, command)

    def test_local_methods_stay_here(self):
        with self.dws.client() as c:
            self.assertEqual(c.call('ver'), '0.15.0')
            self.assertEqual(c.call('TypeService.describe')['role'], 'dws')
            self.assertEqual(c.call('status')['state'], 'OK')
            self.assertEqual(c.call('get_admin_role', token='t-root'), {'adminrole': 'full'})
        self.assertEqual(self.target.calls(), [])

    def test_answers_too_slow(self):
        dws = self.stage.dws(self.target.url, delegation_first_byte_timeout=1, delegation_timeout=2)
        self.target.reply, self.target.delay = (200, b'{"version":"1.1","result":["x"]}'), 4
        with dws.client('t-ann') as c:
            start = time.monotonic()
            self.assertRegex(c.fails('get_jsonschema', 'M.T').message, 'no answer|within|after')
            self.assertLess(time.monotonic() - start, 3.5)
            self.assertIn('not known', c.fails('release_module', 'M').message)

    def test_large_answers_pass(self):
        data = b'{"version":"1.1","result":["' + b'y' * 5_000_000 + b'"]}'
        self.target.reply = (200, data)
        with self.dws.client() as c:
            self.assertEqual(c.raw_call('get_jsonschema', 'M.T').body, data)


class TargetAway(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def test_target_restarts(self):
        tws = self.stage.tws(port=free_port())
        dws = self.stage.dws(tws.url, delegation_check_interval=1)
        with dws.client('t-ann') as c:
            make_module(c, 'Fwd')
            register(c, SPEC, ['T'])
            tws.kill()
            start = time.monotonic()
            error = c.fails('list_modules', {})
            self.assertLess(time.monotonic() - start, 5)
            self.assertIn('type-delegation-target', error.message)
            tws.start()
            self.assertEqual(c.call('list_modules', {}), ['Fwd'])
            self.assertEqual(c.call('release_module', 'Fwd'), ['Fwd.T-1.0'])

    def test_cut_connections_do_not_show(self):
        tws = self.stage.tws()
        proxy = self.stage.keep(TcpProxy(tws.url))
        dws = self.stage.dws(proxy.url)
        with dws.client() as c:
            for _ in range(20):
                self.assertEqual(c.call('list_modules', {}), [])
                proxy.cut()
                time.sleep(0.02)

    def test_target_down_at_start(self):
        url = f'http://127.0.0.1:{free_port()}/'
        service = self.stage.keep(Service(self.stage.dws_settings(url, delegation_start_timeout=1))).launch()
        with self.assertRaises(StartFailed):
            service.wait_ready()
        self.assertIn('type-delegation-target', service.log())

    def test_target_comes_up_late(self):
        port = free_port()
        dws = self.stage.keep(Service(self.stage.dws_settings(f'http://127.0.0.1:{port}/'))).launch()
        time.sleep(0.5)
        self.stage.tws(port=port)
        with dws.wait_ready().client() as c:
            self.assertEqual(c.call('list_modules', {}), [])

    def test_start_degraded(self):
        port = free_port()
        dws = self.stage.dws(f'http://127.0.0.1:{port}/', delegation_start_timeout=1, start_degraded='true',
                             delegation_check_interval=1)
        self.assertEqual(dws.get('/ready').status, 503)
        self.assertEqual(dws.get('/live').status, 200)
        self.stage.tws(port=port)
        end = time.monotonic() + 20
        while dws.get('/ready').status != 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)


if __name__ == '__main__':
    unittest.main()

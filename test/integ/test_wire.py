"""The wire, once against a TWS and once through a DWS: every row of the envelope's rules."""
import http.client
import json
import os
import socket
import time
import unittest
from urllib.parse import urlsplit

from harness import Service, Stage

VER = '{"method":"Workspace.ver","params":[]}'
GET_BODY = (b'{"version":"1.1","error":{"name":"JSONRPCError","code":-32300,"message":"HTTP GET not allowed.",'
            b'"error":null}}')
NEEDS_TOKEN = 'Token validation failed: Authorization is required for this method but no credentials were provided'

# body, code, message, has a trace
ERRORS = (
    ('', -32400, 'Unexpected internal error (Data must be at least 1 byte / char)', True),
    ('{}', -32601, 'JSON RPC method property is not defined', False),
    ('{"method":null,"params":[]}', -32601, 'JSON RPC method property is not defined', False),
    ('{"params":[]}', -32601, 'JSON RPC method property is not defined', False),
    ('{"method":"ver"}', -32601, 'JSON RPC params property is not defined', False),
    ('{"method":"ver","params":null}', -32601, 'JSON RPC params property is not defined', False),
    ('{"method":"Workspace.nope","params":[]}', -32601, 'Can not find method [Workspace.nope] in server class '
     'us.kbase.workspace.WorkspaceServer', False),
    ('{"method":"workspace.ver","params":[]}', -32601, 'Can not find method [workspace.ver] in server class '
     'us.kbase.workspace.WorkspaceServer', False),
    ('{"method":5,"params":[]}', -32601, 'Can not find method [Workspace.5] in server class '
     'us.kbase.workspace.WorkspaceServer', False),
    ('{"method":"ver","params":[1]}', -32602, 'Wrong parameter count for method Workspace.ver', False),
    ('{"params":[],"method":"ver","params":[1]}', -32602, 'Wrong parameter count for method Workspace.ver', False),
    ('{"params":["Nope.T"],"method":"get_type_info","params":["x"]}', -32500, "Module doesn't exist: Nope", True),
    ('{"method":"get_type_info","params":[]}', -32602, 'Wrong parameter count for method Workspace.get_type_info', False),
    ('{"method":"release_module","params":[]}', -32400, NEEDS_TOKEN, True),
    ('{"method":"get_type_info","params":["Nope.T"]}', -32500, "Module doesn't exist: Nope", True),
    ('{"method":"get_type_info","params":[null]}', -32500, 'Typestring cannot be null or the empty string', True),
    ('{"method":"get_type_info","params":[12.50]}', -32500, 'Illegal character in Module name', None),
)
PARSE_ERRORS = ('{', '   ', '[]', '"x"', '5', '{"method":"ver","params":{}}', '{"method":"ver","params":[],}', "{'method':'ver'}",
                '{"jsonrpc":"2.0","method":"ver","params":[]}', '{"method":"ver","params":[],"context":5}', '\ufeff' + VER,
                '{"method":"ver","params":[01]}', '{"method":"ver","params":[NaN]}', '{"method":"ver","params":["\t"]}',
                '{"method":"ver"/* c */,"params":[]}')
FINE = (VER, '{"method":"Workspace.ver","params":[],"version":"1.1","id":"1","context":{}}', VER + ' rest is ignored',
        '{"method":"ver","params":[],"context":null}', '{"method":"nope","method":"ver","params":[]}',
        '{"params":[],"method":"ver","context":{"call_stack":[],"run_id":"x","other":{"a":[1]}}}',
        '{"params":[1],"method":"ver","params":[]}')
IDS = (('"abc"', 'abc'), ('42', '42'), ('0.25', '0.25'), ('1e3', '1000.0'), ('true', 'true'), ('""', ''), ('[1,"b"]', '[1, b]'),
       ('{"a":1}', '{a=1}'), ('12345678901234567890123', '12345678901234567890123'))


class Wire:
    """The cases; the subclasses say against what."""

    def error_of(self, body, token=None):
        with self.service.client() as c:
            reply = c.post(body, token)
        self.assertEqual(reply.status, 500)
        self.assertEqual(reply.header('Content-Type'), 'application/json')
        self.assertEqual(reply.header('Access-Control-Allow-Origin'), '*')
        self.assertEqual(reply.header('Access-Control-Allow-Headers'), 'authorization')
        answer = reply.json()
        self.assertEqual(list(answer)[:2], ['version', 'error'])
        self.assertEqual(list(answer['error']), ['name', 'code', 'message', 'error'])
        return answer

    def assert_ver(self, reply):
        self.assertEqual((reply.status, reply.body), (200, b'{"version":"1.1","result":["0.15.0"]}'))

    def test_errors(self):
        for body, code, message, trace in ERRORS:
            with self.subTest(body=body):
                error = self.error_of(body)['error']
                self.assertEqual(error['code'], code)
                if trace is None:
                    self.assertTrue(error['message'].startswith(message) or 'split' in error['message'] or
                                    error['message'].startswith("Module doesn't exist"), error['message'])
                else:
                    self.assertEqual(error['message'], message)
                    self.assertEqual(bool(error['error']), trace)

    def test_parse_errors(self):
        for body in PARSE_ERRORS:
            with self.subTest(body=body):
                answer = self.error_of(body)
                self.assertEqual(answer['error']['code'], -32700)
                self.assertTrue(answer['error']['message'].startswith('Parse error ('), answer)
                self.assertNotIn('id', answer)

    def test_accepted(self):
        with self.service.client() as c:
            for body in FINE:
                with self.subTest(body=body):
                    self.assert_ver(c.post(body))

    def test_id_comes_back_as_text(self):
        for sent, want in IDS:
            with self.subTest(id=sent):
                answer = self.error_of('{"method":"get_type_info","params":["Nope.T"],"id":%s}' % sent)
                self.assertEqual(answer['id'], want)
        for extra in ('', ',"id":null'):
            self.assertNotIn('id', self.error_of('{"method":"get_type_info","params":["Nope.T"]%s}' % extra))

    def test_encodings(self):
        with self.service.client() as c:
            for encoding in ('utf-16-le', 'utf-16-be', 'utf-32-le', 'utf-32-be'):
                with self.subTest(encoding=encoding):
                    self.assert_ver(c.post(VER.encode(encoding)))
                    body = '{"method":"get_type_info","params":["M.é\U0001d4b3"],"id":"ü"}'
                    answer = c.post(body.encode(encoding)).json()
                    self.assertEqual(answer['error']['message'], 'Illegal character in Type name é\U0001d4b3: é')
                    self.assertEqual(answer['id'], 'ü')
            body = b'{"method":"get_type_info","params":["M.T\xff\xfe"]}'
            self.assertEqual(c.post(body).json()['error']['message'], 'Illegal character in Type name T\ufffd\ufffd: \ufffd')
            body = '{"method":"get_type_info","params":["M.\\u00e9\\ud835\\udcb3"]}'
            self.assertIn('é\\uD835\\uDCB3'.encode(), c.post(body).body)

    def test_deep_nesting_is_a_parse_error(self):
        self.assertEqual(self.error_of('{"method":"ver","params":[' + '[' * 300000)['error']['code'], -32700)
        self.assertEqual(self.error_of('{"method":"ver","context":' + '{"a":' * 300000)['error']['code'], -32700)

    def test_verbs(self):
        with self.service.client() as c:
            reply = c.send('GET', '/')
            self.assertEqual((reply.status, reply.body, reply.header('Content-Type')), (500, GET_BODY, 'application/json'))
            self.assertIsNone(reply.header('Access-Control-Allow-Origin'))
            self.assertEqual(c.send('HEAD', '/').status, 500)
            reply = c.send('OPTIONS', '/x', headers=[('Access-Control-Request-Headers', 'authorization')])
            self.assertEqual((reply.status, reply.body, reply.header('Content-Length')), (200, b'', '0'))
            self.assertEqual(reply.header('Access-Control-Allow-Headers'), 'authorization')
            reply = c.send('OPTIONS', '/', headers=[('HTTP_ACCESS_CONTROL_REQUEST_HEADERS', 'a, b')])
            self.assertEqual(reply.header('Access-Control-Allow-Headers'), 'a, b')
            reply = c.send('OPTIONS', '/', headers=[('HTTP_ACCESS_CONTROL_REQUEST_HEADERS', 'x' * 1025)])
            self.assertEqual(reply.header('Access-Control-Allow-Headers'), 'authorization')
            for verb in ('PUT', 'DELETE', 'PATCH'):
                self.assertEqual(c.send(verb, '/').status, 405)

    def test_any_path_and_any_content_type(self):
        with self.service.client() as c:
            for path in ('/', '/services/ws', '/a//b?x=y', '/docs2/%20', '/docs/', '/docs/index.html', '/live'):
                self.assert_ver(c.post(VER, path=path))
            for kind in ('application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain'):
                self.assert_ver(c.post(VER, headers=[('Content-Type', kind)]))

    def test_what_upstream_does_not_know(self):
        with self.service.client() as c:
            self.assertEqual(c.call('TypeService.describe')['role'], self.role)
        mark = self.error_of('{"method":"ver","params":[],"context":{"wstyped":5},"id":"x"}')
        self.assertEqual(mark['error']['code'], -32700)
        self.assertIn('`wstyped` in the context is malformed', mark['error']['message'])
        self.assertNotIn('id', mark)

    def test_chunks_pipeline_and_continue(self):
        parts = urlsplit(self.service.url)
        body = VER.encode()
        chunked = (b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n'
                   + b''.join(b'%x\r\n%s\r\n' % (1, body[i:i + 1]) for i in range(len(body))) + b'0\r\n\r\n')
        plain = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)
        for data, count in ((chunked, 1), (plain * 3, 3), (plain.replace(b'1.1', b'1.0', 1), 1),
                            (plain.replace(b'Host', b'Expect: 100-continue\r\nHost'), 1)):
            with socket.create_connection((parts.hostname, parts.port), 20) as s:
                s.sendall(data)
                got, end = b'', time.monotonic() + 20
                while got.count(b'"result":["0.15.0"]}') < count and time.monotonic() < end:
                    got += s.recv(65536)
            self.assertEqual(got.count(b'HTTP/1.1 200') + got.count(b'HTTP/1.0 200'), count, got)

    def test_large_request_is_spooled_and_answered(self):
        filler = 'x' * 3_000_000
        with self.service.client() as c:
            answer = c.post(json.dumps({'method': 'get_type_info', 'params': ['M.' + filler], 'id': 'big'})).json()
        self.assertEqual(answer['error']['message'], 'Type name size is > 255 bytes')
        self.assertEqual(answer['id'], 'big')

    def test_probes(self):
        self.assertEqual(self.service.get('/live').status, 200)
        self.assertEqual(self.service.get('/ready').json()['ready'], True)
        status = self.service.status()
        self.assertEqual(status['role'], self.role)
        self.assertEqual(self.service.get('/ready?x=1').status, 200)

    def test_slow_clients_do_not_hold_the_service(self):
        parts = urlsplit(self.service.url)
        slow = []
        try:
            for _ in range(60):
                s = socket.create_connection((parts.hostname, parts.port), 10)
                s.sendall(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{')
                slow.append(s)
            with self.service.client(timeout=10) as c:
                for _ in range(20):
                    self.assert_ver(c.post(VER))
        finally:
            for s in slow:
                s.close()

    def test_tokens(self):
        release = '{"method":"release_module","params":["M"]}'
        optional = '{"method":"get_type_info","params":["Nope.T"]}'
        invalid = 'Token validation failed: Auth service returned an error: 10020 Invalid token'
        for body, token, want in ((release, None, NEEDS_TOKEN), (release, '', NEEDS_TOKEN), (release, 'nonsense', invalid),
                                  (release, 'Bearer t-ann', invalid), (optional, '', NEEDS_TOKEN), (optional, 'nonsense', invalid)):
            with self.subTest(body=body, token=token):
                error = self.error_of(body, token)['error']
                self.assertEqual((error['code'], error['message']), (-32400, want))
        with self.service.client() as c:
            self.assert_ver(c.post(VER, 'nonsense'))
            self.assertEqual(c.call('list_modules', {}, token='nonsense'), [])
        error = self.error_of(release, 't-ann')['error']
        self.assertEqual(error['message'], 'User ann is not in list of owners of module M')

    def test_roles(self):
        with self.service.client() as c:
            for user, role in (('root', 'full'), ('auditor', 'read'), ('ann', 'none')):
                self.assertEqual(c.call('get_admin_role', token='t-' + user), {'adminrole': role})
            self.assertEqual(c.admin('listModRequests', token='t-auditor'), [])
            for params, token, message in (
                    ({'command': 'listModRequests'}, 't-ann', 'User ann is not an admin'),
                    ({'command': 'approveModRequest', 'module': 'X'}, 't-auditor',
                     'Full administration rights required for this command'),
                    ({'command': 'fly'}, 't-root', "I don't know how to process the command: fly"),
                    ({}, 't-root', "I don't know how to process the command: null"),
                    ({'command': 'grantModuleOwnership'}, 't-root',
                     'Method parameters GrantModuleOwnershipParams may not be null'),
                    ({'command': 'approveModRequest', 'module': 'X', 'user': None, 'params': None}, 't-root',
                     'There is no request for module X'),
                    ({'command': 'listAdmins'}, 't-root',
                     'This operation is delegated to the KBase Authentication service')):
                with self.subTest(params=params):
                    self.assertEqual(c.fails('administer', params, token=token).message, message)
            self.assertTrue(c.fails('administer', {'nope': 1}, token='t-root').message.startswith(
                'Unable to deserialize a workspace admin command from the input: '))


class TwsWire(Wire, unittest.TestCase):
    role = 'tws'

    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        cls.addClassCleanup(cls.stage.close)
        cls.service = cls.stage.tws()


class DwsWire(Wire, unittest.TestCase):
    role = 'dws'

    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        cls.addClassCleanup(cls.stage.close)
        cls.service = cls.stage.dws(cls.stage.tws().url)


class Addresses(unittest.TestCase):
    """Where a call came from; only the log tells."""

    def lines(self, calls, **settings):
        stage = Stage()
        self.addCleanup(stage.close)
        tws = stage.keep(Service({**stage.common(), **stage.database(), **settings})).start()
        with tws.client() as c:
            for headers in calls:
                self.assertEqual(c.post(VER, headers=headers).status, 200)
        tws.stop()
        lines = [x for x in tws.log().splitlines() if 'event=request' in x]
        self.assertEqual(len(lines), len(calls))
        return lines

    def test_headers_name_the_client(self):
        want = (((('X-Forwarded-For', ' 192.0.2.1 , 192.0.2.2'), ('X-Real-IP', '192.0.2.3')), '192.0.2.1'),
                ((('x-forwarded-for', ''), ('x-real-ip', ' 192.0.2.3 ')), '192.0.2.3'),
                ((('X-Real-IP', ''),), '127.0.0.1'), ((), '127.0.0.1'))
        lines = self.lines([headers for headers, _ in want])
        for line, (_, ip) in zip(lines, want):
            self.assertIn(f' ip={ip} ', line)
        self.assertIn(' forwarded_for="192.0.2.1 , 192.0.2.2"', lines[0])
        for line in lines[1:]:
            self.assertNotIn('forwarded_for', line)

    def test_headers_may_be_distrusted_but_are_logged(self):
        calls = [[('X-Forwarded-For', '192.0.2.1'), ('X-Real-IP', '192.0.2.3')],
                 [('X-Forwarded-For', '192.0.2.9\t' * 100)]]
        for key in ('dont-trust-x-ip-headers', 'dont_trust_x_ip_headers'):
            lines = self.lines(calls, **{key: 'true'})
            for line in lines:
                self.assertIn(' ip=127.0.0.1 ', line)
            self.assertIn(' forwarded_for=192.0.2.1', lines[0])
            self.assertLess(len(lines[1]), 1000)


class Limits(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def test_body_limit(self):
        tws = self.stage.tws(max_body_size=100000, body_memory=2000)
        with tws.client() as c:
            error = c.post('{"method":"ver","params":["' + 'x' * 200000 + '"]}').json()['error']
            self.assertEqual((error['code'], error['error']), (-32700, None))
            self.assertEqual(error['message'], 'Object is too big, length is more than 100000 bytes')
            self.assertEqual(c.call('ver'), '0.15.0')
        self.assertEqual(os.listdir(tws.settings['temp-dir']), [])

    def test_header_limit_and_timeouts(self):
        tws = self.stage.tws(max_header_size=8192, header_timeout=1, idle_timeout=2, request_timeout=3)
        parts = urlsplit(tws.url)
        with tws.client() as c:
            try:
                reply = c.send('POST', '/', VER.encode(), [('X-Large', 'y' * 50000)])
                self.assertGreaterEqual(reply.status, 400)
            except (http.client.HTTPException, OSError):
                pass                                   # closing the connection is an answer too
        for start, drip in ((b'POST / HTTP/1.1\r\nX: ', b'y'), (b'POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n', b' ')):
            with socket.create_connection((parts.hostname, parts.port), 10) as s:
                s.sendall(start)
                with self.assertRaises(OSError):
                    for _ in range(100):               # a byte now and then keeps no connection alive for ever
                        s.sendall(drip)
                        s.settimeout(0.1)
                        try:
                            if s.recv(4096) == b'':
                                raise OSError('closed')
                        except socket.timeout:
                            pass
        with tws.client() as c:
            self.assertEqual(c.call('ver'), '0.15.0')

    def test_connection_limit(self):
        tws = self.stage.tws(max_connections=20)
        parts = urlsplit(tws.url)
        held = [socket.create_connection((parts.hostname, parts.port), 10) for _ in range(60)]
        for s in held:
            s.close()
        end = time.monotonic() + 20
        while True:
            try:
                with tws.client(timeout=5) as c:
                    self.assertEqual(c.call('ver'), '0.15.0')
                break
            except (OSError, http.client.HTTPException):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.1)


if __name__ == '__main__':
    unittest.main()

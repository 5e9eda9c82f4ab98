"""Start, stop, signals, wrong deployments, users from a file, what must never be logged."""
import hashlib
import os
import signal
import subprocess
import threading
import time
import unittest

from harness import BINARY, Service, Stage, StartFailed, free_port, make_module, register

SPEC = 'module Life {\ntypedef structure { int a; } T;\n};\n'


class Stop(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def test_data_survives_a_restart_and_a_kill(self):
        tws = self.stage.tws()
        with tws.client() as c:
            make_module(c, 'Life')
            schema = register(c, SPEC, ['T'])['Life.T-0.1']
        self.assertEqual(tws.stop(), 0)
        tws.start()
        with tws.client() as c:
            self.assertEqual(c.call('get_jsonschema', 'Life.T-0.1'), schema)
            cluster = c.call('TypeService.describe')['cluster']
            c.call('release_module', 'Life', token='t-ann')
        tws.kill()
        tws.start()
        with tws.client() as c:
            self.assertEqual(c.call('get_jsonschema', 'Life.T'), schema)
            self.assertEqual(c.call('TypeService.describe')['cluster'], cluster)

    def test_sigterm_answers_what_is_in_progress(self):
        tws = self.stage.tws()
        dws = self.stage.dws(tws.url)
        self.stage.auth.delay = 1.0
        answers = []

        def ask(service, i):
            with service.client(f't-user{i}') as c:
                answers.append(c.raw_call('get_module_info', {'mod': 'Nope'}).json()['error']['message'])

        threads = [threading.Thread(target=ask, args=(s, f'{s.role}{i}')) for s in (tws, dws) for i in range(5)]
        for t in threads:
            t.start()
        time.sleep(0.4)
        dws.signal(signal.SIGTERM)
        start = time.monotonic()
        for t in threads:
            t.join()
        self.assertEqual(dws.wait(), 0)
        self.assertLess(time.monotonic() - start, 10)
        self.assertEqual(answers, ["Module doesn't exist: Nope"] * 10)
        self.assertEqual(tws.stop(), 0)

    def test_not_ready_while_draining(self):
        tws = self.stage.tws()
        self.stage.auth.delay = 2.0
        with tws.client('t-x') as slow, tws.client() as probe:
            self.assertEqual(probe.send('GET', '/ready').status, 200)
            t = threading.Thread(target=slow.raw_call, args=('get_module_info', {'mod': 'M'}))
            t.start()
            time.sleep(0.3)
            tws.signal(signal.SIGTERM)
            t.join()
        self.assertEqual(tws.wait(), 0)

    def test_second_tws_on_the_file_is_refused(self):
        tws = self.stage.tws()
        second = self.stage.keep(Service(tws.settings)).launch()
        with self.assertRaises(StartFailed):
            second.wait_ready()
        self.assertIn(tws.settings['type-database-file'], second.log())
        self.assertIn(str(tws.process.pid), second.log())
        with tws.client() as c:
            self.assertEqual(c.call('ver'), '0.15.0')


class WrongDeployments(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def test_each_is_refused_naming_its_keys(self):
        common, tws = self.stage.common(), self.stage.database()
        target = {'type-delegation-target': 'http://127.0.0.1:1/'}
        for settings, names in (
                ({**common}, ['type-database-file', 'type-delegation-target']),
                ({**common, **tws, **target}, ['type-database-file', 'type-delegation-target', 'mode']),
                ({**common, 'mongodb-host': 'localhost', 'mongodb-type-database': 'same', 'mongodb-database': 'same'},
                 ['mongodb-database', 'mongodb-type-database', 'same']),
                ({**common, 'type-delegation-target': 'ftp://x/'}, ['type-delegation-target', 'ftp://x/']),
                ({**common, 'type-delegation-target': 'http:///'}, ['type-delegation-target']),
                ({**common, **tws, 'prot': '80'}, ['prot', 'port']),
                ({**common, **tws, 'port': 'eighty'}, ['port', 'eighty']),
                ({**common, **tws, 'port': '70000'}, ['port', '70000']),
                ({**common, **tws, 'text-cache-size': '12 apples'}, ['text-cache-size', '12 apples']),
                ({**common, **tws, 'auth-tokens-file': '/x'}, ['auth-tokens-file', 'auth2-service-url']),
                ({k: v for k, v in {**common, **tws}.items() if not k.startswith('auth2')}, ['auth2-service-url']),
                ({**common, **tws, 'mode': 'dws'}, ['mode', 'type-delegation-target']),
                ({**common, **tws, 'auth2-service-url': f'http://127.0.0.1:{free_port()}/'}, ['auth2-service-url'])):
            with self.subTest(names=names):
                service = self.stage.keep(Service(settings)).launch()
                with self.assertRaises(StartFailed):
                    service.wait_ready()
                self.assertNotEqual(service.process.returncode, 0)
                for name in names:
                    self.assertIn(name, service.log())

    def test_mode_chooses_where_both_are_given(self):
        tws = self.stage.tws(mode='tws', type_delegation_target='http://127.0.0.1:1/')
        self.assertEqual(tws.role, 'tws')
        self.assertEqual(self.stage.dws(tws.url, mode='dws', type_database_file='/nowhere/x').role, 'dws')

    def test_upstream_keys_are_accepted_and_told_once(self):
        tws = self.stage.tws(backend_type='GridFS', mongodb_database='workspace', handle_service_url='http://h/')
        self.assertEqual(tws.wait_log('backend-type').count('backend-type'), 1)

    def test_config_check_reports_everything_at_once(self):
        path = os.path.join(self.stage.dir, 'bad.cfg')
        with open(path, 'w', encoding='utf-8') as f:
            f.write('[Workspace]\nport = x\nlisten-adress = ::1\ntype-delegation-target = nope\n')
        done = subprocess.run([BINARY, 'config', '--check', path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        for text in ('port', 'listen-adress', 'listen-address', 'type-delegation-target', 'auth2-service-url'):
            self.assertIn(text, done.stderr)


class TokensFile(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.file = os.path.join(self.stage.dir, 'tokens')

    def add(self, name, role='user'):
        done = subprocess.run([BINARY, 'token', 'add', name, '--role', role, '--file', self.file], capture_output=True,
                              text=True, check=True)
        token = done.stdout.split()[-1]
        with open(self.file, encoding='utf-8') as f:
            text = f.read()
        self.assertIn(hashlib.sha256(token.encode()).hexdigest(), text)
        self.assertNotIn(token, text)
        return token

    def test_users_and_roles_and_reload(self):
        ann, root = self.add('ann'), self.add('root', 'admin')
        settings = {k: v for k, v in self.stage.common().items() if not k.startswith('auth2')}
        tws = self.stage.keep(Service({**settings, **self.stage.database(), 'auth-tokens-file': self.file})).start()
        with tws.client() as c:
            make_module(c, 'Life', user=ann, admin=root)
            self.assertEqual(list(register(c, SPEC, ['T'], user=ann)), ['Life.T-0.1'])
            self.assertEqual(c.call('get_admin_role', token=ann), {'adminrole': 'none'})
            self.assertEqual(c.fails('get_admin_role', token='wrong').message,
                             'Token validation failed: Auth service returned an error: 10020 Invalid token')
            eve = self.add('eve', 'read-admin')
            self.assertEqual(c.fails('get_admin_role', token=eve).code, -32400)
            tws.signal(signal.SIGHUP)
            end = time.monotonic() + 10
            while True:
                reply = c.raw_call('get_admin_role', token=eve).json()
                if 'result' in reply:
                    break
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            self.assertEqual(reply['result'], [{'adminrole': 'read'}])
        for token in (ann, root, eve):
            self.assertNotIn(token, tws.log())


class AuthTrouble(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.tws = self.stage.tws(auth_timeout=2)

    def test_one_question_however_many_wait(self):
        self.stage.auth.delay = 0.5

        def ask():
            with self.tws.client('t-many') as c:
                c.raw_call('get_module_info', {'mod': 'Nope'})

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.stage.auth.counts['/api/V2/token'], 1)

    def test_service_down_is_told_quickly_and_heals(self):
        self.stage.auth.broken = (503, b'<html>down</html>')
        with self.tws.client('t-ann') as c:
            error = c.fails('get_module_info', {'mod': 'Nope'})
            self.assertEqual(error.code, -32400)
            self.assertTrue(error.message.startswith('Token validation failed: Failed reading from auth url '), error.message)
            self.assertTrue(error.message.endswith('with response code 503 - response is not JSON: <html>down</html>'))
            self.stage.auth.broken = None
            self.assertEqual(c.fails('get_module_info', {'mod': 'Nope'}).message, "Module doesn't exist: Nope")
            self.stage.auth.delay = 5
            start = time.monotonic()
            self.assertTrue(c.fails('get_module_info', {'mod': 'Nope'}, token='t-slow').message.startswith(
                'Token validation failed: '))
            self.assertLess(time.monotonic() - start, 4)

    def test_user_names_from_auth2_are_checked(self):
        with self.tws.client('t-bad user!') as c:
            self.assertEqual(c.fails('get_type_info', 'Nope.T').message, 'Illegal character in user name bad user!:  ')


class Log(unittest.TestCase):
    def test_one_line_per_request_without_tokens(self):
        stage = Stage()
        self.addCleanup(stage.close)
        tws = stage.tws()
        dws = stage.dws(tws.url)
        secret = 't-ann-with-a-secret'
        with dws.client(secret) as c:
            c.raw_call('get_module_info', {'mod': 'Nope'}, headers=[('X-Forwarded-For', '192.0.2.7, 10.0.0.1')])
            c.raw_call('release_module', 'Nope')
        for service in (dws, tws):
            service.stop()
            text = service.log()
            self.assertNotIn(secret, text)
            lines = [x for x in text.splitlines() if 'event=request' in x and 'get_module_info' in x]
            self.assertEqual(len(lines), 1, text)
            self.assertIn('ip=192.0.2.7', lines[0])
            self.assertIn('outcome=', lines[0])


if __name__ == '__main__':
    unittest.main()

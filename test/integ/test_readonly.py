"""A TWS that may not write, because it was told so or because it finds out: reads are served, changes refused, and it says why."""
import hashlib
import os
import subprocess
import unittest

from harness import Service, Stage, StartFailed, make_module, register

SPEC = 'module Mod {\ntypedef structure { int a; } T;\n};\n'
TWO = SPEC.replace('int a;', 'int a; int b;')
NOBODY = 65534
CHANGES = (('request_module_ownership', 'New'), ('release_module', 'Mod'), ('register_typespec', {'spec': TWO, 'dryrun': 0}),
           ('grant_module_ownership', {'mod': 'Mod', 'new_owner': 'bob'}), ('remove_module_ownership', {'mod': 'Mod', 'old_owner': 'ann'}))


class Plain(Service):
    """Without root's rights, which no permission stops."""

    def launch(self):
        if os.geteuid() != 0:
            return super().launch()
        os.chmod(self.dir, 0o777)
        self.write_config()
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen([self.binary, 'serve', '--config', self.config, '--ready-file', self.ready],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=NOBODY, group=NOBODY)
        return self


class ReadOnly(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        os.chmod(self.stage.dir, 0o755)
        self.home = os.path.join(self.stage.dir, 'home')
        os.mkdir(self.home, 0o777)
        os.chmod(self.home, 0o777)
        os.mkdir(os.path.join(self.home, 'tmp'))
        os.chmod(os.path.join(self.home, 'tmp'), 0o777)
        self.database = os.path.join(self.home, 'types#1?.sqlite')

    def settings(self, **more):
        return {**self.stage.common(), 'type-database-file': self.database, 'temp-dir': os.path.join(self.home, 'tmp'),
                **{k.replace('_', '-'): v for k, v in more.items()}}

    def fill(self, kill=False):
        tws = self.stage.keep(Service(self.settings())).start()
        with tws.client() as c:
            make_module(c, 'Mod')
            register(c, SPEC, ['T'])
            c.call('release_module', 'Mod', token='t-ann')
            c.call('request_module_ownership', 'Soon', token='t-ann')
            self.schema = c.call('get_jsonschema', 'Mod.T')
        if kill:
            tws.kill()
        else:
            self.assertEqual(tws.stop(), 0)
        self.before = self.content()

    def content(self):
        with open(self.database, 'rb') as f:
            return hashlib.sha256(f.read()).hexdigest()

    def check(self, tws, configured, reason):
        with tws.client() as c:
            self.assertEqual(c.call('get_jsonschema', 'Mod.T'), self.schema)
            self.assertEqual(c.call('list_all_types', {}), {'Mod': {'T': '1.0'}})
            self.assertEqual(list(register(c, TWO, [], dryrun=1)), ['Mod.T-2.0'])
            for call in CHANGES:
                error = c.fails(*call, token='t-ann')
                self.assertIn('The type database can only be read here: ', error.message)
                self.assertIn(reason, error.message)
                self.assertIn('read_only', error.trace)
            for command in ('approveModRequest', 'denyModRequest'):
                error = c.fails('administer', {'command': command, 'module': 'Soon'}, token='t-root')
                self.assertIn('can only be read here', error.message)
            about = c.call('TypeService.describe')
            self.assertEqual(about['read_only'], 1)
            self.assertIn(reason, about['read_only_reason'])
        status = tws.status()
        self.assertEqual((status['read_only']['configured'], status['read_only']['effective']), (configured, True))
        self.assertIn(reason, status['read_only']['reason'])
        self.assertFalse(status['store']['lease_held'])
        self.assertEqual(tws.get('/ready').status, 200)
        tws.wait_log('tws.read_only')
        self.assertEqual(tws.stop(), 0)
        self.assertEqual(self.content(), self.before)

    def test_writable_says_so(self):
        tws = self.stage.keep(Service(self.settings())).start()
        self.assertEqual(tws.status()['read_only'], {'configured': False, 'effective': False, 'reason': None})
        with tws.client() as c:
            about = c.call('TypeService.describe')
            self.assertEqual((about['read_only'], about['read_only_reason']), (0, None))

    def test_configured(self):
        self.fill()
        self.check(self.stage.keep(Service(self.settings(read_only='true'))).start(), True, 'read-only is true in the configuration')

    def test_configured_after_a_crash(self):
        self.fill(kill=True)
        self.check(self.stage.keep(Service(self.settings(read_only='true'))).start(), True, 'read-only is true in the configuration')

    def test_file_without_permission(self):
        self.fill()
        os.chmod(self.database, 0o444)
        self.check(self.stage.keep(Plain(self.settings())).start(), False, 'the type database file may not be written')

    def test_directory_without_permission(self):
        self.fill()
        os.chmod(self.database, 0o666)
        for with_lock in (True, False):
            with self.subTest(with_lock=with_lock):
                if not with_lock:
                    os.unlink(self.database + '.lock')
                os.chmod(self.home, 0o555)
                tws = self.stage.keep(Plain(self.settings())).start()
                self.check(tws, False, 'the directory of the type database file may not be written')
                os.chmod(self.home, 0o777)

    def test_several_readers_and_no_writer(self):
        self.fill()
        readers = [self.stage.keep(Service(self.settings(read_only='true'))).start() for _ in range(2)]
        writer = self.stage.keep(Service(self.settings())).launch()
        with self.assertRaises(StartFailed):
            writer.wait_ready()
        self.assertIn('open for reading in another process', writer.log())
        for reader in readers:
            with reader.client() as c:
                self.assertEqual(c.call('get_jsonschema', 'Mod.T'), self.schema)
            self.assertEqual(reader.stop(), 0)

    def test_refused_beside_a_writer(self):
        self.fill()
        writer = self.stage.keep(Service(self.settings())).start()
        reader = self.stage.keep(Service(self.settings(read_only='true'))).launch()
        with self.assertRaises(StartFailed):
            reader.wait_ready()
        self.assertIn(f'process {writer.process.pid}', reader.log())

    def test_nothing_there(self):
        tws = self.stage.keep(Service(self.settings(read_only='true'))).launch()
        with self.assertRaises(StartFailed):
            tws.wait_ready()
        tws.wait_log(self.database)
        self.assertFalse(os.path.exists(self.database))


if __name__ == '__main__':
    unittest.main()

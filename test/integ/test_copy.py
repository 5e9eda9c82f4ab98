"""register_typespec_copy: what may be fetched from where, with whose token, and what comes of it."""
import unittest

from harness import Stage, make_module, register
from test_forwarding import Recorder

BASE = 'module Base {\ntypedef structure { int a; } B;\n};\n'
COPY = '#include <Base.types>\nmodule Copied {\ntypedef structure { Base.B b; } T;\ntypedef structure { int x; } U;\n};\n'


class Copy(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.remote = self.stage.tws(type_database_file=f'{self.stage.dir}/remote.sqlite')
        host = self.remote.url.split('/')[2]
        self.local = self.stage.tws(typespec_copy_hosts=host)
        with self.remote.client('t-rob') as c:
            for module, text, types in (('Base', BASE, ['B']), ('Copied', COPY, ['T', 'U'])):
                make_module(c, module, user='t-rob')
                register(c, text, types, user='t-rob')
                c.call('release_module', module)
        self.c = self.local.client('t-ann')
        self.addCleanup(self.c.http.close)
        make_module(self.c, 'Copied')

    def copy(self, url=None, **more):
        return self.c.call('register_typespec_copy', {'external_workspace_url': url or self.remote.url, 'mod': 'Copied', **more})

    def fails(self, token='t-ann', **params):
        return self.c.fails('register_typespec_copy', {'external_workspace_url': self.remote.url, 'mod': 'Copied', **params},
                            token=token).message

    def test_needs_the_included_module_with_the_same_content(self):
        self.assertEqual(self.fails(), "Module doesn't exist: Base")
        make_module(self.c, 'Base')
        register(self.c, BASE.replace('int a', 'int other'), ['B'])
        self.c.call('release_module', 'Base')
        self.assertRegex(self.fails(), r'^Can not find local module Base synchronized with external version \d+ '
                                       r'\(md5=[0-9a-f]{32}\)$')

    def with_base(self):
        make_module(self.c, 'Base')
        register(self.c, BASE, ['B'])
        self.c.call('release_module', 'Base')

    def test_copies_the_spec_and_its_types(self):
        self.with_base()
        version = self.copy()
        info = self.c.call('get_module_info', {'mod': 'Copied'})
        self.assertEqual((info['ver'], info['spec'], info['is_released']), (version, COPY, 0))
        self.assertEqual(sorted(info['types']), ['Copied.T-0.1', 'Copied.U-0.1'])

    def test_works_after_a_type_was_removed_here_and_puts_it_back(self):
        self.with_base()
        self.copy()
        self.c.call('register_typespec', {'mod': 'Copied', 'remove_types': ['U'], 'dryrun': 0})
        self.assertEqual(sorted(self.c.call('get_module_info', {'mod': 'Copied'})['types']), ['Copied.T-0.1'])
        self.copy()
        self.assertEqual(sorted(self.c.call('get_module_info', {'mod': 'Copied'})['types']), ['Copied.T-0.1', 'Copied.U-0.1'])

    def test_a_type_removed_on_both_sides_stays_away(self):
        self.with_base()
        self.copy()
        with self.remote.client('t-rob') as r:
            r.call('register_typespec', {'mod': 'Copied', 'remove_types': ['U'], 'dryrun': 0})
            r.call('release_module', 'Copied')
        self.copy()
        self.copy()
        self.assertEqual(list(self.c.call('get_module_info', {'mod': 'Copied'})['types']), ['Copied.T-0.1'])

    def test_ownership_comes_first(self):
        spy = self.stage.keep(Recorder())
        message = self.c.fails('register_typespec_copy', {'external_workspace_url': spy.url, 'mod': 'Copied'}, token='t-eve').message
        self.assertEqual(message, 'User eve is not in list of owners of module Copied')
        self.assertEqual(spy.seen, [])

    def test_parameters(self):
        call = self.c.fails
        self.assertEqual(call('register_typespec_copy', {}).message, 'Must provide a URL for an external workspace service')
        self.assertEqual(call('register_typespec_copy', {'external_workspace_url': 'http://x/'}).message,
                         'Must provide a module name')
        self.assertEqual(self.fails(external_workspace_url='nowhere'), 'no protocol: nowhere')
        self.assertEqual(self.fails(external_workspace_url='gopher2://x/'), 'unknown protocol: gopher2')
        self.assertEqual(self.fails(foo=1), 'Unexpected arguments in RegisterTypespecCopyParams: foo')

    def test_unlisted_places(self):
        spy = self.stage.keep(Recorder())
        port = spy.url.split(':')[2].rstrip('/')
        for url in (spy.url, f'http://localhost:{port}/', f'https://127.0.0.1:{port}/', f'https://localhost:{port}/',
                    f'https://[::ffff:127.0.0.1]:{port}/', 'ftp://example.org/', f'http://[::1]:{port}/'):
            with self.subTest(url=url):
                self.fails(external_workspace_url=url)
        self.assertEqual(spy.seen, [])

    def test_remote_errors_are_passed_on(self):
        make_module(self.c, 'Missing')
        message = self.c.fails('register_typespec_copy', {'external_workspace_url': self.remote.url, 'mod': 'Missing'}).message
        self.assertEqual(message, "Module doesn't exist: Missing")
        self.remote.kill()
        self.assertEqual(self.fails(), 'Connection refused')
        self.assertEqual(self.fails(external_workspace_url='https://Nowhere.invalid/services'), 'nowhere.invalid')

    def test_a_given_version(self):
        self.with_base()
        with self.remote.client('t-rob') as r:
            register(r, COPY.replace('int x', 'int x; int y'), [], user='t-rob')
            old, new = r.call('list_module_versions', {'mod': 'Copied'})['vers'][-2:]
        self.copy(version=old)
        self.assertEqual(self.c.call('get_module_info', {'mod': 'Copied'})['spec'], COPY)
        self.copy(version=new)
        self.assertIn('int x; int y', self.c.call('get_module_info', {'mod': 'Copied'})['spec'])
        self.assertEqual(self.fails(version=5), 'There is no information about module Copied for version 5')


class Tokens(unittest.TestCase):
    def test_listed_hosts_get_the_token(self):
        stage = Stage()
        self.addCleanup(stage.close)
        spy = stage.keep(Recorder())
        local = stage.tws(typespec_copy_hosts=spy.url.split('/')[2])
        with local.client('t-ann') as c:
            make_module(c, 'Copied')
            c.fails('register_typespec_copy', {'external_workspace_url': spy.url, 'mod': 'Copied'})
        self.assertEqual([h.get('Authorization') for h, _ in spy.seen], ['t-ann'])


if __name__ == '__main__':
    unittest.main()

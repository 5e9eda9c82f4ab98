"""The deviations from upstream that docs/deviations.md lists, as users see them."""
import sqlite3
import unittest

from harness import Stage, make_module, register

SPEC = ('module Dev {\ntypedef structure { int a; } T;\ntypedef structure { int b; } U;\n'
        'funcdef f(T t) returns (int);\nfuncdef g(int x) returns (T t);\n};\n')
WITHOUT = 'module Dev {\ntypedef structure { int a; } T;\nfuncdef f(T t) returns (int);\n};\n'


class Deviation(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.tws = self.stage.tws()
        self.c = self.tws.client('t-ann')
        self.addCleanup(self.c.http.close)
        make_module(self.c, 'Dev')


class NeverNull(Deviation):
    def test_null_parameters(self):
        for method in ('register_typespec', 'register_typespec_copy', 'grant_module_ownership', 'remove_module_ownership',
                       'list_modules', 'list_module_versions', 'get_module_info', 'list_all_types', 'request_module_ownership',
                       'release_module', 'get_jsonschema', 'get_type_info', 'get_func_info', 'get_all_type_info',
                       'get_all_func_info', 'translate_from_MD5_types', 'translate_to_MD5_types', 'administer'):
            with self.subTest(method=method):
                error = self.c.fails(method, None, token='t-root')
                self.assertIsInstance(error.message, str)
                self.assertTrue(error.message)
                self.assertEqual(error.code, -32500)


class RemovedThenReleased(Deviation):
    def test_it(self):
        register(self.c, SPEC, ['T', 'U'])
        register(self.c, SPEC, [], remove_types=['U'])
        self.c.call('release_module', 'Dev')
        self.assertEqual(self.c.fails('get_type_info', 'Dev.U-1.0').message, 'Unable to locate type: Dev.U-1.0')
        self.assertEqual(self.c.fails('get_type_info', 'Dev.U').message, 'Unable to locate type: Dev.U')


class PutBack(Deviation):
    def test_type_and_function(self):
        register(self.c, SPEC, ['T', 'U'])
        self.c.call('release_module', 'Dev')
        self.assertEqual(register(self.c, WITHOUT, []), {})
        self.assertEqual(list(self.c.call('get_module_info', {'mod': 'Dev'})['types']), ['Dev.T-1.0'])
        back = register(self.c, SPEC, ['U'])
        self.assertEqual(list(back), ['Dev.U-1.0'])
        self.assertEqual(list(self.c.call('get_module_info', {'mod': 'Dev'})['types']), ['Dev.T-1.0', 'Dev.U-1.0'])
        self.assertEqual(self.c.call('get_func_info', 'Dev.g')['func_def'], 'Dev.g-1.0')

    def test_same_spec_with_only_the_list_changed(self):
        register(self.c, SPEC, ['T', 'U'])
        self.c.call('register_typespec', {'mod': 'Dev', 'remove_types': ['U'], 'dryrun': 0})
        self.assertEqual(list(self.c.call('register_typespec', {'mod': 'Dev', 'new_types': ['U'], 'dryrun': 0})), ['Dev.U-0.1'])
        self.assertIn('There is no difference', self.c.fails('register_typespec', {'mod': 'Dev', 'dryrun': 0}).message)


class Owners(Deviation):
    def test_null_and_empty_new_owner(self):
        for owner in (None, ''):
            self.assertTrue(self.c.fails('grant_module_ownership', {'mod': 'Dev', 'new_owner': owner}).message)
            self.assertTrue(self.c.fails('administer', {'command': 'grantModuleOwnership',
                                                        'params': {'mod': 'Dev', 'new_owner': owner}}, token='t-root').message)
        register(self.c, SPEC, ['T'])
        self.assertEqual(self.c.call('get_module_info', {'mod': 'Dev'})['owners'], ['ann'])

    def test_admin_grant_on_an_unknown_module(self):
        params = {'mod': 'Nope', 'new_owner': 'bob'}
        self.assertEqual(self.c.fails('administer', {'command': 'grantModuleOwnership', 'params': params}, token='t-root').message,
                         "Module doesn't exist: Nope")
        self.assertIsNone(self.c.admin('grantModuleOwnership', params={'mod': 'Dev', 'new_owner': 'bob'}, token='t-root'))


class Orders(Deviation):
    def test_by_name_then_numeric_version(self):
        names = ['Z', 'a', 'B', 'T10', 'T9', 'x']
        text = 'module Dev {\n' + ''.join(f'typedef structure {{ int a; }} {n};\n' for n in names) + ''.join(
            f'funcdef {n}f(Z z) returns (int);\n' for n in names) + '};\n'
        want = [f'Dev.{n}-0.1' for n in sorted(names)]
        self.assertEqual(list(register(self.c, text, names)), want)
        info = self.c.call('get_module_info', {'mod': 'Dev'})
        self.assertEqual((list(info['types']), info['functions']), (want, [f'Dev.{n}f-0.1' for n in sorted(names)]))
        self.assertEqual([t['type_def'] for t in self.c.call('get_all_type_info', 'Dev')], want)
        self.assertEqual(self.c.call('get_type_info', 'Dev.Z')['using_func_defs'], [f'Dev.{n}f-0.1' for n in sorted(names)])
        self.assertEqual(self.c.call('release_module', 'Dev'), [f'Dev.{n}-1.0' for n in sorted(names)])
        for i in range(11):
            register(self.c, text.replace('typedef structure { int a; } Z', f'/* {i} */ typedef structure {{ int a; }} Z'), [])
        self.assertEqual(self.c.call('get_type_info', 'Dev.Z')['type_vers'],
                         ['Dev.Z-0.1'] + [f'Dev.Z-1.{i}' for i in range(12)])


class Orphans(Deviation):
    def test_rows_of_no_committed_version_are_invisible(self):
        register(self.c, SPEC, ['T'])
        self.tws.stop()
        path = self.tws.settings['type-database-file']
        with sqlite3.connect(path) as db:
            for table in ('module_type_schema', 'module_type_parse'):
                columns = [r[1] for r in db.execute(f'pragma table_info({table})')]
                kept = ', '.join(c for c in columns if c not in ('version', 'module_version'))
                db.execute(f"insert into {table} ({kept}, version, module_version) "
                           f"select {kept}, '7.7', module_version + 1 from {table} limit 1")
        db.close()
        self.tws.start()
        with self.tws.client('t-ann') as c:
            for method in ('get_type_info', 'get_jsonschema'):
                self.assertEqual(c.fails(method, 'Dev.T-7.7').message, 'Unable to locate type: Dev.T-7.7')
            md5 = c.call('translate_to_MD5_types', ['Dev.T'])['Dev.T']
            self.assertEqual(c.call('translate_from_MD5_types', [md5])[md5], ['Dev.T-0.1'])


if __name__ == '__main__':
    unittest.main()

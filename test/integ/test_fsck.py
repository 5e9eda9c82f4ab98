"""Damage of every kind: the TWS serves everything else and names it, `wstyped fsck` finds exactly it, --repair mends what it can."""
import json
import os
import shutil
import sqlite3
import subprocess
import unittest

from harness import BINARY, RpcError, Service, Stage, make_module, register

BASE = ('module Base {\ntypedef structure { int a; } T;\ntypedef structure { T t; list<T> l; } U;\ntypedef int Gone;\n'
        'typedef structure { T inner; } Helper;\ntypedef structure { Helper h; } W;\nfuncdef f(T t) returns (U u);\n};\n')
BASE2 = BASE.replace('int a;', 'int a;\n/*@optional b*/ int b;').replace('/*@optional b*/ int b;', 'string c;')
USER = '#include <Base.types>\nmodule User {\ntypedef structure { Base.T t; mapping<string, Base.U> m; } V;\nfuncdef g(V v) returns (Base.U u);\n};\n'
MODULES = ('Base', 'User', 'Fresh', 'Open')
NEWEST = "(SELECT version_time FROM module_version WHERE module_name = 'Base')"
INFO = ("INSERT INTO module_info_history SELECT module_name, included_module_name_to_version, types, funcs, description, md5hash, "
        "version_time + 5, upload_user_id, upload_method, upload_comment, 0 FROM module_info_history "
        f"WHERE module_name = 'Base' AND version_time = {NEWEST}")
SPEC = f"INSERT INTO module_spec_history SELECT module_name, version_time + 5, document FROM module_spec_history WHERE module_name = 'Base' AND version_time = {NEWEST}"
POINTER = "UPDATE module_version SET version_time = version_time + 5 WHERE module_name = 'Base'"


def row(table, name='type_name'):
    columns = f'module_name, {name}, version, module_version, document' + (', md5hash' if table == 'module_type_schema' else '')
    values = columns.replace('version, module_version', f"'9.0', {NEWEST} + 5")
    first = 'T' if name == 'type_name' else 'f'
    return f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE module_name = 'Base' AND {name} = '{first}' AND version = '1.0'"


def edge(**changes):
    fields = ('dep_module', 'dep_name', 'dep_version', 'dep_module_version', 'ref_module', 'ref_name', 'ref_version')
    values = ', '.join(changes.get(f, f) for f in fields)
    return f"INSERT INTO type_refs SELECT {values} FROM type_refs WHERE dep_module = 'Base' AND dep_name = 'U' AND dep_version = '1.0' LIMIT 1"


# name: statements, kinds found, module that the TWS calls damaged or None, kinds that are left after --repair
CASES = {
    'pointer-without-info': ([POINTER], {'dangling_pointer'}, 'Base', set()),
    'pointer-without-spec': ([INFO, POINTER], {'dangling_pointer', 'orphan_info'}, 'Base', set()),
    'crash-before-info': ([row('module_type_schema'), row('module_type_parse'), POINTER, edge(dep_version="'9.0'")],
                          {'dangling_pointer', 'orphan_row', 'orphan_edge'}, 'Base', set()),
    'released-pointer-without-info': (["UPDATE module_version SET released_version_time = released_version_time + 1 WHERE module_name = 'Base'"],
                                      {'dangling_pointer'}, 'Base', set()),
    'orphan-rows': ([row('module_type_schema'), row('module_type_parse'), row('module_func_parse', 'func_name')], {'orphan_row'}, None, set()),
    'orphan-schema-alone': ([row('module_type_schema')], {'orphan_row'}, None, set()),
    'orphan-edges': ([edge(dep_version="'9.0'"), edge(ref_version="'9.0'")], {'orphan_edge'}, None, set()),
    'orphan-spec': ([SPEC], {'orphan_spec'}, None, set()),
    'orphan-info': ([INFO], {'orphan_info'}, 'Base', set()),
    'edges-lost': (["DELETE FROM type_refs WHERE dep_module = 'Base'", "DELETE FROM func_refs WHERE dep_module = 'Base'"],
                   {'missing_edge'}, None, set()),
    'edges-lost-of-includer': (["DELETE FROM type_refs WHERE dep_module = 'User'", "DELETE FROM func_refs WHERE dep_module = 'User'"],
                               {'missing_edge'}, None, set()),
    'edges-twice': (['INSERT INTO type_refs SELECT * FROM type_refs', edge(dep_module_version='dep_module_version + 1')],
                    {'duplicate_edge'}, None, set()),
    'edge-to-nowhere': ([edge(ref_module="'Nowhere'")], {'unknown_edge'}, None, {'unknown_edge'}),
    'release-unflagged': ("UPDATE module_info_history SET released = 0 WHERE module_name = 'Base' AND version_time = "
                          "(SELECT released_version_time FROM module_version WHERE module_name = 'Base')", {'released_unflagged'}, None, set()),
    'release-half-done': (f"UPDATE module_info_history SET released = 1 WHERE module_name = 'Base' AND version_time = {NEWEST}",
                          {'half_released'}, None, {'half_released'}),
    'empty-owner': ("INSERT INTO module_owner VALUES ('', 1, 'Base')", {'empty_owner'}, None, set()),
    'owner-of-nothing': ("INSERT INTO module_owner VALUES ('zoe', 1, 'Nothing')", {'owner_without_module'}, None, set()),
    'no-owner': ("DELETE FROM module_owner WHERE module_name = 'Open'", {'no_owner'}, None, {'no_owner'}),
    'stale-request': ("INSERT INTO module_request VALUES (NULL, 'zoe', 1, 'Base')", {'stale_request'}, None, set()),
    'two-requests': (["INSERT INTO module_request VALUES (NULL, 'zoe', 1, 'Soon')", "INSERT INTO module_request VALUES (NULL, 'ann', 1, 'Soon')"],
                     {'duplicate_request'}, None, {'duplicate_request'}),
    'approval-crashed-at-once': (["INSERT INTO module_request VALUES (NULL, 'zoe', 1, 'Soon')", "INSERT INTO module_version VALUES ('Soon', 7, 7, 1)"],
                                 {'unfinished_approval'}, 'Soon', set()),
    'approval-crashed-before-owner': (["DELETE FROM module_owner WHERE module_name = 'Fresh'", "INSERT INTO module_request VALUES (NULL, 'ann', 1, 'Fresh')"],
                                      {'unfinished_approval'}, None, set()),
    'row-lost': ("DELETE FROM module_type_schema WHERE module_name = 'Base' AND type_name = 'T' AND version = '1.0'",
                 {'missing_row'}, 'Base', {'missing_row'}),
    'function-row-lost': ("DELETE FROM module_func_parse WHERE module_name = 'Base' AND version = '1.0'", {'missing_row'}, 'Base', {'missing_row'}),
    'old-spec-lost': ("DELETE FROM module_spec_history WHERE module_name = 'Base' AND version_time = (SELECT min(version_time) "
                      "FROM module_spec_history WHERE module_name = 'Base')", {'missing_spec'}, None, {'missing_spec'}),
    'old-info-lost': ("DELETE FROM module_info_history WHERE module_name = 'Base' AND version_time = (SELECT min(version_time) "
                      "FROM module_spec_history WHERE module_name = 'Base')",
                      {'missing_info'}, None, {'missing_info'}),
    'stray-version': ([INFO, SPEC], {'stray_version'}, 'Base', {'stray_version'}),
    'module-record-lost': ("DELETE FROM module_version WHERE module_name = 'User'", {'missing_pointers'}, None, {'missing_pointers'}),
    'unreadable-info': (f"UPDATE module_info_history SET types = '[' WHERE module_name = 'Base' AND version_time = {NEWEST}", None, 'Base', None),
    'unreadable-row': ("UPDATE module_type_schema SET version = 'x.y' WHERE module_name = 'Open'",
                       {'unreadable_record', 'missing_row'}, 'Open', {'unreadable_record', 'missing_row'}),
    'broken-parse-record': ("UPDATE module_type_parse SET document = '{}' WHERE module_name = 'User'", {'unreadable_parse_record'}, None,
                            {'unreadable_parse_record'}),
}


def attempt(c, method, *params, token='t-ann'):
    try:
        return c.call(method, *params, token=token)
    except RpcError as e:
        return e.message


def answers(c, module):
    out = [attempt(c, 'list_module_versions', {'mod': module}, token=t) for t in ('t-ann', 't-bob')]
    out += [attempt(c, 'get_module_info', {'mod': module}, token=t) for t in ('t-ann', 't-bob')]
    for name in 'TUVWf':
        for version in ('', '-0.1', '-1', '-1.0', '-1.1', '-2.0', '-9.0'):
            for token in ('t-ann', 't-bob'):
                out += [attempt(c, 'get_type_info', f'{module}.{name}{version}', token=token)]
            out += [attempt(c, 'get_func_info', f'{module}.{name.lower()}{version}')]
    return out


def everything(c, modules=MODULES):
    return {'types': {k: v for k, v in c.call('list_all_types', {'with_empty_modules': 1}).items() if k in modules},
            'modules': [m for m in c.call('list_modules', {}) if m in modules], **{m: answers(c, m) for m in modules}}


class Fsck(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        cls.addClassCleanup(cls.stage.close)
        tws = cls.stage.tws(type_database_file=os.path.join(cls.stage.dir, 'healthy'))
        with tws.client() as c:
            make_module(c, 'Base')
            register(c, BASE, ['T', 'U', 'Gone', 'W'])
            register(c, BASE.replace('int a;', 'float a;'), [], remove_types=['Gone'])
            c.call('release_module', 'Base', token='t-ann')
            make_module(c, 'User')
            register(c, USER, ['V'])
            c.call('release_module', 'User', token='t-ann')
            register(c, BASE2, [])
            make_module(c, 'Fresh')
            make_module(c, 'Open')
            register(c, 'module Open {\ntypedef string T;\n};\n', ['T'])
            cls.healthy = everything(c)
        assert tws.stop() == 0
        cls.base = tws.settings['type-database-file']

    def tws(self, database):
        return self.stage.keep(Service({**self.stage.common(), 'type-database-file': database}))

    def copy(self, name):
        target = os.path.join(self.stage.dir, name)
        shutil.copyfile(self.base, target)
        return target

    def damage(self, database, statements):
        db = sqlite3.connect(database)
        for statement in [statements] if isinstance(statements, str) else statements:
            self.assertGreater(db.execute(statement).rowcount, 0, statement)
        db.commit()
        db.close()

    def fsck(self, database, *args, status=None):
        config = os.path.join(self.stage.dir, 'fsck.cfg')
        service = Service({**self.stage.common(), 'type-database-file': database})
        service.config = config
        service.write_config()
        shutil.rmtree(service.dir)
        done = subprocess.run([BINARY, 'fsck', '--config', config, *args], capture_output=True, text=True, timeout=60)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def found(self, database, *args, status=None):
        return json.loads(self.fsck(database, '--json', *args, status=status).stdout)

    def test_healthy_is_clean(self):
        database = self.copy('clean')
        self.assertEqual(self.found(database, status=0), {'modules': 4, 'mended': 0, 'left': 0, 'findings': []})
        self.assertEqual(self.found(database, '--repair', status=0)['mended'], 0)
        self.assertIn('4 modules, clean', self.fsck(database, status=0).stdout)

    def case(self, name, statements, kinds, damaged, left):
        database = self.copy(name)
        self.damage(database, statements)
        others = [m for m in MODULES if m != (damaged or 'Base') and m != 'Base' and not (name == 'module-record-lost' and m == 'User')]

        about = self.found(database, status=1)
        if kinds is not None:
            self.assertEqual({f['kind'] for f in about['findings']}, kinds)
        self.assertTrue(all(f['state'] == 'left' and f['what'] for f in about['findings']))

        tws = self.tws(database).start()
        with tws.client() as c:
            self.assertIn(damaged, [d['module'] for d in tws.status()['damaged']] + [None])
            self.assertEqual(len(tws.status()['damaged']), 1 if damaged else 0)
            c.call('list_all_types', {'with_empty_modules': 1})
            if kinds is not None and not kinds & {'missing_edge', 'no_owner', 'unfinished_approval', 'unreadable_parse_record'}:
                now = everything(c, others)
                for m in others:
                    self.assertEqual([a for a in now[m] if 'Base' not in str(a)], [a for a in self.healthy[m] if 'Base' not in str(a)])
            if damaged == 'Base':
                for call in (('release_module', 'Base'), ('register_typespec', {'spec': BASE2.replace('string c', 'int c'), 'dryrun': 0}),
                             ('grant_module_ownership', {'mod': 'Base', 'new_owner': 'bob'})):
                    error = c.fails(*call, token='t-ann').message
                    self.assertIn('Module Base can only be read', error)
                    self.assertIn('wstyped fsck', error)
        self.assertEqual(tws.stop(), 0)

        before = about['findings']
        about = self.found(database, '--repair', status=1 if left or left is None else 0)
        if left is not None:
            self.assertEqual({f['kind'] for f in about['findings'] if f['state'] == 'left'}, left)
            self.assertEqual({f['kind'] for f in about['findings'] if f['state'] == 'mended'}, kinds - left)
        again = self.found(database)
        self.assertEqual(again['left'], about['left'])
        self.assertEqual(again['mended'], 0)
        if left == set():
            tws = self.tws(database).start()
            with tws.client() as c:
                self.assertEqual(tws.status()['damaged'], [])
                now = everything(c)
                for key in self.healthy:
                    self.assertEqual(now[key], self.healthy[key])
                if damaged == 'Base':
                    register(c, BASE2.replace('string c', 'int c'), [])
            self.assertEqual(tws.stop(), 0)
        return before

    def test_unfinished_approval_is_finished(self):
        database = self.copy('approval')
        self.damage(database, CASES['approval-crashed-at-once'][0])
        self.assertEqual(self.found(database, '--repair', status=0)['mended'], 2)
        tws = self.tws(database).start()
        with tws.client() as c:
            self.assertEqual(register(c, 'module Soon {\ntypedef int A;\n};\n', ['A'], user='t-zoe').keys(), {'Soon.A-0.1'})
            self.assertEqual(c.admin('listModRequests', token='t-root'), [])
        self.assertEqual(tws.stop(), 0)

    def test_several_damages_at_once(self):
        database = self.copy('several')
        for name in ('pointer-without-spec', 'edges-lost-of-includer', 'empty-owner', 'stale-request', 'edges-twice'):
            self.damage(database, CASES[name][0])
        self.assertEqual(self.found(database, '--repair', status=0)['left'], 0)
        tws = self.tws(database).start()
        with tws.client() as c:
            self.assertEqual(everything(c), self.healthy)
        self.assertEqual(tws.stop(), 0)

    def test_beside_a_running_tws(self):
        tws = self.tws(self.copy('busy')).start()
        database = tws.settings['type-database-file']
        self.assertIn('clean', self.fsck(database, status=0).stdout)
        refused = self.fsck(database, '--repair', status=2)
        self.assertIn(str(tws.process.pid), refused.stderr)
        with tws.client() as c:
            make_module(c, 'Later')
        self.assertEqual(self.found(database, status=0)['modules'], 5)
        self.assertEqual(tws.stop(), 0)

    def test_what_cannot_be_checked(self):
        missing = os.path.join(self.stage.dir, 'missing')
        for args in ((), ('--repair',)):
            self.assertIn('missing', self.fsck(missing, *args, status=2).stderr)
            self.assertFalse(os.path.exists(missing))
        other = os.path.join(self.stage.dir, 'text')
        with open(other, 'w', encoding='utf-8') as f:
            f.write('no database\n' * 100)
        self.assertIn('not a wstyped type database', self.fsck(other, status=2).stderr)
        self.assertEqual(subprocess.run([BINARY, 'fsck', '--nonsense'], capture_output=True, check=False).returncode, 2)

    def test_lines_for_people(self):
        database = self.copy('lines')
        self.damage(database, CASES['pointer-without-info'][0])
        lines = self.fsck(database, status=1).stdout.splitlines()
        self.assertRegex(lines[0], r'^Base: dangling_pointer: the newest version \d+ has no info record; .*: left \(wstyped fsck --repair mends it\)$')
        self.assertEqual(lines[1], '4 modules, 0 mended, 1 left')
        lines = self.fsck(database, '--repair', status=0).stdout.splitlines()
        self.assertTrue(lines[0].endswith(': mended'))
        self.assertEqual(lines[1], '4 modules, 1 mended, 0 left')


def add_tests():
    for name, case in CASES.items():
        def test(self, name=name, case=case):
            self.case(name, *case)
        setattr(Fsck, 'test_' + name.replace('-', '_'), test)


add_tests()

if __name__ == '__main__':
    unittest.main()

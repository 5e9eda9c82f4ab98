"""The ten collections, document by document: what the TWS writes is what upstream writes, and it reads what upstream wrote.

The documents here are written by hand from the description of upstream's layout.  Field order and BSON types count: 64-bit
versions, true booleans, null for what is absent.
"""
import hashlib
import unittest

from harness import make_module, register
from mongo_stage import COLLECTIONS, Int32, KINDS, MongoStage, ObjectId, fsck, problems

BASE = 'module Base {\n\n/* How many. */\ntypedef int count;\n};\n'
LAY = '''#include <Base.types>
/* Things and their users. */
module Lay {

/* A thing.
@optional b */
typedef structure {
    Base.count a;
    string b;
} Thing;

typedef list<Thing> Things;

funcdef use(Things what) returns (int n) authentication required;
};
'''

COUNT_SCHEMA = '''{
  "id" : "count",
  "description" : "How many.",
  "type" : "integer",
  "original-type" : "kidl-int"
}'''
THING_SCHEMA = '''{
  "id" : "Thing",
  "description" : "A thing.\\n@optional b",
  "type" : "object",
  "original-type" : "kidl-structure",
  "properties" : {
    "a" : {
      "type" : "integer",
      "original-type" : "kidl-int"
    },
    "b" : {
      "type" : "string",
      "original-type" : "kidl-string"
    }
  },
  "additionalProperties" : true,
  "required" : [ "a" ]
}'''
INT = '{"!":"Bio::KBase::KIDL::KBT::Scalar","annotations":{},"scalar_type":"int"}'
STRING = INT.replace('"int"', '"string"')
NO_NOTES = '{"metadata":{},"searchable_ws_subset":{},"unknown_annotations":{}}'
COUNT = ('{"!":"Bio::KBase::KIDL::KBT::Typedef","alias_type":' + INT + ',"annotations":' + NO_NOTES +
         ',"comment":"How many.","module":"Base","name":"count"}')


class Version:
    """Stands for a version of a module: the n-th from 0."""

    def __init__(self, module, n):
        self.module, self.n = module, n


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def owner(user, may, module):
    return {'ownerUserId': user, 'withChangeOwnersPrivilege': may, 'moduleName': module}


def pointers(module, last, released):
    return {'moduleName': module, 'versionTime': Version(module, last), 'releasedVersionTime': Version(module, released),
            'supported': True}


def first(module):
    return {'moduleName': module, 'includedModuleNameToVersion': {}, 'types': {}, 'funcs': {}, 'description': None,
            'md5hash': None, 'versionTime': Version(module, 0), 'uploadUserId': None, 'uploadMethod': None,
            'uploadComment': None, 'released': True}


def info(module, n, includes, types, funcs, description, method, released, user='ann'):
    return {'moduleName': module, 'includedModuleNameToVersion': includes,
            'types': {t: {'typeName': t, 'typeVersion': v, 'supported': True} for t, v in types.items()},
            'funcs': {f: {'funcName': f, 'funcVersion': v, 'supported': True} for f, v in funcs.items()},
            'description': description, 'md5hash': any, 'versionTime': Version(module, n), 'uploadUserId': user,
            'uploadMethod': method, 'uploadComment': '', 'released': released}


def spec(module, n, text):
    return {'moduleName': module, 'document': text, 'versionTime': Version(module, n)}


def row(module, name, version, n, document, digest, kind='typeName'):
    out = {'moduleName': module, kind: name, 'version': version, 'moduleVersion': Version(module, n), 'document': document}
    return out if kind == 'funcName' else {**out, 'md5hash': digest}


def edge(dep, dep_version, n, ref, ref_version):
    (dm, dn), (rm, rn) = dep.split('.'), ref.split('.')
    return {'depModule': dm, 'depName': dn, 'depVersion': dep_version, 'depModuleVersion': Version(dm, n), 'refModule': rm,
            'refName': rn, 'refVersion': ref_version}


# what story() leaves; `any` where the text is long or a digest of it, looked at elsewhere
GOLDEN = {
    'module_request': [owner('bob', True, 'Wanted')],
    'module_version': [pointers('Base', 2, 2), pointers('Lay', 1, 0)],
    'module_owner': [owner('ann', True, 'Base'), owner('ann', True, 'Lay'), owner('bob', False, 'Lay')],
    'module_info_history': [
        first('Base'),
        info('Base', 1, {}, {'count': '0.1'}, {}, '', 'registerModule', False),
        info('Base', 2, {}, {'count': '1.0'}, {}, '', 'releaseModule', True),
        first('Lay'),
        info('Lay', 1, {'Base': Version('Base', 2)}, {'Thing': '0.1', 'Things': '0.1'}, {'use': '0.1'},
             'Things and their users.', 'registerModule', False)],
    'module_spec_history': [spec('Base', 1, BASE), spec('Base', 2, BASE), spec('Lay', 1, LAY)],
    'module_type_schema': [
        row('Base', 'count', '0.1', 1, COUNT_SCHEMA, md5(COUNT_SCHEMA)),
        row('Base', 'count', '1.0', 2, COUNT_SCHEMA, md5(COUNT_SCHEMA)),
        row('Lay', 'Thing', '0.1', 1, THING_SCHEMA, md5(THING_SCHEMA)),
        row('Lay', 'Things', '0.1', 1, any, any)],
    'module_type_parse': [
        row('Base', 'count', '0.1', 1, COUNT, None),
        row('Base', 'count', '1.0', 2, COUNT, None),
        row('Lay', 'Thing', '0.1', 1, any, None),
        row('Lay', 'Things', '0.1', 1, any, None)],
    'module_func_parse': [row('Lay', 'use', '0.1', 1, any, None, 'funcName')],
    'type_refs': [edge('Lay.Thing', '0.1', 1, 'Base.count', '1.0'), edge('Lay.Things', '0.1', 1, 'Lay.Thing', '0.1')],
    'func_refs': [edge('Lay.use', '0.1', 1, 'Lay.Things', '0.1')],
}
# as upstream makes them, and the one that it forgets
INDEXES = {
    'module_request': [(('moduleName', 'ownerUserId'), True), (('ownerUserId',), False)],
    'module_version': [(('moduleName',), True)],
    'module_owner': [(('moduleName', 'ownerUserId'), True), (('ownerUserId',), False)],
    'module_info_history': [(('moduleName', 'versionTime'), True)],
    'module_spec_history': [(('moduleName', 'versionTime'), True)],
    'module_type_schema': [(('moduleName', 'typeName', 'version'), True), (('moduleName', 'moduleVersion'), False)],
    'module_type_parse': [(('moduleName', 'typeName', 'version'), True), (('moduleName', 'moduleVersion'), False)],
    'module_func_parse': [(('moduleName', 'funcName', 'version'), True), (('moduleName', 'moduleVersion'), False)],
    'type_refs': [(('depModule', 'depName', 'depVersion'), False), (('refModule', 'refName', 'refVersion'), False),
                  (('depModule', 'depModuleVersion'), False)],
    'func_refs': [(('depModule', 'depName', 'depVersion'), False), (('refModule', 'refName', 'refVersion'), False),
                  (('depModule', 'depModuleVersion'), False)],
}


def story(c):
    make_module(c, 'Base')
    register(c, BASE, ['count'])
    c.call('release_module', 'Base', token='t-ann')
    make_module(c, 'Lay')
    c.call('grant_module_ownership', {'mod': 'Lay', 'new_owner': 'bob', 'with_grant_option': 0}, token='t-ann')
    register(c, LAY, ['Thing', 'Things'])
    c.call('request_module_ownership', 'Wanted', token='t-bob')


class Layout:
    def setUp(self):
        self.stage = MongoStage(self.kind)
        self.addCleanup(self.stage.close)
        self.db = self.stage.db

    def compare(self, got, want, versions, where):
        if want is any:
            self.assertIs(type(got), str, where)
        elif isinstance(want, Version):
            self.assertIs(type(got), int, where)
            self.assertEqual(got, versions[want.module][want.n], where)
        elif isinstance(want, dict):
            self.assertIs(type(got), dict, where)
            self.assertEqual(list(got), list(want), f'{where}: fields and their order')
            for key in want:
                self.compare(got[key], want[key], versions, f'{where}.{key}')
        else:
            self.assertIs(type(got), type(want), where)
            self.assertEqual(got, want, where)

    def test_documents_are_upstreams(self):
        tws = self.stage.tws()
        with tws.client() as c:
            story(c)
        with self.db.mongo() as m:
            versions = {}
            for d in m.find(self.db.name, 'module_info_history', sort={'versionTime': Int32(1)}):
                versions.setdefault(d['moduleName'], []).append(d['versionTime'])
            for collection in COLLECTIONS:
                got = m.find(self.db.name, collection)
                for d in got:
                    self.assertIs(type(d['_id']), ObjectId, collection)
                    self.assertEqual(list(d)[0], '_id', collection)
                got = sorted(({k: v for k, v in d.items() if k != '_id'} for d in got), key=lambda d: sort_key(d, versions))
                self.assertEqual(len(got), len(GOLDEN[collection]), collection)
                for i, want in enumerate(GOLDEN[collection]):
                    self.compare(got[i], want, versions, f'{collection}[{i}]')
                self.assertEqual(sorted((tuple(k), u) for k, u in m.indexes(self.db.name, collection)),
                                 sorted(INDEXES[collection]), collection)
            others = set(m.collections(self.db.name)) - set(COLLECTIONS)
            self.assertTrue(all(name.startswith('wstyped_') for name in others), others)
        self.assertEqual(problems(self.db.docs()), [])

    def test_opens_what_upstream_wrote(self):
        with self.db.mongo() as m:
            for collection, documents in upstream_database().items():
                m.insert(self.db.name, collection, *documents)
                for n, (keys, unique) in enumerate(INDEXES[collection]):
                    if collection == 'module_type_parse' and n == 1:
                        continue
                    m.command(self.db.name, {'createIndexes': collection, 'indexes': [
                        {'key': {k: Int32(1) for k in keys}, 'name': '_'.join(f'{k}_1' for k in keys), 'unique': unique}]})
            before = {c: m.find(self.db.name, c) for c in COLLECTIONS}
        tws = self.stage.tws()
        with tws.client() as c:
            self.answers(c)
            with self.db.mongo() as m:
                self.assertEqual({x: m.find(self.db.name, x) for x in COLLECTIONS}, before, 'opening changed documents')
                self.assertIn((['moduleName', 'moduleVersion'], False), m.indexes(self.db.name, 'module_type_parse'))
            self.goes_on(c)
        with self.db.mongo() as m:
            for collection in COLLECTIONS:
                if collection not in ('module_version', 'module_request'):
                    now = {d['_id']: d for d in m.find(self.db.name, collection)}
                    for d in before[collection]:
                        self.assertEqual(now.get(d['_id']), d, f'{collection}: a committed document was changed')
        self.assertEqual(problems(self.db.docs()), [])
        self.assertEqual(tws.stop(), 0)
        status, text = fsck(tws)
        self.assertEqual(status, 0, text)

    def answers(self, c):
        self.assertEqual(c.call('list_modules', {}), ['Old'])
        self.assertEqual(c.call('list_all_types', {'with_empty_modules': 1}), {'Old': {'alpha': '1.0', 'zeta': '2.0'}})
        about = c.call('get_module_info', {'mod': 'Old'})
        self.assertEqual((about['ver'], about['chsum'], about['is_released'], about['description'], about['owners']),
                         (T0 + 40, 'c' * 32, 1, 'Old things.', ['ann']))
        self.assertEqual(sorted(about['types']), ['Old.alpha-1.0', 'Old.zeta-2.0'])
        self.assertEqual(c.call('list_module_versions', {'mod': 'Old'})['vers'], [T0 + 20, T0 + 40])
        self.assertEqual(c.call('list_module_versions', {'mod': 'Old'}, token='t-ann')['vers'],
                         [T0 + 10, T0 + 20, T0 + 30, T0 + 40])
        for version, schema in (('', schema_of('zeta', 'b')), ('-2.0', schema_of('zeta', 'b')), ('-1', schema_of('zeta', 'a')),
                                ('-0.1', schema_of('zeta', 'a'))):
            self.assertEqual(c.call('get_jsonschema', 'Old.zeta' + version), schema)
        self.assertEqual(c.call('translate_to_MD5_types', ['Old.alpha-1.0']),
                         {'Old.alpha-1.0': 'Old.alpha-' + md5(schema_of('alpha', 'a'))})
        self.assertEqual(c.call('get_type_info', 'Old.zeta', token='t-ann')['type_vers'],
                         ['Old.zeta-0.1', 'Old.zeta-1.0', 'Old.zeta-2.0'])
        self.assertEqual(c.call('get_type_info', 'Old.alpha-1.0')['using_type_defs'], ['Old.zeta-1.0', 'Old.zeta-2.0'])
        self.assertEqual([r['moduleName'] for r in c.admin('listModRequests', token='t-root')], ['Wish'])

    def goes_on(self, c):
        """Changes build on it: the next version, its number, an owner, a request."""
        text = SPEC_OLD.replace('int b;', 'int b; int c;')
        got = register(c, text, [])
        self.assertEqual(list(got), ['Old.zeta-3.0'])
        self.assertEqual(c.call('release_module', 'Old', token='t-ann'), ['Old.alpha-1.0', 'Old.zeta-3.0'])
        self.assertEqual(c.call('get_jsonschema', 'Old.zeta-2.0'), schema_of('zeta', 'b'))
        c.call('grant_module_ownership', {'mod': 'Old', 'new_owner': 'cem', 'with_grant_option': 1}, token='t-ann')
        c.admin('approveModRequest', module='Wish', token='t-root')
        self.assertEqual(c.call('list_modules', {'owner': 'dot'}), ['Wish'])

    def test_odd_but_readable(self):
        """Numbers of other kinds for times, absent fields, a nested _id, an extra field where upstream allows one."""
        with self.db.mongo() as m:
            database = upstream_database()
            for d in database['module_version']:
                d['versionTime'] = float(d['versionTime'])
            for d in database['module_type_schema']:
                d['note'] = 'by another program'
                d['moduleVersion'] = float(d['moduleVersion'])
            for d in database['module_info_history']:
                for key in ('uploadComment', 'uploadUserId'):
                    if d[key] is None:
                        del d[key]
                for t in d['types'].values():
                    del t['supported']
            for collection, documents in database.items():
                m.insert(self.db.name, collection, *documents)
        tws = self.stage.tws()
        with tws.client() as c:
            self.answers(c)


def sort_key(d, versions):
    module = d.get('moduleName', d.get('depModule'))
    v = d.get('versionTime', d.get('moduleVersion', 0))
    return (module, 0 if 'supported' in d else v, str([d.get(k) for k in ('ownerUserId', 'typeName', 'funcName', 'depName')]))


# ---- a database as upstream leaves it: registered, released, changed incompatibly, released ----

T0 = 1500000000000
SPEC_OLD = ('/* Old things. */\nmodule Old {\ntypedef int alpha;\ntypedef structure { alpha a; int b; } zeta;\n'
            'funcdef get_zeta(string id) returns (zeta z);\n};\n')
FUNC = ('{"!":"Bio::KBase::KIDL::KBT::Funcdef","annotations":{"unknown_annotations":{}},"async":"0","authentication":"none",'
        '"comment":"","name":"get_zeta","parameters":[{"name":"id","type":' + STRING + '}],"return_type":[{"name":"z","type":'
        '%s}]}')


def schema_of(name, last):
    if name == 'alpha':
        return '{\n  "id" : "alpha",\n  "description" : "",\n  "type" : "integer",\n  "original-type" : "kidl-int"\n}'
    fields = ['a'] if last == 'a' else ['a', 'b']
    members = ',\n'.join(f'    "{f}" : {{\n      "type" : "integer",\n      "original-type" : "kidl-int"\n    }}' for f in fields)
    required = ', '.join(f'"{f}"' for f in fields)
    return ('{\n  "id" : "zeta",\n  "description" : "",\n  "type" : "object",\n  "original-type" : "kidl-structure",\n'
            f'  "properties" : {{\n{members}\n  }},\n  "additionalProperties" : true,\n  "required" : [ {required} ]\n}}')


def parse_of(name, last):
    alpha = ('{"!":"Bio::KBase::KIDL::KBT::Typedef","alias_type":' + INT + ',"annotations":' + NO_NOTES +
             ',"comment":"","module":"Old","name":"alpha"}')
    if name == 'alpha':
        return alpha
    items = [('a', alpha)] + ([('b', INT)] if last == 'b' else [])
    listed = ','.join('{"!":"Bio::KBase::KIDL::KBT::StructItem","item_type":' + t + f',"name":"{f}","nullable":"0"}}'
                      for f, t in items)
    return ('{"!":"Bio::KBase::KIDL::KBT::Typedef","alias_type":{"!":"Bio::KBase::KIDL::KBT::Struct","annotations":{},'
            '"comment":"","items":[' + listed + '],"module":"Old","name":"zeta"},"annotations":' + NO_NOTES +
            ',"comment":"","module":"Old","name":"zeta"}')


def upstream_database():
    """Maps in Java's hash order (zeta before alpha), first version without spec, the wrong edge that a release adds."""
    out, number = {c: [] for c in COLLECTIONS}, iter(range(1, 1000))

    def add(collection, **fields):
        out[collection].append({'_id': ObjectId(next(number).to_bytes(12, 'big')), **fields})

    add('module_request', ownerUserId='dot', withChangeOwnersPrivilege=True, moduleName='Wish')
    add('module_owner', ownerUserId='ann', withChangeOwnersPrivilege=True, moduleName='Old')
    add('module_version', moduleName='Old', versionTime=T0 + 40, releasedVersionTime=T0 + 40, supported=True)
    add('module_info_history', moduleName='Old', includedModuleNameToVersion={}, types={}, funcs={}, description=None,
        md5hash=None, versionTime=T0, uploadUserId=None, uploadMethod=None, uploadComment=None, released=True)
    for v, method, released, zeta, alpha, func, last in (
            (10, 'registerModule', False, '0.1', '0.1', '0.1', 'a'), (20, 'releaseModule', True, '1.0', '1.0', '1.0', 'a'),
            (30, 'registerModule', False, '2.0', '1.0', '1.0', 'b'), (40, 'refreshModule', True, '2.0', '1.0', '2.0', 'b')):
        add('module_info_history', moduleName='Old', includedModuleNameToVersion={},
            types={n: {'typeName': n, 'typeVersion': x, 'supported': True} for n, x in (('zeta', zeta), ('alpha', alpha))},
            funcs={'get_zeta': {'funcName': 'get_zeta', 'funcVersion': func, 'supported': True}}, description='Old things.',
            md5hash='c' * 32, versionTime=T0 + v, uploadUserId='ann', uploadMethod=method, uploadComment='', released=released)
        add('module_spec_history', moduleName='Old',
            document=SPEC_OLD if last == 'b' else SPEC_OLD.replace(' int b;', ''), versionTime=T0 + v)
    for name, version, v, last in (('zeta', '0.1', 10, 'a'), ('alpha', '0.1', 10, 'a'), ('zeta', '1.0', 20, 'a'),
                                   ('alpha', '1.0', 20, 'a'), ('zeta', '2.0', 30, 'b')):
        text = schema_of(name, last)
        add('module_type_schema', moduleName='Old', typeName=name, version=version, moduleVersion=T0 + v, document=text,
            md5hash=md5(text))
        add('module_type_parse', moduleName='Old', typeName=name, version=version, moduleVersion=T0 + v,
            document=parse_of(name, last), md5hash=None)
    for version, v, last in (('0.1', 10, 'a'), ('1.0', 20, 'a'), ('2.0', 40, 'b')):
        add('module_func_parse', moduleName='Old', funcName='get_zeta', version=version, moduleVersion=T0 + v,
            document=FUNC % parse_of('zeta', last))
    for dep, ref, v in (('0.1', '0.1', 10), ('1.0', '1.0', 20), ('0.1', '1.0', 10), ('2.0', '1.0', 30)):
        add('type_refs', depModule='Old', depName='zeta', depVersion=dep, depModuleVersion=T0 + v, refModule='Old',
            refName='alpha', refVersion=ref)
    for dep, ref, v in (('0.1', '0.1', 10), ('1.0', '1.0', 20), ('0.1', '1.0', 10), ('2.0', '2.0', 40)):
        add('func_refs', depModule='Old', depName='get_zeta', depVersion=dep, depModuleVersion=T0 + v, refModule='Old',
            refName='zeta', refVersion=ref)
    return out


for _kind in KINDS:
    _name = 'Layout' + _kind.title()
    globals()[_name] = type(_name, (Layout, unittest.TestCase), {'kind': _kind, '__module__': __name__})

if __name__ == '__main__':
    unittest.main()

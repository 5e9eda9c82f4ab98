"""Damage in MongoDB that the embedded database cannot have, or keeps differently: found and mended as there, on both deployments."""
import unittest

from harness import make_module, register
from mongo_stage import KINDS, MongoStage, fsck

SPEC = 'module Harm {\ntypedef structure { int a; } T;\ntypedef structure { T t; } U;\nfuncdef f(T t) returns (U u);\n};\n'


class Harm:
    kind = None

    def setUp(self):
        self.stage = MongoStage(self.kind)
        self.addCleanup(self.stage.close)
        self.tws = self.stage.service().start()
        with self.tws.client() as c:
            make_module(c, 'Harm')
            register(c, SPEC, ['T', 'U'])
            c.call('release_module', 'Harm', token='t-ann')
            make_module(c, 'Well')
        self.assertEqual(self.tws.stop(), 0)
        self.healthy = self.docs()

    def docs(self):
        return {c: sorted(map(repr, docs)) for c, docs in self.stage.db.docs().items()}

    def harm(self, kinds, do, damaged=False):
        with self.stage.db.mongo() as m:
            do(m, self.stage.db.name)
        status, text = fsck(self.tws)
        self.assertEqual(status, 1, text)
        for kind in kinds:
            self.assertIn(f'Harm: {kind}: ', text)
        self.tws.start()
        self.assertEqual([d['module'] for d in self.tws.status()['damaged']], ['Harm'] if damaged else [])
        with self.tws.client() as c:
            self.assertEqual(c.call('list_all_types', {'with_empty_modules': 1})['Well'], {})
            if damaged:
                self.assertIn('can only be read', c.fails('release_module', 'Harm', token='t-ann').message)
        self.assertEqual(self.tws.stop(), 0)
        status, text = fsck(self.tws, '--repair')
        self.assertEqual(status, 0, text)
        self.assertIn('mended', text)
        status, text = fsck(self.tws)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.docs(), self.healthy)

    def test_owner_null(self):
        self.harm(['empty_owner'], lambda m, db: m.insert(
            db, 'module_owner', {'ownerUserId': None, 'withChangeOwnersPrivilege': True, 'moduleName': 'Harm'}))

    def test_pointer_without_info(self):
        def do(m, db):
            pointers = m.find(db, 'module_version', {'moduleName': 'Harm'})[0]
            m.update(db, 'module_version', {'moduleName': 'Harm'}, {'$set': {'versionTime': pointers['versionTime'] + 5}})
        self.harm(['dangling_pointer'], do, damaged=True)

    def test_leftovers_of_a_crash(self):
        def do(m, db):
            schema = m.find(db, 'module_type_schema', {'moduleName': 'Harm', 'typeName': 'T', 'version': '1.0'})[0]
            del schema['_id']
            m.insert(db, 'module_type_schema', {**schema, 'version': '2.0', 'moduleVersion': schema['moduleVersion'] + 7})
            edge = m.find(db, 'type_refs', {'depModule': 'Harm', 'depVersion': '1.0'})[0]
            del edge['_id']
            m.insert(db, 'type_refs', {**edge, 'depVersion': '2.0'})
            spec = m.find(db, 'module_spec_history', {'moduleName': 'Harm'})[0]
            del spec['_id']
            m.insert(db, 'module_spec_history', {**spec, 'versionTime': spec['versionTime'] + 100000})
        self.harm(['orphan_row', 'orphan_edge', 'orphan_spec'], do)

    def test_references_lost(self):
        def do(m, db):
            m.delete(db, 'type_refs', {})
            m.delete(db, 'func_refs', {})
        self.harm(['missing_edge'], do)

    def test_references_twice(self):
        def do(m, db):
            for edge in m.find(db, 'func_refs', {}):
                del edge['_id']
                m.insert(db, 'func_refs', edge)
        self.harm(['duplicate_edge'], do)


for _kind in KINDS:
    _name = 'Harm' + _kind.title()
    globals()[_name] = type(_name, (Harm, unittest.TestCase), {'kind': _kind, '__module__': __name__})

if __name__ == '__main__':
    unittest.main()

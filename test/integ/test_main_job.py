"""The main job: a module goes in through one DWS and comes out of the other, byte for byte."""
import hashlib
import unittest

from harness import Stage, make_module, register

COMMON = 'module Common {\n/* @id ws Common.Thing */\ntypedef string thing_ref;\ntypedef structure { string id; } Thing;\n};\n'
USER = ('#include <common/Common.spec>\n\n/* Uses Common. */\nmodule User {\n'
        '/* A bag.\n   @optional note\n   @metadata ws name as Name\n   @metadata ws length(things) */\n'
        'typedef structure { string name; string note; list<Common.Thing> things; Common.thing_ref first; } Bag;\n'
        '/* Counts. */\nfuncdef count(Bag bag) returns (int n) authentication optional;\n};\n')

READS = (('list_modules', {}), ('list_module_versions', {'mod': 'User'}), ('list_module_versions', {'type': 'User.Bag'}),
         ('get_module_info', {'mod': 'User'}), ('get_module_info', {'mod': 'Common'}), ('get_jsonschema', 'User.Bag'),
         ('get_jsonschema', 'User.Bag-1.0'), ('get_type_info', 'User.Bag'), ('get_type_info', 'Common.Thing-1'),
         ('get_all_type_info', 'User'), ('get_func_info', 'User.count'), ('get_all_func_info', 'User'),
         ('translate_to_MD5_types', ['User.Bag', 'Common.Thing-1.0']), ('list_all_types', {}), ('ver',),
         ('get_type_info', 'Nope.T'), ('get_type_info', 'User.Bag-7.7'), ('get_jsonschema', 'bad'))


class MainJob(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        cls.addClassCleanup(cls.stage.close)
        cls.tws = cls.stage.tws()
        cls.one, cls.two = cls.stage.dws(cls.tws.url), cls.stage.dws(cls.tws.url)
        with cls.one.client() as c:
            make_module(c, 'Common')
            make_module(c, 'User')
            cls.common = register(c, COMMON, ['Thing', 'thing_ref'])
            c.call('release_module', 'Common', token='t-ann')
            cls.user = register(c, USER, ['Bag'])
            cls.released = c.call('release_module', 'User', token='t-ann')

    def test_registered_types_and_versions(self):
        self.assertEqual(list(self.common), ['Common.Thing-0.1', 'Common.thing_ref-0.1'])
        self.assertEqual(list(self.user), ['User.Bag-0.1'])
        self.assertEqual(self.released, ['User.Bag-1.0'])

    def test_schema_comes_back_byte_equal_through_the_other_dws(self):
        with self.two.client() as c:
            self.assertEqual(c.call('get_jsonschema', 'User.Bag'), self.user['User.Bag-0.1'])
            md5 = hashlib.md5(self.user['User.Bag-0.1'].encode()).hexdigest()
            self.assertEqual(c.call('translate_to_MD5_types', ['User.Bag']), {'User.Bag': 'User.Bag-' + md5})
            self.assertEqual(c.call('translate_from_MD5_types', ['User.Bag-' + md5]),
                             {'User.Bag-' + md5: ['User.Bag-0.1', 'User.Bag-1.0']})

    def test_spec_comes_back_with_its_include_rewritten(self):
        with self.two.client() as c:
            info = c.call('get_module_info', {'mod': 'User'})
        self.assertEqual(info['spec'], USER.replace('<common/Common.spec>', '<Common.types>'))
        self.assertEqual((info['description'], info['is_released'], info['owners']), ('Uses Common.', 1, ['ann']))
        self.assertEqual(list(info['included_spec_version']), ['Common'])

    def test_all_three_give_the_same_bytes(self):
        for token in (None, 't-ann', 't-bob'):
            for method, *params in READS:
                answers = []
                for service in (self.tws, self.one, self.two):
                    with service.client() as c:
                        reply = c.raw_call(method, *params, token=token)
                    answers.append((reply.status, reply.header('Content-Type'), reply.body))
                with self.subTest(method=method, params=params, token=token):
                    self.assertEqual(answers[0], answers[1])
                    self.assertEqual(answers[0], answers[2])

    def test_describe_tells_who_is_who(self):
        about = []
        for service in (self.tws, self.one, self.two):
            with service.client() as c:
                about.append(c.call('TypeService.describe'))
        self.assertEqual([a['role'] for a in about], ['tws', 'dws', 'dws'])
        self.assertEqual(len({a['node'] for a in about}), 3)
        self.assertEqual(len({a['cluster'] for a in about}), 1)
        self.assertRegex(about[0]['cluster'], '^[0-9a-f]{32}$')

    def test_delegation_target_is_told_to_admins(self):
        for service, want in ((self.tws, None), (self.one, self.tws.url)):
            with service.client() as c:
                self.assertEqual(c.admin('getTypeDelegationTarget', token='t-root'), {'delegateTarget': want})
                self.assertEqual(c.fails('administer', {'command': 'getTypeDelegationTarget'}, token='t-ann').message,
                                 'User ann is not an admin')


if __name__ == '__main__':
    unittest.main()

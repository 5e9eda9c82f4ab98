"""The rules of the type service, case by case: who may do what, in which order things are refused and with what text,
which versions a change makes, what owners and others see.  The expected texts are those of the upstream service.

A row is (user, method, parameters, expected).  User None sends no token.  An expected text that begins with `!` is the
message of an error of the method (-32500), one that begins with `~` the beginning of the message of a refused
parameter (-32602); anything else is the result.
"""
import contextlib
import sqlite3
import unittest

from harness import RpcError, Stage, make_module, register
from test_forwarding import Recorder

LONG = 'a' * 256
NO_OWNER, NO_GRANT = '!User {} is not in list of owners of module {}', '!User {} can not change privileges for module {}'
NOT_ASKED = ('!Module {} was not initialized. For that you must request ownership of the module, and your request must be '
             'approved.')
NOT_RELEASED = "!This type wasn't released yet and you should be an owner to access unreleased version information"
COMPILE, HEADER = ('!Unexpected error during spec-file parsing: ',
                   '!Unexpected error during parsing of spec-file include declarations: ')
INCLUDE = HEADER + 'Wrong include structure (it should be ...<file_path>): '
TEXT = 'Cannot deserialize instance of `java.lang.String` out of '
LIST = 'Cannot deserialize instance of `java.util.ArrayList` out of '
MAP = 'Cannot deserialize instance of `java.util.LinkedHashMap` out of '
NUMBER = 'Cannot deserialize instance of `java.lang.Long` out of '
NOT_A_NUMBER = 'Cannot deserialize value of type `java.lang.Long` from String "{}": not a valid Long value'
TOO_LARGE = 'Numeric value ({}) out of range of long (-9223372036854775808 - 9223372036854775807)'


class Rules(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.tws = self.stage.tws()
        self.c = self.tws.client()
        self.addCleanup(self.c.http.close)

    def do(self, user, method, *params):
        return self.c.call(method, *params, token='t-' + user if user else None)

    def check(self, user, method, params, expected):
        with self.subTest(user=user, method=method, params=params):
            if not isinstance(expected, str) or expected[:1] not in '!~':
                self.assertEqual(self.do(user, method, *params), expected)
                return
            error = self.c.fails(method, *params, token='t-' + user if user else None)
            if expected[0] == '!':
                self.assertEqual((error.code, error.message), (-32500, expected[1:]))
            else:
                self.assertEqual(error.code, -32602)
                about = f'Wrong type of parameter 0 for method Workspace.{method} ({expected[1:]}'
                self.assertEqual(error.message[:len(about)], about)

    def rows(self, *rows):
        for row in rows:
            self.check(*row)

    def versions(self, module, user='ann'):
        return self.do(user, 'list_module_versions', {'mod': module})['vers']

    def release(self, module, user='ann'):
        return self.do(user, 'release_module', module)

    def owned(self, *modules):
        for module in modules:
            make_module(self.c, module)


class Requests(Rules):
    def test_names(self):
        bad = '!Illegal character in Module name '
        self.rows(*(('ann', 'request_module_ownership', [name], expected) for name, expected in (
            ('', '!Module name cannot be null or the empty string'),
            (LONG, '!Module name size is > 255 bytes'), ('é' * 128, '!Module name size is > 255 bytes'),
            ('a-b', bad + 'a-b: -'), ('a b', bad + 'a b:  '), ('a.b', bad + 'a.b: .'), ("a'b", bad + "a'b: '"),
            ('é', bad + 'é: é'), ('a\U0001f600b', bad + 'a\U0001f600b: \U0001f600'), ('a\n', bad + 'a\n: \n'),
            ('a\0b', bad + 'a\0b: \0'), (12.5, bad + '12.5: .'), ({}, '~' + TEXT + 'START_OBJECT token'),
            ([], '~' + TEXT + 'START_ARRAY token'),
            ('b' * 255, None), ('1abc', None), ('_', None), (5, None), (True, None),
            ('5', '!Registration of module 5 was already requested'),
            ('true', '!Registration of module true was already requested'))))

    def test_states(self):
        ask, admin = 'request_module_ownership', 'administer'
        self.rows(('ann', ask, ['M'], None),
                  ('bob', ask, ['M'], '!Registration of module M was already requested'),
                  ('root', admin, [{'command': 'approveModRequest', 'module': 'M'}], None),
                  ('root', admin, [{'command': 'approveModRequest', 'module': 'M'}], '!There is no request for module M'),
                  ('root', admin, [{'command': 'denyModRequest', 'module': 'M'}], '!There is no request for module M'),
                  ('bob', ask, ['M'], '!Module M was already registered'))
        register(self.c, 'module M {};', [])
        self.rows(('bob', ask, ['M'], '!Module M was already registered'),
                  ('ann', 'release_module', ['M'], []),
                  ('bob', ask, ['M'], '!M module already exists'))

    def test_thirty_open_requests(self):
        full = '!User bob has maximal count of requests: 30'
        for i in range(30):
            self.do('bob', 'request_module_ownership', f'M{i}')
        self.rows(('bob', 'request_module_ownership', ['M30'], full), ('bob', 'request_module_ownership', ['M1'], full),
                  ('bob', 'request_module_ownership', ['a-b'], '!Illegal character in Module name a-b: -'),
                  ('ann', 'request_module_ownership', ['M30'], None),
                  ('root', 'administer', [{'command': 'denyModRequest', 'module': 'M3'}], None),
                  ('bob', 'request_module_ownership', ['M31'], None), ('bob', 'request_module_ownership', ['M32'], full),
                  ('root', 'administer', [{'command': 'approveModRequest', 'module': 'M31'}], None),
                  ('bob', 'request_module_ownership', ['M32'], None))
        asked = self.do('auditor', 'administer', {'command': 'listModRequests'})
        self.assertEqual([r['moduleName'] for r in asked],
                         [f'M{i}' for i in range(30) if i != 3] + ['M30', 'M32'])
        self.assertEqual(asked[0], {'ownerUserId': 'bob', 'withChangeOwnersPrivilege': True, 'moduleName': 'M0'})


class Administration(Rules):
    UNREADABLE = '!Unable to deserialize a workspace admin command from the input: '

    def begins(self, user, params, beginning):
        with self.subTest(params=params):
            self.assertEqual(self.c.fails('administer', params, token='t-' + user).message[:len(beginning)], beginning)

    def test_order_of_checks(self):
        unknown = "!I don't know how to process the command: "
        self.rows(*(('ann', 'administer', [p], '!User ann is not an admin') for p in ({'command': 'x'}, 5, {'foo': 1}, [])),
                  *(('auditor', 'administer', [{'command': command}], '!Full administration rights required for this command')
                    for command in ('approveModRequest', 'denyModRequest', 'grantModuleOwnership', 'removeModuleOwnership')),
                  *(('root', 'administer', [p], unknown + text) for p, text in (
                      ({}, 'null'), ({'command': None}, 'null'), ({'command': ''}, ''), ({'command': 5}, '5'),
                      ({'command': 'listmodrequests'}, 'listmodrequests'), ({'user': 'x', 'params': [1]}, 'null'))),
                  ('auditor', 'administer', [{'command': 'fred'}], unknown + 'fred'),
                  ('auditor', 'administer', [{'command': 'listModRequests', 'module': None, 'user': None, 'params': None}], []),
                  ('root', 'administer', [{'command': 'approveModRequest'}], '!There is no request for module null'),
                  ('auditor', 'administer', [{'command': 'getTypeDelegationTarget'}], {'delegateTarget': None}))

    def test_unreadable_commands(self):
        for params, text in (
                ([1], 'Cannot deserialize instance of `us.kbase.workspace.kbase.admin.AdminCommand` out of START_ARRAY token'),
                ('x', 'Cannot construct instance of `us.kbase.workspace.kbase.admin.AdminCommand`'),
                (5, 'Cannot construct instance of `us.kbase.workspace.kbase.admin.AdminCommand`'),
                ({'command': 'listModRequests', 'x': 1}, 'Unrecognized field "x"'),
                ({'command': {}}, TEXT + 'START_OBJECT token'), ({'module': []}, TEXT + 'START_ARRAY token')):
            self.begins('root', params, self.UNREADABLE[1:] + text)

    def test_parameters_of_ownership(self):
        self.owned('M')
        for verb in ('grant', 'remove'):
            command, name = verb + 'ModuleOwnership', verb.capitalize() + 'ModuleOwnershipParams'
            for none in ({'command': command}, {'command': command, 'params': None}):
                self.check('root', 'administer', [none], f'!Method parameters {name} may not be null')
            for params, text in (
                    ([], f'Cannot deserialize instance of `us.kbase.workspace.{name}` out of START_ARRAY token'),
                    ('x', f'Cannot construct instance of `us.kbase.workspace.{name}`'),
                    ({'mod': {}}, TEXT + 'START_OBJECT token')):
                self.begins('root', {'command': command, 'params': params},
                            f'Unable to deserialize {name} out of params field: {text}')
            self.check('root', 'administer', [{'command': command, 'params': {'mod': 'M', 'foo': 1, 'bar': 2}}],
                       f'!Unexpected arguments in {name}: bar foo')


class Ownership(Rules):
    def grant(self, user, expected, **params):
        self.check(user, 'grant_module_ownership', [params], expected)

    def remove(self, user, expected, **params):
        self.check(user, 'remove_module_ownership', [params], expected)

    def test_grant_option(self):
        self.owned('M')
        self.grant('bob', NO_OWNER.format('bob', 'M'), mod='M', new_owner='bob')
        self.grant('root', NO_OWNER.format('root', 'M'), mod='M', new_owner='bob')
        self.grant('bob', NO_OWNER.format('bob', 'null'))
        self.grant('bob', NO_OWNER.format('bob', 'Nope'), mod='Nope', new_owner='x')
        self.grant('ann', None, mod='M', new_owner='bob')
        self.grant('bob', NO_GRANT.format('bob', 'M'), mod='M', new_owner='cat')
        self.remove('bob', NO_GRANT.format('bob', 'M'), mod='M', old_owner='bob')
        self.grant('ann', None, mod='M', new_owner='bob', with_grant_option='1')
        self.grant('bob', None, mod='M', new_owner='any name!', with_grant_option=-3)
        self.remove('bob', None, mod='M', old_owner='any name!')
        self.remove('bob', None, mod='M', old_owner='never an owner')
        self.remove('bob', None, mod='M')
        self.grant('ann', None, mod='M', new_owner='ann')
        self.grant('ann', NO_GRANT.format('ann', 'M'), mod='M', new_owner='ann', with_grant_option=1)

    def test_last_owner(self):
        self.owned('M')
        register(self.c, 'module M {};', [])
        self.release('M')
        self.remove('ann', None, mod='M', old_owner='ann')
        self.rows(('ann', 'release_module', ['M'], NO_OWNER.format('ann', 'M')), (None, 'list_modules', [{}], ['M']),
                  (None, 'list_modules', [{'owner': 'ann'}], []))
        self.assertEqual(self.do(None, 'get_module_info', {'mod': 'M'})['owners'], [])
        self.do('root', 'administer', {'command': 'grantModuleOwnership',
                                       'params': {'mod': 'M', 'new_owner': 'bob', 'with_grant_option': 2}})
        self.grant('bob', None, mod='M', new_owner='Zoe')
        self.assertEqual(self.do(None, 'get_module_info', {'mod': 'M'})['owners'], ['Zoe', 'bob'])


class TypeStrings(Rules):
    """One table for all methods that take a type or a function."""

    VERSION, MD5 = 'Type version string {} could not be parsed to a version', 'Type version string could not be parsed to a version: '
    SPLIT = 'Type {} could not be split into a module and name'
    PORTIONS = 'Could not parse typestring {} into module/type and version portions'
    REFUSED = (
        (None, 'Typestring cannot be null or the empty string'), ('', 'Typestring cannot be null or the empty string'),
        *((s, 'VERSION', s.split('-', 1)[1]) for s in (
            'M.t-2.1.3', 'M.t-n', 'M.t-1.n', 'M.t-.1', 'M.t-.', 'M.t-1 .0', 'M.t- 1', 'M.t-1..0', 'M.t-2147483648',
            'M.t-1.2147483648', 'M.t-1e1', 'M.t-0x1', 'M.t-+', 'M.t-++1', 'M.t-\U0001d7d0', 'M.t-' + '1' * 31)),
        *((s, 'SPLIT', s.split('-')[0]) for s in ('M', 'M.', '.', '..', 'M..t', 'a.b.c', 'M-1', 'M-1.0', ' ', '5')),
        *((s, 'PORTIONS', s) for s in ('M.t-2.1-3', 'M.t--1', '-', '--')),
        ('M.t-A' + '1' * 31, 'MD5', 'A' + '1' * 31), ('M.t-g' + '1' * 31, 'MD5', 'g' + '1' * 31),
        ('.t', 'Module name cannot be null or the empty string'), ('-2.1', 'Moduletype cannot be null or the empty string'),
        (' M.t', 'Illegal character in Module name  M:  '), ('M.t ', 'Illegal character in Type name t :  '),
        ('M o.t x', 'Illegal character in Module name M o:  '), ('M.t+r', 'Illegal character in Type name t+r: +'),
        ('M.t\U0001f600', 'Illegal character in Type name t\U0001f600: \U0001f600'),
        (LONG + '.T', 'Module name size is > 255 bytes'), ('M.' + 'é' * 128, 'Type name size is > 255 bytes'))
    SAME = ('M.t', 'M.t-', 'M.t--', 'M.t.', 'M.t...', 'M.t-2', 'M.t-2.', 'M.t.-2', 'M.t-2.0', 'M.t-2.0.', 'M.t-2.0-', 'M.t-+2.+0',
            'M.t-02.000', 'M.t-\u0662.\u0660', 'M.t-\uff12')

    def setUp(self):
        super().setUp()
        self.owned('M')
        register(self.c, 'module M { typedef structure { int a; } t; funcdef t(t x) returns (); };', ['t'])
        self.release('M')
        register(self.c, 'module M { typedef structure { string a; } t; funcdef t(t x) returns (); };', [])
        self.release('M')

    def test_refused(self):
        for string, text, *about in self.REFUSED:
            expected = '!' + text
            if text == 'MD5':
                expected = '!' + self.MD5 + about[0] + ' is not a valid MD5 string'
            elif about:
                expected = '!' + getattr(self, text).format(about[0])
            for method in ('get_type_info', 'get_jsonschema', 'get_func_info'):
                self.check('ann' if about else None, method, [string], expected)
            for method in ('translate_to_MD5_types', 'translate_from_MD5_types'):
                self.check('ann', method, [[string]], expected)
            if string is not None:
                self.check(None, 'list_module_versions', [{'type': string}], expected)

    def test_forms_of_one_version(self):
        md5 = self.do(None, 'translate_to_MD5_types', ['M.t'])['M.t']
        for string in self.SAME + (md5, md5 + '-'):
            with self.subTest(string=string):
                self.assertEqual(self.do(None, 'get_type_info', string)['type_def'], 'M.t-2.0')
        translated = self.do(None, 'translate_to_MD5_types', list(self.SAME))
        self.assertEqual((list(translated), set(translated.values())), (list(self.SAME), {md5}))

    def test_not_there(self):
        none, md5 = '!Unable to locate type: M.', '1' * 32
        self.rows(('ann', 'get_type_info', ['M.Nope-01.+0'], none + 'Nope-1.0'), (None, 'get_type_info', ['M.Nope.-3'], none + 'Nope-3'),
                  (None, 'get_type_info', ['M.t-2147483647'], none + 't-2147483647'),
                  (None, 'get_type_info', ['M.t-' + md5], none + 't-' + md5),
                  (None, 'get_type_info', ['m.t'], "!Module doesn't exist: m"),
                  (None, 'get_type_info', [1.5], "!Module doesn't exist: 1"),
                  (None, 'get_type_info', ['M.t-0'], NOT_RELEASED),
                  (None, 'translate_to_MD5_types', [['M.t-0']], none + 't-0'),
                  (None, 'translate_to_MD5_types', [['M.t', 'M.t-7.07']], '!Type schema record was not found for M.t.7.7'),
                  (None, 'translate_to_MD5_types', [['M.t-' + md5]], none + 't-' + md5),
                  (None, 'translate_from_MD5_types', [['M.t-' + md5, 'M.u-' + md5]], {'M.t-' + md5: [], 'M.u-' + md5: []}),
                  (None, 'translate_from_MD5_types', [['M.t-01.0']], '!MD5 part is not defined for type M.t-1.0'),
                  (None, 'translate_from_MD5_types', [['X.t-1.']], '!MD5 part is not defined for type X.t-1'),
                  (None, 'translate_from_MD5_types', [['X.t-' + md5]], "!Module doesn't exist: X"))

    def test_functions(self):
        form = '!Wrong version number format, use <major>.<minor>'
        self.rows(*((None, 'get_func_info', [s], form) for s in ('M.t-2', 'M.t-' + '1' * 32, 'M.x-1')),
                  (None, 'get_func_info', ['X.t-1'], "!Module doesn't exist: X"),
                  (None, 'get_func_info', ['M.x'], "!Unable to locate function: 'M.x'"),
                  (None, 'get_func_info', ['M.x-01.2'], '!Function parse record was not found for M.x.1.2'))
        for string, version in (('M.t', '2.0'), ('M.t-', '2.0'), ('M.t.', '2.0'), ('M.t-01.+0', '1.0')):
            with self.subTest(string=string):
                self.assertEqual(self.do(None, 'get_func_info', string)['func_def'], 'M.t-' + version)


class Parameters(Rules):
    STRUCTURES = {'register_typespec': 'RegisterTypespecParams', 'register_typespec_copy': 'RegisterTypespecCopyParams',
                  'list_modules': 'ListModulesParams', 'list_module_versions': 'ListModuleVersionsParams',
                  'get_module_info': 'GetModuleInfoParams', 'grant_module_ownership': 'GrantModuleOwnershipParams',
                  'remove_module_ownership': 'RemoveModuleOwnershipParams', 'list_all_types': 'ListAllTypesParams'}

    def test_structures(self):
        for method, name in self.STRUCTURES.items():
            unknown = f'!Unexpected arguments in {name}: '
            self.rows(('ann', method, [{'foo': 1, 'bar': 2}], unknown + 'bar foo'), ('ann', method, [{'foo': None}], unknown + 'foo'),
                      ('ann', method, [{'': 1}], unknown),
                      ('ann', method, [[]], f'~Cannot deserialize instance of `us.kbase.workspace.{name}` out of START_ARRAY token'),
                      ('ann', method, [5], f'~Cannot construct instance of `us.kbase.workspace.{name}`'),
                      ('ann', method, ['x'], f'~Cannot construct instance of `us.kbase.workspace.{name}`'))
            for params in ((), ({}, {})):
                error = self.c.fails(method, *params, token='t-ann')
                self.assertEqual((error.code, error.message), (-32602, 'Wrong parameter count for method Workspace.' + method))

    def test_numbers(self):
        self.owned('M')
        register(self.c, 'module M {};', [])
        newest = self.do('ann', 'get_module_info', {'mod': 'M'})
        for value in (None, '', '   '):
            self.check('ann', 'get_module_info', [{'mod': 'M', 'ver': value}], newest)
        for literal, number in (('12', 12), ('"12"', 12), ('" 12 "', 12), ('"-12"', -12), ('"+12"', 12), ('"0012"', 12),
                                ('1.9', 1), ('-1.9', -1), ('1e3', 1000), ('1.5e3', 1500), ('1e-400', 0), ('-0', 0),
                                ('9223372036854775807', 2**63 - 1), ('-9223372036854775808', -2**63)):
            self.literal(literal, -32500, f'There is no information about module M for version {number}')
        for literal, text in (('true', NUMBER + 'VALUE_TRUE token'), ('false', NUMBER + 'VALUE_FALSE token'),
                              ('[]', NUMBER + 'START_ARRAY token'), ('{}', NUMBER + 'START_OBJECT token'),
                              ('9223372036854775808', TOO_LARGE.format('9223372036854775808')), ('1e19', TOO_LARGE.format('1e19')),
                              ('1E400', TOO_LARGE.format('1E400')), ('"1.5"', NOT_A_NUMBER.format('1.5')),
                              ('"1e3"', NOT_A_NUMBER.format('1e3')), ('" 1 2"', NOT_A_NUMBER.format('1 2')),
                              ('"9223372036854775808"', NOT_A_NUMBER.format('9223372036854775808'))):
            self.literal(literal, -32602, 'Wrong type of parameter 0 for method Workspace.get_module_info (' + text)

    def literal(self, literal, code, beginning):
        with self.subTest(literal=literal):
            error = self.c.post('{"method":"get_module_info","params":[{"mod":"M","ver":%s}]}' % literal, 't-ann').json()['error']
            self.assertEqual((error['code'], error['message'][:len(beginning)]), (code, beginning))

    def test_lists_and_mappings(self):
        for field, value, text in (
                ('new_types', 5, LIST + 'VALUE_NUMBER_INT token'), ('new_types', 5.5, LIST + 'VALUE_NUMBER_FLOAT token'),
                ('new_types', {}, LIST + 'START_OBJECT token'), ('new_types', True, LIST + 'VALUE_TRUE token'),
                ('remove_types', '', LIST + 'VALUE_STRING token'), ('new_types', [[]], TEXT + 'START_ARRAY token'),
                ('dependencies', [], MAP + 'START_ARRAY token'), ('dependencies', 5, MAP + 'VALUE_NUMBER_INT token'),
                ('dependencies', {'a': True}, NUMBER + 'VALUE_TRUE token'), ('dependencies', {'a': {}}, NUMBER + 'START_OBJECT token'),
                ('dryrun', True, NUMBER + 'VALUE_TRUE token'), ('spec', {}, TEXT + 'START_OBJECT token')):
            self.check('ann', 'register_typespec', [{'spec': 'x', field: value}], '~' + text)

    def test_keys_given_twice(self):
        self.owned('M')
        for body, text in (
                ('{"method":"get_module_info","params":[{"mod":"x","ver":5,"mod":"M","ver":7}]}',
                 'There is no information about module M for version 7'),
                ('{"method":"get_module_info","params":[{"mod":"M","ver":7}],"params":[{"mod":"M","ver":8}]}',
                 'There is no information about module M for version 7'),
                ('{"method":"ver","params":[{"mod":"M","ver":9}],"method":"get_module_info"}',
                 'There is no information about module M for version 9')):
            with self.subTest(body=body):
                self.assertEqual(self.c.post(body).json()['error']['message'], text)

    def test_what_is_missing(self):
        self.owned('M')
        self.rows(('ann', 'get_module_info', [{}], '!Must provide a module name'),
                  ('ann', 'get_all_type_info', [None], '!Must provide a module name'),
                  ('ann', 'get_all_func_info', [None], '!Must provide a module name'),
                  ('ann', 'get_all_func_info', [''], "!Module doesn't exist: "),
                  ('ann', 'get_module_info', [{'mod': 'X', 'ver': 1}], "!Module doesn't exist: X"),
                  ('ann', 'get_module_info', [{'mod': 'M'}], "!Module wasn't uploaded: M"),
                  ('bob', 'get_all_type_info', ['M'], "!Module wasn't uploaded: M"),
                  ('ann', 'list_module_versions', [{}], '!Must provide either a module name or a type'),
                  ('ann', 'list_module_versions', [{'mod': 'M', 'type': 'M.T'}], '!Must provide either a module name or a type'),
                  ('ann', 'register_typespec_copy', [{'mod': 'M'}], '!Must provide a URL for an external workspace service'),
                  ('ann', 'register_typespec_copy', [{'external_workspace_url': 'x'}], '!Must provide a module name'),
                  ('ann', 'register_typespec_copy', [{'external_workspace_url': 'x', 'mod': 'M'}], '!no protocol: x'),
                  (None, 'translate_to_MD5_types', [[]], {}), (None, 'translate_from_MD5_types', [[]], {}))


class Registering(Rules):
    SPEC = 'module M { typedef int a; };'

    def refused(self, expected, user='ann', **params):
        self.check(user, 'register_typespec', [params], expected)

    def test_header_lines(self):
        for spec in ('', '\n', '  \n\t\n', '#include <a>\n', '\n#include <a>\n\n', '\r\n\r'):
            self.refused(HEADER + 'null', spec=spec)
        for line, rest in (('#include', ''), ('#include a', 'a'), ('#include <a', '<a'), ('#include a>', 'a>'), ('#include "a"', '"a"'),
                           ('#includes <a>', 's <a>'), ('#include <a>//x', '<a>//x')):
            self.refused(INCLUDE + rest, spec=line + '\nmodule M {};')
        for line, name in (('#include<a>', 'a'), ('#include\t<a> ', 'a'), ('#include < x/a.b.c >', 'a'), ('#include <x/>', ''),
                           ('#include <a><b>', 'a><b'), ('#include <.>', '')):
            self.refused("!Module doesn't exist: " + name, spec=line + '\nmodule M {};')
        self.refused('!Lexical error at line 1, column 2.  Encountered: "I" (73), after : "#"', spec='#Include <a>\nmodule M {};')
        self.refused('!Lexical error at line 1, column 1.  Encountered: "\\ufeff" (65279), after : ""', spec='\ufeffmodule M {};')

    def test_order_of_checks(self):
        self.owned('M')
        self.refused('!Must provide either a spec or module name', spec=self.SPEC, mod='M')
        self.refused('!ModuleX was not registered', mod='X')
        self.refused("!Module wasn't uploaded: M", mod='M', user='bob')
        self.refused('!Lexical error at line 1, column 1.  Encountered: "?" (63), after : ""', spec='? ', user='bob')
        self.refused('!Spec-file should consist of only one service', spec='/* nothing */', user='bob')
        self.refused('!Spec-file should consist of only one service', spec='module S:M {}; module N {};')
        self.refused('!Spec-file should consist of only one module', spec='module S:M {}; module S:N {};')
        self.refused('!Illegal character in Module name M-x: -', spec='module M-x { typedef int a-b; };', user='bob')
        self.refused('!Module name size is > 255 bytes', spec=f'module {LONG} {{}};')
        self.refused('!Illegal character in Type name a-b: -', spec='module X { typedef int a-b; };', user='bob')
        self.refused('!Illegal character in Function name a$b: $', spec='module X { funcdef a$b() returns (); typedef int a-b; };')
        self.refused(NOT_ASKED.format('X'), spec='module X {};', user='bob')
        self.refused(NO_OWNER.format('bob', 'M'), spec=self.SPEC, user='bob', prev_ver=1)
        self.refused(NO_OWNER.format('root', 'M'), spec=self.SPEC, user='root')
        text = self.c.fails('register_typespec', {'spec': self.SPEC, 'prev_ver': -1, 'remove_types': ['q']}, token='t-ann').message
        first = text.removeprefix('Concurrent modification: previous module version is ').removesuffix(' (but should be -1)')
        self.assertTrue(first.isdigit(), text)
        for prev in (int(first), first, '', None):
            self.check('ann', 'register_typespec', [{'spec': self.SPEC, 'prev_ver': prev}], {})

    def test_lists_of_types(self):
        self.owned('M')
        register(self.c, 'module M { typedef int a; typedef int b; };', ['a'])
        twice, unknown = '!Type was already registered before: ', '!Type is in unregistering type list but was not already registered: '
        undefined = '!Type is in adding type list but is not defined in spec-file: '
        self.refused(twice + 'a', mod='M', new_types=['a'])
        self.refused(twice + 'a', mod='M', new_types=['a'], remove_types=['a'])
        self.refused(unknown + 'x', mod='M', new_types=['x'], remove_types=['x'])
        self.refused(unknown + 'null', mod='M', remove_types=[None])
        self.refused(undefined + 'x', mod='M', new_types=['x'])
        self.refused(undefined + 'null', mod='M', new_types=[None])
        self.refused(undefined + 'true', mod='M', new_types=[True])
        self.assertEqual(list(self.do('ann', 'register_typespec', {'mod': 'M', 'new_types': ['b', 'b']})), ['M.b-0.1'])

    def test_dry_run(self):
        self.owned('M')
        result = self.do('ann', 'register_typespec', {'spec': self.SPEC, 'new_types': ['a']})
        self.assertEqual(list(result), ['M.a-0.1'])
        for dry in (None, 1, 2, -1, '1', '', 1.5):
            self.check('ann', 'register_typespec', [{'spec': self.SPEC, 'new_types': ['a'], 'dryrun': dry}], result)
        self.assertEqual(self.versions('M'), [])
        self.check('ann', 'register_typespec', [{'spec': self.SPEC, 'new_types': ['a'], 'dryrun': 0.4,
                                                 'dependencies': {'x': None, 'y': '7', '': 1.5}}], result)
        self.assertEqual(len(self.versions('M')), 1)

    def test_no_difference(self):
        self.owned('M')
        register(self.c, self.SPEC, ['a'])
        same = '!There is no difference between previous and current versions of module M'
        for spec in (self.SPEC, self.SPEC + '\n', self.SPEC + '\r'):
            for dry in (0, 1):
                self.refused(same, spec=spec, dryrun=dry)
        self.refused(same, mod='M', dryrun=0, prev_ver=3)
        self.check('ann', 'register_typespec', [{'spec': '\n' + self.SPEC, 'dryrun': 0}], {})

    def test_texts(self):
        self.owned('M')
        register(self.c, '\r\nmodule M { /* \ud800 x \U0001f600 é */ typedef int a;\r};', ['a'])
        self.assertEqual(self.do('ann', 'get_module_info', {'mod': 'M'})['spec'],
                         '\nmodule M { /* ? x \U0001f600 é */ typedef int a;\n};\n')
        self.assertEqual(self.do('ann', 'get_type_info', 'M.a')['spec_def'], '/*\n? x \U0001f600 é\n*/\ntypedef int a;')

    def test_type_defined_twice(self):
        self.owned('M')
        spec = ('module M { typedef structure { int a; } T; typedef structure { T t; } U; /* 2 */ typedef structure { string b; } T; '
                'typedef structure { T t; } V; };')
        self.assertEqual(sorted(register(self.c, spec, ['T', 'U', 'V'])), ['M.T-0.1', 'M.U-0.1', 'M.V-0.1'])
        self.assertEqual(sorted(self.do('ann', 'get_module_info', {'mod': 'M'})['types']), ['M.T-0.2', 'M.U-0.1', 'M.V-0.1'])
        self.assertEqual(self.do('ann', 'get_jsonschema', 'M.T-0.1'), self.do('ann', 'get_jsonschema', 'M.T-0.2'))
        md5 = self.do('ann', 'translate_to_MD5_types', ['M.T'])['M.T']
        self.check('ann', 'translate_from_MD5_types', [[md5]], {md5: ['M.T-0.1', 'M.T-0.2']})
        self.assertEqual(list(self.do('ann', 'register_typespec', {'mod': 'M', 'dryrun': 0})), ['M.T-0.3'])


class Includes(Rules):
    """D is used by B and C; B was made with D's first version, C with its second."""

    SPEC = '#include <B>\n#include <C>\nmodule A { typedef structure { B.T b; C.T c; } T; };'

    def setUp(self):
        super().setUp()
        self.owned('A', 'B', 'C', 'D')
        register(self.c, 'module D { typedef structure { int a; } T; typedef int local; };', ['T'])
        self.release('D')
        register(self.c, '#include <D>\nmodule B { typedef structure { D.T t; } T; };', ['T'])
        self.release('B')
        self.d1 = self.versions('D')[-1]
        register(self.c, 'module D { typedef structure { string a; } T; typedef int local; };', [])
        register(self.c, '#include <D>\nmodule C { typedef structure { D.T t; } T; };', ['T'])
        self.c1 = self.versions('C')[-1]
        self.assertEqual(self.do('ann', 'get_module_info', {'mod': 'C'})['included_spec_version'], {'D': self.d1})
        self.release('D')
        self.do('ann', 'register_typespec', {'mod': 'C', 'dryrun': 0})
        self.release('C')
        self.d2, self.b, self.c2 = (self.versions(m)[-1] for m in 'DBC')

    def refused(self, expected, spec=SPEC, user='ann', **params):
        self.check(user, 'register_typespec', [{'spec': spec, **params}], expected)

    def test_diamond(self):
        by_b, by_c = f'D({self.d1})<-B({self.b})<-RootModule', f'D({self.d2})<-C({self.c2})<-RootModule'
        self.refused(f'!Incompatible module dependecies: {by_b} and {by_c}')
        self.refused(f'!Incompatible module dependecies: {by_b} and {by_c}', '#include <B>\n#include <C>\n?', user='bob')
        self.refused(f'!Incompatible module dependecies: {by_c} and {by_b}', '#include <C>\n#include <B>\nmodule A {};')
        self.refused(f'!Incompatible module dependecies: D({self.d2})<-RootModule and {by_b}', '#include <D>\n' + self.SPEC)
        for version, path in ((self.d2, by_b), (self.d1, by_c), (5, by_b)):
            self.refused(f'!Version of dependent module {path} is not compatible with module version restriction: {version}',
                         dependencies={'D': version})
        self.refused(COMPILE + 'Info-record was not found for module: B', dependencies={'B': 5})

    def test_pinned_to_an_unreleased_version(self):
        params = {'spec': self.SPEC, 'dependencies': {'C': self.c1, 'Unrelated': 1}, 'new_types': ['T'], 'dryrun': 0}
        self.assertEqual(list(self.do('ann', 'register_typespec', params)), ['A.T-0.1'])
        info = self.do('ann', 'get_type_info', 'A.T')
        self.assertEqual(info['used_type_defs'], ['B.T-1.0', 'C.T-0.1'])
        self.assertEqual(info['spec_def'], 'typedef structure {\n  #B.T-1.0# b;\n  #C.T-0.1# c;\n} T;')
        self.assertEqual(self.do('ann', 'get_module_info', {'mod': 'A'})['included_spec_version'], {'B': self.b, 'C': self.c1})
        self.check('ann', 'register_typespec', [{**params, 'new_types': []}], {})
        self.assertEqual(len(self.versions('A')), 2, 'a module with includes may be registered again unchanged')

    def test_what_is_seen_of_an_include(self):
        missing = '!Reference to external not registered module/type is missing: D.local'
        self.refused(COMPILE + 'Error at line 2, column 22: Can not find module: D',
                     '#include <C>\nmodule A { typedef D.T wanted; };')
        self.refused(COMPILE + 'Error at line 2, column 22: Can not find type: D.X', '#include <D>\nmodule A { typedef D.X x; };')
        self.refused(missing, '#include <D>\nmodule A { typedef D.local x; };', new_types=['x'])
        self.refused(missing, '#include <D>\nmodule A { typedef D.local x; funcdef f(list<x> l) returns (); };')
        self.refused({}, '#include <D>\nmodule A { typedef D.local x; funcdef f(mapping<x, int> m) returns (); };')
        self.refused(COMPILE + 'Error at line 2, column 1: Can not find included module [D] from line: #include <D.types>',
                     '/* c */\n#include <D.types>\nmodule A {};')

    def test_lines_are_kept(self):
        register(self.c, '#include <D>\n#include <D.types>\n\n#include <x/D.y.z>\nmodule A {};', [])
        info = self.do('ann', 'get_module_info', {'mod': 'A'})
        self.assertEqual(info['spec'], '#include <D.types>\n#include <D.types>\n\n#include <D.types>\nmodule A {};\n')
        self.assertEqual(info['included_spec_version'], {'D': self.d2})


class Visibility(Rules):
    SPEC = 'module M { %stypedef structure { int a; } T; typedef structure { T t; } D; funcdef f(T t) returns (D d); };'

    def sees(self, user, name, **expected):
        method = 'get_func_info' if name.split('.')[1][0].islower() else 'get_type_info'
        known = self.versions(name.split('.')[0])
        info = self.do(user, method, name)
        for key, value in expected.items():
            got = [known.index(v) for v in info[key]] if key.endswith('module_vers') else info[key]
            with self.subTest(user=user, name=name, key=key):
                self.assertEqual(got, value)

    def test_through_a_release(self):
        self.owned('M')
        register(self.c, self.SPEC % '', ['T', 'D'])
        self.release('M')
        self.sees('ann', 'M.T-1.0', using_type_defs=['M.D-0.1', 'M.D-1.0'], using_func_defs=['M.f-0.1', 'M.f-1.0'], module_vers=[1],
                  type_vers=['M.T-0.1', 'M.T-1.0'], released_type_vers=['M.T-1.0'], released_module_vers=[1])
        self.sees('bob', 'M.T-1.0', using_type_defs=['M.D-1.0'], using_func_defs=['M.f-1.0'], type_vers=['M.T-1.0'], module_vers=[1])
        self.sees('ann', 'M.D-0.1', used_type_defs=['M.T-0.1', 'M.T-1.0'], module_vers=[0])
        self.sees(None, 'M.D-0.1', used_type_defs=['M.T-1.0'], module_vers=[0], released_module_vers=[], type_vers=['M.D-1.0'])
        self.sees('ann', 'M.f-0.1', used_type_defs=['M.D-0.1', 'M.D-1.0', 'M.T-0.1', 'M.T-1.0'], func_vers=['M.f-0.1', 'M.f-1.0'])
        self.sees(None, 'M.f-0.1', func_vers=['M.f-1.0'], module_vers=[0], released_module_vers=[])

    def test_unreleased_change(self):
        self.owned('M')
        register(self.c, self.SPEC % '', ['T', 'D'])
        self.release('M')
        register(self.c, self.SPEC % '/* c */ ', [])
        self.sees('ann', 'M.T', type_vers=['M.T-0.1', 'M.T-1.0', 'M.T-1.1'], using_type_defs=[], module_vers=[2], released_module_vers=[])
        self.sees('ann', 'M.D', used_type_defs=['M.T-1.0'], module_vers=[1, 2], released_module_vers=[1])
        self.sees('ann', 'M.f', module_vers=[1])
        self.sees(None, 'M.D', module_vers=[1])
        known = self.versions('M')
        self.rows(('bob', 'list_module_versions', [{'mod': 'M'}], {'mod': 'M', 'vers': known[1:2]}),
                  ('bob', 'list_module_versions', [{'type': 'M.T-1'}], {'mod': 'M', 'vers': known[1:2]}),
                  ('ann', 'list_module_versions', [{'type': 'M.T-1'}], {'mod': 'M', 'vers': known[2:]}),
                  (None, 'list_module_versions', [{'type': 'M.T-1.1'}], {'mod': 'M', 'vers': known[2:]}))

    def test_new_type_used_by_a_released_one(self):
        self.owned('M')
        register(self.c, 'module M { typedef structure { int a; } D; };', ['D'])
        self.release('M')
        register(self.c, 'module M { typedef structure { int z; } T; typedef structure { T t; } D; };', ['T'])
        self.check('ann', 'release_module', ['M'], ['M.D-2.0', 'M.T-1.0'])
        self.sees('ann', 'M.D', used_type_defs=['M.T-0.1', 'M.T-1.0'], spec_def='typedef structure {\n  #M.T-0.1# t;\n} D;')
        self.sees(None, 'M.D', used_type_defs=['M.T-1.0'], spec_def='typedef structure {\n  #M.T-1.0# t;\n} D;')
        self.sees(None, 'M.T', using_type_defs=['M.D-2.0'])

    def test_another_owner(self):
        self.owned('M')
        make_module(self.c, 'N', user='t-bob')
        register(self.c, self.SPEC % '', ['T', 'D'])
        self.release('M')
        spec = '#include <M>\nmodule N { typedef structure { list<M.T> l; mapping<M.D, int> m; tuple<int, M.T> t; } U; };'
        register(self.c, spec, ['U'], user='t-bob')
        self.sees('bob', 'M.T', using_type_defs=['M.D-1.0', 'N.U-0.1'])
        self.sees('ann', 'M.T', using_type_defs=['M.D-0.1', 'M.D-1.0'])
        self.sees('bob', 'M.D', using_type_defs=[])
        self.release('N', 'bob')
        self.sees(None, 'M.T', using_type_defs=['M.D-1.0', 'N.U-1.0'])
        self.sees(None, 'N.U', used_type_defs=['M.T-1.0'],
                  spec_def='typedef structure {\n  list<#M.T-1.0#> l;\n  mapping<#M.D-1.0#, int> m;\n  tuple<int, #M.T-1.0#> t;\n} U;')

    def test_removed(self):
        self.owned('M', 'E')
        register(self.c, self.SPEC % '', ['T', 'D'])
        self.check('ann', 'register_typespec', [{'mod': 'M', 'remove_types': ['T'], 'dryrun': 0}], {})
        register(self.c, 'module M { typedef structure { int a; } T; typedef structure { T t; } D; };', [])
        self.rows(('ann', 'get_type_info', ['M.T'], '!Unable to locate type: M.T'),
                  ('bob', 'get_type_info', ['M.T'], '!Unable to locate type: M.T'),
                  ('bob', 'get_type_info', ['M.T-0'], NOT_RELEASED),
                  ('ann', 'get_func_info', ['M.f'], "!Unable to locate function: 'M.f'"),
                  ('ann', 'release_module', ['M'], ['M.D-1.0', 'M.T-1.0']),
                  (None, 'list_module_versions', [{'type': 'M.T-1'}], {'mod': 'M', 'vers': []}),
                  (None, 'list_all_types', [{}], {'M': {'D': '1.0', 'T': '1.0'}}),
                  (None, 'list_all_types', [{'with_empty_modules': -1}], {'E': {}, 'M': {'D': '1.0', 'T': '1.0'}}))
        self.sees('ann', 'M.T-0.1', type_vers=['M.T-0.1', 'M.T-1.0'], module_vers=[0])
        self.assertEqual(list(self.do(None, 'get_module_info', {'mod': 'M'})['types']), ['M.D-1.0'])
        self.assertEqual([f['func_def'] for f in self.do(None, 'get_all_func_info', 'M')], ['M.f-1.0'])
        self.assertEqual([t['type_def'] for t in self.do(None, 'get_all_type_info', 'M')], ['M.D-1.0'])

    def test_module_versions_that_references_name(self):
        """A change's references carry its own module version; those that were there keep theirs, after a release, too."""
        herb = ('#include <Soil.types>\nmodule Herb { typedef structure { Soil.Bed b; } Leaf; %s'
                'typedef structure { list<Leaf> l; %s} Plant; funcdef pick(Leaf from) returns (int n); };')
        self.owned('Soil', 'Herb')
        register(self.c, 'module Soil { typedef structure { int depth; } Bed; };', ['Bed'])
        self.release('Soil')
        register(self.c, herb % ('', ''), ['Leaf', 'Plant'])
        self.check('ann', 'release_module', ['Herb'], ['Herb.Leaf-1.0', 'Herb.Plant-1.0'])
        register(self.c, herb % ('typedef string Root; ', 'Root r; '), ['Root'])
        self.check('ann', 'release_module', ['Herb'], ['Herb.Leaf-1.0', 'Herb.Plant-2.0', 'Herb.Root-1.0'])
        known = self.versions('Herb')
        self.assertEqual(self.tws.stop(), 0)
        with contextlib.closing(sqlite3.connect(self.tws.settings['type-database-file'])) as db:
            got = {table: sorted((f'{name}-{version} {module}.{ref}-{ref_version}', known.index(v)) for
                                 name, version, v, module, ref, ref_version in db.execute(
                                     'select dep_name, dep_version, dep_module_version, ref_module, ref_name, ref_version '
                                     f"from {table} where dep_module = 'Herb'")) for table in ('type_refs', 'func_refs')}
        self.assertEqual(got['type_refs'], [
            ('Leaf-0.1 Soil.Bed-1.0', 0), ('Leaf-1.0 Soil.Bed-1.0', 1), ('Plant-0.1 Herb.Leaf-0.1', 0), ('Plant-0.1 Herb.Leaf-1.0', 1),
            ('Plant-1.0 Herb.Leaf-1.0', 1), ('Plant-2.0 Herb.Leaf-1.0', 2), ('Plant-2.0 Herb.Root-0.1', 2), ('Plant-2.0 Herb.Root-1.0', 3)])
        self.assertEqual(got['func_refs'], [('pick-0.1 Herb.Leaf-0.1', 0), ('pick-0.1 Herb.Leaf-1.0', 1), ('pick-1.0 Herb.Leaf-1.0', 1)])

    def test_schema_record_that_is_gone(self):
        self.owned('M')
        register(self.c, 'module M { typedef structure { int i; } T; typedef structure { int j; } U; };', ['T', 'U'])
        self.release('M')
        self.assertEqual(self.tws.stop(), 0)
        with contextlib.closing(sqlite3.connect(self.tws.settings['type-database-file'])) as db, db:
            db.execute("delete from module_type_schema where type_name = 'U' and version = '1.0'")
        self.c.http.close()
        self.tws.start()
        self.c = self.tws.client()
        self.addCleanup(self.c.http.close)
        gone = '!Type schema record was not found for M.U.1.0'
        self.rows(*((None, 'translate_to_MD5_types', [[name]], gone) for name in ('M.U', 'M.U-1', 'M.U-1.0')),
                  (None, 'translate_to_MD5_types', [['M.V']], '!Unable to locate type: M.V'))
        self.assertEqual(list(self.do(None, 'translate_to_MD5_types', ['M.T'])), ['M.T'])

    def test_order_of_functions_and_of_what_they_use(self):
        """Upstream promises no order here; ours is by name, like that of the other lists."""
        self.owned('b', 'Ba', 'a1')
        for module in ('b', 'Ba', 'a1'):
            register(self.c, f'module {module} {{ typedef structure {{ int i; }} z; typedef structure {{ int i; }} Y; }};', ['z', 'Y'])
            self.release(module)
        make_module(self.c, 'Use')
        names = ['zeta', 'b10', 'mid', 'Alpha', 'b9', 'b1', 'Zulu', 'a_b', 'aB', 'x']
        spec = '#include <b.types>\n#include <Ba.types>\n#include <a1.types>\nmodule Use {\ntypedef structure { int i; } Own;\n' + ''.join(
            f'funcdef {n}(b.z p, Own o, a1.Y q, list<b.Y> r) returns (Ba.z s, a1.z t, mapping<string, Ba.Y> u);\n' for n in names) + '};'
        register(self.c, spec, ['Own'])
        foreign = ['Ba.Y-1.0', 'Ba.z-1.0', 'a1.Y-1.0', 'a1.z-1.0', 'b.Y-1.0', 'b.z-1.0']
        for version, own in (('0.1', ['Use.Own-0.1']), ('1.0', ['Use.Own-1.0'])):
            got = self.do('ann', 'get_all_func_info', 'Use')
            self.assertEqual([f['func_def'] for f in got], [f'Use.{n}-{version}' for n in sorted(names)])
            for info in got:
                self.assertEqual(info['used_type_defs'], sorted(foreign + own))
            self.release('Use')
        self.assertEqual(self.do('ann', 'get_func_info', 'Use.x-0.1')['used_type_defs'], sorted(foreign + ['Use.Own-0.1', 'Use.Own-1.0']))
        self.assertEqual(self.do('ann', 'get_module_info', {'mod': 'Use'})['functions'], [f'Use.{n}-1.0' for n in sorted(names)])

    def test_order_of_many_minor_versions(self):
        self.owned('M')
        for i in range(12):
            register(self.c, self.SPEC % f'/* {i} */ ', [] if i else ['T', 'D'])
        self.sees('ann', 'M.T', type_vers=[f'M.T-0.{i}' for i in range(1, 13)])
        self.sees('ann', 'M.T-0.1', using_type_defs=['M.D-0.1'])


class Changes(Rules):
    """What an edit makes of a type and of a function that takes it, both at 1.0 before."""

    S = 'typedef structure { int a; string b; } T;'
    TABLE = (
        ('own comment', S, '/* c */ ' + S, '1.1', '1.0'),
        ('comment of a type inside', 'typedef int n; typedef list<n> T;', '/* c */ typedef int n; typedef list<n> T;', '1.0', '1.0'),
        ('id on a string', 'typedef string n; typedef list<n> T;', '/* @id ws */ typedef string n; typedef list<n> T;', '2.0', '2.0'),
        ('attributes of an id in another order', '/* @id ws A.b C.d */ typedef string T;',
         '/* @id ws C.d A.b */ typedef string T;', '2.0', '2.0'),
        ('id on a mapping key', 'typedef string n; typedef mapping<n, int> T;',
         '/* @id kb */ typedef string n; typedef mapping<n, int> T;',
         '2.0', '2.0'),
        ('id on an int', 'typedef int n; typedef list<n> T;', '/* @id kb */ typedef int n; typedef list<n> T;', '1.1', '1.0'),
        ('id on an alias', 'typedef string n; typedef n T;', 'typedef string n; /* @id ws */ typedef n T;', '1.1', '1.0'),
        ('range', 'typedef int n; typedef list<n> T;', '/* @range 1,2 */ typedef int n; typedef list<n> T;', '1.1', '1.0'),
        ('metadata', S, '/* @metadata ws a */ ' + S, '1.1', '1.0'),
        ('searchable', S, '/* @searchable ws_subset a */ ' + S, '2.0', '1.0'),
        ('searchable without paths', S, '/* @searchable ws_subset */ ' + S, '1.1', '1.0'),
        ('searchable paths in another order', '/* @searchable ws_subset a b */ ' + S,
         '/* @searchable ws_subset b a */ ' + S, '1.1', '1.0'),
        ('searchable on an alias', S.replace('T;', 'n;') + ' typedef n T;', S.replace('T;',
         'n;') + ' /* @searchable ws_subset a */ typedef n T;',
         '2.0', '1.0'),
        ('searchable of a type inside', S.replace('T;', 'n;') + ' typedef list<n> T;',
         '/* @searchable ws_subset a */ ' + S.replace('T;', 'n;') + ' typedef list<n> T;', '1.0', '1.0'),
        ('alias replaced by its type', 'typedef int n; typedef list<n> T;', 'typedef int n; typedef list<int> T;', '2.0', '2.0'),
        ('another alias of the same type', 'typedef int n; typedef int m; typedef list<n> T;',
         'typedef int n; typedef int m; typedef list<m> T;', '2.0', '2.0'),
        ('optional field added', 'typedef structure { int a; } T;',
         '/* @optional c */ typedef structure { int a; int c; } T;', '1.1', '1.1'),
        ('optional field added inside', 'typedef structure { int a; } n; typedef list<n> T;',
         '/* @optional c */ typedef structure { int a; int c; } n; typedef list<n> T;', '1.1', '1.1'),
        ('required field added', S, S.replace('} T', 'int c; } T'), '2.0', '2.0'),
        ('field removed', S, 'typedef structure { int a; } T;', '2.0', '2.0'),
        ('optional field removed', '/* @optional b */ ' + S, 'typedef structure { int a; } T;', '2.0', '2.0'),
        ('field renamed', S, S.replace('b;', 'c;'), '2.0', '2.0'),
        ('field made optional', S, '/* @optional b */ ' + S, '2.0', '2.0'),
        ('field made required', '/* @optional b */ ' + S, S, '2.0', '2.0'),
        ('fields in another order', S, 'typedef structure { string b; int a; } T;', '1.1', '1.0'),
        ('names in a tuple', 'typedef tuple<int a, int b> T;', 'typedef tuple<int c, int> T;', '1.0', '1.0'),
        ('names in a mapping', 'typedef mapping<int k, int v> T;', 'typedef mapping<int, int x> T;', '1.0', '1.0'),
        ('length of a tuple', 'typedef tuple<int, int> T;', 'typedef tuple<int> T;', '2.0', '2.0'),
        ('kind of a scalar', 'typedef int T;', 'typedef float T;', '2.0', '2.0'),
        ('list to tuple', 'typedef list<int> T;', 'typedef tuple<int> T;', '2.0', '2.0'),
        ('object to mapping', 'typedef UnspecifiedObject T;', 'typedef mapping<string, int> T;', '2.0', '2.0'),
        ('key of a mapping', 'typedef mapping<string, int> T;', 'typedef mapping<int, int> T;', '2.0', '2.0'))

    def test_table(self):
        for number, (what, old, new, type_version, func_version) in enumerate(self.TABLE):
            module = f'M{number}'
            self.owned(module)
            spec = 'module %s { %s funcdef f(T t) returns (); };\n%s'
            register(self.c, spec % (module, old, ''), ['T'])
            self.release(module)
            register(self.c, spec % (module, new, '\n'), [])
            with self.subTest(what=what):
                self.assertEqual(self.do('ann', 'get_type_info', module + '.T')['type_def'], f'{module}.T-{type_version}')
                self.assertEqual(self.do('ann', 'get_func_info', module + '.f')['func_def'], f'{module}.f-{func_version}')

    def test_functions(self):
        self.owned('M')
        spec = 'module M { %s };'
        register(self.c, spec % '/* one */ funcdef f(int a, string b) returns (int);', [])
        self.release('M')
        for new, version, shown in (
                ('/* two */ funcdef f(int, string c) returns (int r) authentication required;', '1.0',
                 'funcdef f(int a, string b) returns (int)'),
                ('funcdef f(int a) returns (int);', '2.0', 'funcdef f(int a) returns (int)'),
                ('funcdef f(float) returns (int);', '3.0', 'funcdef f(float arg1) returns (int)'),
                ('funcdef f(float) returns ();', '4.0', 'funcdef f(float arg1) returns ()')):
            register(self.c, spec % new, [])
            info = self.do('ann', 'get_func_info', 'M.f')
            with self.subTest(new=new):
                self.assertEqual(info['func_def'], 'M.f-' + version)
                self.assertIn(shown + ' authentication none;', info['spec_def'])

    def test_before_the_first_release_every_change_is_minor(self):
        self.owned('M')
        for number, body in enumerate(('int a;', 'string a;', '', 'int z; int y;'), 1):
            register(self.c, f'module M {{ typedef structure {{ {body} }} T; }};', [] if number > 1 else ['T'])
            self.assertEqual(self.do('ann', 'get_type_info', 'M.T')['type_def'], f'M.T-0.{number}')

    def test_there_and_back(self):
        self.owned('M')
        one, other = 'module M { typedef int T; };', 'module M { typedef string T; };'
        register(self.c, one, ['T'])
        self.release('M')
        register(self.c, other, [])
        register(self.c, one, [])
        md5 = self.do('ann', 'translate_to_MD5_types', ['M.T'])['M.T']
        self.check(None, 'translate_from_MD5_types', [[md5]], {md5: ['M.T-0.1', 'M.T-1.0', 'M.T-3.0']})
        self.assertEqual(self.do(None, 'get_type_info', md5)['type_def'], 'M.T-3.0')
        with self.assertRaises(RpcError):
            self.do(None, 'get_type_info', 'M.T-3')


class Delegated(unittest.TestCase):
    """Where a DWS answers for itself, and with what."""

    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.target = self.stage.keep(Recorder())
        self.target.reply = (200, b'{"version":"1.1","result":[{}]}')
        self.c = self.stage.dws(self.target.url).client()
        self.addCleanup(self.c.http.close)

    def local(self, expected, method, *params, token='t-root'):
        self.assertEqual(self.c.fails(method, *params, token=token).message, expected)
        self.assertEqual(self.target.calls(), [])

    def passed(self, method, *params):
        before = len(self.target.calls())
        self.assertEqual(self.c.call(method, *params, token='t-root'), {})
        self.assertEqual(len(self.target.calls()), before + 1)

    def test_refused_here(self):
        self.local('Unexpected arguments in ListAllTypesParams: more', 'list_all_types', {'more': None}, token=None)
        self.local("I don't know how to process the command: a\0b", 'administer', {'command': 'a\0b'})
        for verb in ('Grant', 'Remove'):
            self.local(f'Method parameters {verb}ModuleOwnershipParams may not be null', 'administer',
                       {'command': verb.lower() + 'ModuleOwnership', 'params': None})
            self.local('Full administration rights required for this command', 'administer',
                       {'command': verb.lower() + 'ModuleOwnership'}, token='t-auditor')

    def test_left_to_the_target(self):
        for method in ('list_modules', 'get_module_info', 'list_module_versions', 'register_typespec', 'grant_module_ownership'):
            self.passed(method, {'more': 1})
        self.passed('list_all_types', {'with_empty_modules': 1})
        self.passed('list_all_types', None)
        self.passed('administer', {'command': 'grantModuleOwnership', 'params': {'more': 1}})

    def test_any_success_of_the_target(self):
        self.target.reply = (203, b'{"version":"1.1","result":["x"]}')
        reply = self.c.raw_call('get_jsonschema', 'M.T')
        self.assertEqual((reply.status, reply.body), (200, self.target.reply[1]))


class Status(Rules):
    def test_members(self):
        dws = self.stage.dws(self.tws.url)
        members = ['state', 'message', 'dependencies', 'version', 'git_url', 'git_commit', 'freemem', 'totalmem', 'maxmem']
        with dws.client() as d:
            for c, name in ((self.c, 'SQLite'), (d, 'Type delegation target')):
                status = c.call('status')
                self.assertEqual(list(status), members)
                self.assertEqual((status['state'], status['message'], status['version']), ('OK', 'OK', '0.15.0'))
                self.assertRegex(status['git_commit'], '^[0-9a-f]{40}$')
                self.assertTrue(all(status[key] > 0 for key in members[-3:]))
                self.assertEqual([(x['state'], x['name'], x['message']) for x in status['dependencies']], [('OK', name, 'OK')])
                self.assertEqual({type(v) for x in status['dependencies'] for v in x.values()}, {str})


if __name__ == '__main__':
    unittest.main()

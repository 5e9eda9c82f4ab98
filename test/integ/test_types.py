"""Types kept at the edge: resolve_types, cache_info, cache_flush, validate_objects of a DWS, and what they do while the TWS is away."""
import hashlib
import http.client
import json
import os
import threading
import time
import unittest

from harness import Client, RpcError, Service, Stage, TcpProxy, free_port, make_module, register

SPEC = '''module Edge {
    /* @id ws */
    typedef string ref;
    /* @optional refs links lists note
       @metadata ws name
       @metadata ws length(features) as feature_count */
    typedef structure { string name; list<float> features; list<ref> refs; mapping<ref,int> links;
                        mapping<ref,list<int>> lists; string note; } Thing;
    typedef structure { int n; } Small;
};'''
SPEC_2 = SPEC.replace('string note; }', 'string note; int more; }').replace('lists note', 'lists note more')


class Pair(unittest.TestCase):
    SETTINGS = {}

    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.port = free_port()
        self.tws = self.stage.tws(port=self.port)
        with self.tws.client() as c:
            make_module(c, 'Edge')
            register(c, SPEC, ['Thing', 'Small'])
            c.call('release_module', 'Edge', token='t-ann')
        self.proxy = self.stage.keep(TcpProxy(self.tws.url))
        self.dws = self.stage.dws(self.proxy.url, **self.SETTINGS)
        self.client = self.dws.client()
        self.addCleanup(self.client.__exit__)

    def resolve(self, *types, **more):
        return self.client.call('TypeService.resolve_types', {'types': list(types), **more} if more else list(types))

    def check(self, objects, **more):
        params = {'objects': objects, 'id_types': ['ws'], **more}
        return self.client.call('TypeService.validate_objects', params)

    def cache(self):
        return self.dws.status()['types']


class Resolving(Pair):
    def test_answers(self):
        first, second = self.resolve('Edge.Thing', schema=1)[0], self.resolve('Edge.Thing')[0]
        with self.tws.client() as c:
            schema = c.call('get_jsonschema', 'Edge.Thing')
        self.assertEqual((first['type'], first['absolute'], first['error'], first['source'], first['stale']),
                         ('Edge.Thing', 'Edge.Thing-1.0', None, 'tws', 0))
        self.assertEqual(first['schema'], schema)
        self.assertEqual((second['source'], second['schema']), ('cache', None))
        self.assertGreaterEqual(second['age_s'], 0)
        self.assertLess(second['age_s'], 30)

    def test_errors_stand_in_their_places(self):
        got = self.resolve('Nope.T', 'Edge.Nope', 'Edge', 'Edge.Thing-1.0', 'Edge.Thing-' + 'a' * 32, 'Edge.Thing-9')
        self.assertEqual([g['error'] for g in got], [
            "Module doesn't exist: Nope", 'Unable to locate type: Edge.Nope', 'Type Edge could not be split into a module and name',
            None, 'MD5 types are not allowed', 'Unable to locate type: Edge.Thing-9'])
        self.assertEqual([g['absolute'] for g in got], [None, None, None, 'Edge.Thing-1.0', None, None])
        self.assertEqual(self.resolve(), [])

    def test_a_hit_asks_nobody(self):
        self.resolve('Edge.Thing', 'Edge.Small')
        before = self.proxy.requests
        for _ in range(50):
            self.resolve('Edge.Thing', 'Edge.Small', 'Edge.Thing-1.0')
        self.check([{'type': 'Edge.Small', 'name': 'o', 'data': {'n': 1}}])
        self.assertEqual(self.proxy.requests, before)
        cache = self.cache()
        self.assertEqual((cache['mappings']['entries'], cache['schemas']['entries'], cache['mappings']['loads']), (2, 2, 2))
        self.assertGreaterEqual(cache['mappings']['hits'], 101)

    def test_one_load_for_many(self):
        before = self.proxy.requests
        barrier, got = threading.Barrier(16), []

        def ask():
            with self.dws.client() as c:
                barrier.wait()
                got.append(c.call('TypeService.resolve_types', ['Edge.Thing'])[0]['absolute'])

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(got, ['Edge.Thing-1.0'] * 16)
        self.assertEqual(self.proxy.requests - before, 1)

    def test_a_release_moves_mappings(self):
        self.resolve('Edge.Thing', 'Edge.Thing-1')
        with self.tws.client() as c:
            register(c, SPEC_2, [])
            self.assertEqual(self.resolve('Edge.Thing-1.1')[0]['absolute'], 'Edge.Thing-1.1')
            self.assertEqual(self.resolve('Edge.Thing')[0]['absolute'], 'Edge.Thing-1.0')
            c.call('release_module', 'Edge', token='t-ann')
        self.client.call('TypeService.cache_flush', {'module': 'Other'}, token='t-root')
        self.assertEqual(self.resolve('Edge.Thing')[0]['absolute'], 'Edge.Thing-1.0')
        self.client.call('TypeService.cache_flush', {'module': 'Edge'}, token='t-root')
        self.assertEqual(self.resolve('Edge.Thing', 'Edge.Thing-1')[1]['absolute'], 'Edge.Thing-1.1')

    def test_requests_that_are_none(self):
        for method, params, code in (('resolve_types', [], -32602), ('resolve_types', [[], []], -32602),
                                     ('resolve_types', ['x'], -32602), ('resolve_types', [[1]], -32602),
                                     ('resolve_types', [{'schema': 1}], -32602), ('resolve_types', [{'types': [], 'x': 1}], -32500),
                                     ('resolve_types', [{'types': [], 'schema': 'x'}], -32602),
                                     ('resolve_types', [['M.T'] * 1001], -32500),
                                     ('validate_objects', [], -32602), ('validate_objects', [{}, {}], -32602),
                                     ('validate_objects', [[]], -32602), ('validate_objects', ['x'], -32602),
                                     ('validate_objects', [{}], -32500), ('validate_objects', [{'objects': []}], -32500),
                                     ('validate_objects', [{'objects': {}}], -32602),
                                     ('validate_objects', [{'objects': [1]}], -32602),
                                     ('validate_objects', [{'objects': [{}], 'x': 1}], -32500),
                                     ('validate_objects', [{'objects': [{}], 'id_types': 'ws'}], -32602),
                                     ('validate_objects', [{'objects': [{}], 'id_map': {'ws': {'a': 1}}}], -32602),
                                     ('validate_objects', [{'objects': [{}], 'max_ids': 0}], -32602)):
            with self.subTest(method=method, params=json.dumps(params)[:60]):
                self.assertEqual(self.client.fails('TypeService.' + method, *params).code, code)

    def test_only_a_dws_has_them(self):
        with self.tws.client() as c:
            for method in ('resolve_types', 'validate_objects', 'cache_info', 'cache_flush'):
                self.assertEqual(c.fails('TypeService.' + method, [], token='t-root').code, -32601)


class Administration(Pair):
    def test_info_and_flush(self):
        self.resolve('Edge.Thing', 'Edge.Small', 'Edge.None')
        info = self.client.call('TypeService.cache_info', token='t-auditor')
        self.assertEqual(sorted(e['type'] for e in info['schemas']), ['Edge.Small-1.0', 'Edge.Thing-1.0'])
        self.assertEqual({e['type']: e['absolute'] for e in info['mappings']},
                         {'Edge.Small': 'Edge.Small-1.0', 'Edge.Thing': 'Edge.Thing-1.0'})
        self.assertEqual(sum(e['bytes'] for e in info['schemas']), info['status']['schemas']['bytes'])
        self.assertEqual(info['status']['negative']['entries'], 1)
        for user, method in (('t-ann', 'cache_info'), ('t-ann', 'cache_flush'), ('t-auditor', 'cache_flush')):
            params = [] if method == 'cache_info' else [{}]
            self.assertIn('dmin', self.client.fails('TypeService.' + method, *params, token=user).message)
        self.assertEqual(self.client.fails('TypeService.cache_flush', {}).code, -32400)
        self.assertEqual(self.client.call('TypeService.cache_flush', {}, token='t-root'),
                         {'schemas': 2, 'mappings': 2, 'negative': 1})
        self.assertEqual(self.cache()['schemas']['entries'], 0)


class Checking(Pair):
    GOOD = {'name': 'x', 'features': [1, 2.5]}

    def test_a_good_and_a_bad_object(self):
        good = self.check([{'type': 'Edge.Thing', 'name': 'a', 'data': self.GOOD}])
        self.assertEqual((good['valid'], good['failed_object'], good['message'], good['unique_ids']), (1, None, None, 0))
        entry = good['objects'][0]
        self.assertEqual((entry['type'], entry['valid'], entry['final'], entry['data']), ('Edge.Thing-1.0', 1, 1, None))
        self.assertEqual(entry['metadata'], {'name': 'x', 'feature_count': '2'})
        canonical = b'{"features":[1,2.5],"name":"x"}'
        self.assertEqual((entry['size'], entry['md5']), (len(canonical), hashlib.md5(canonical).hexdigest()))
        bad = self.check([{'type': 'Edge.Thing', 'name': 'a', 'data': self.GOOD},
                          {'data': {'name': 1, 'features': ['x']}, 'objid': 7, 'type': 'Edge.Thing'},
                          {'type': 'Edge.Thing', 'name': 'c', 'data': self.GOOD}])
        self.assertEqual((bad['valid'], bad['failed_object'], len(bad['objects'])), (0, 2, 2))
        self.assertEqual(bad['message'], 'Object #2, 7 failed type checking:\n'
                         'instance type (integer) does not match any allowed primitive type (allowed: ["string"]), at /name\n'
                         'instance type (string) does not match any allowed primitive type (allowed: ["float"]), at /features/0')

    def test_ids_and_relabelling(self):
        thing = {'name': 'x', 'features': [], 'refs': ['b', 'a', 'a'], 'links': {'z': 1, 'y': 2}}
        entry = {'type': 'Edge.Thing', 'name': 'o', 'data': thing, 'provenance_refs': ['p', 'p', 'q']}
        first = self.check([entry, entry])
        self.assertEqual(first['unique_ids'], 12)
        self.assertEqual(first['objects'][0]['final'], 0)
        self.assertIsNone(first['objects'][0]['md5'])
        self.assertEqual([i['id'] for i in first['objects'][0]['ids']['ws']], ['b', 'a', 'z', 'y'])
        again = self.check([entry], id_map={'ws': {'a': '1/1/1', 'z': '0/0/1'}}, return_data=1)
        self.assertEqual((again['valid'], again['objects'][0]['final']), (1, 1))
        self.assertEqual(again['objects'][0]['data'], {'features': [], 'links': {'0/0/1': 1, 'y': 2}, 'name': 'x',
                                                       'refs': ['b', '1/1/1', '1/1/1']})
        same = self.check([entry], id_map={'ws': {'y': 'z'}})
        self.assertEqual(same['message'], 'Object #1, o: Two references in a single hash are identical when resolved, resulting '
                         "in a loss of data: Duplicated key 'z' was found at /links")

    def test_relabelled_keys_with_containers(self):
        entry = {'type': 'Edge.Thing', 'name': 'o', 'data': {'name': 'x', 'features': [], 'lists': {'a': [1], 'b': [2]}}}
        with self.dws.client() as c:
            body = json.dumps({'method': 'TypeService.validate_objects', 'params': [
                {'objects': [entry], 'id_types': ['ws'], 'id_map': {'ws': {'a': 'z', 'b': 'c'}}, 'return_data': 1}]})
            self.assertIn(b'"data":{"features":[],"lists":{"c":[2],"z":[1]},"name":"x"}', c.post(body).body)
        self.assertIn("Duplicated key 'z' was found at /lists", self.check([entry], id_map={'ws': {'a': 'z', 'b': 'z'}})['message'])

    def test_limits(self):
        entry = {'type': 'Edge.Thing', 'name': 'o', 'data': {'name': 'x', 'features': [], 'refs': ['a', 'b']}}
        self.assertEqual(self.check([entry], max_ids=2)['valid'], 1)
        text = 'Object #{}, o failed type checking - the number of unique IDs in the saved objects exceeds the maximum allowed, {}'
        self.assertEqual(self.check([entry], max_ids=1)['message'], text.format(1, 1))
        self.assertEqual(self.check([entry, entry], max_ids=3)['message'], text.format(2, 3))
        wrong = {**entry, 'data': {'features': ['no number'], **entry['data'], 'name': 5, 'refs': ['a', 'b']}}
        self.assertEqual(len(self.check([wrong], max_ids=2)['objects'][0]['errors']), 1)
        refused = self.check([wrong], max_ids=1)
        self.assertEqual((refused['message'], refused['objects'][0]['errors']), (text.format(1, 1), []))
        more = {**entry, 'provenance_refs': ['p', 'q']}
        self.assertEqual(self.check([more], max_ids=4)['valid'], 1)
        refused = self.check([more], max_ids=3)
        self.assertEqual((refused['message'], refused['objects'][0]['valid']), (text.format(1, 3), 0))
        self.assertEqual(self.check([entry], id_map={}, max_object_size=20)['message'],
                         'Object #1, o data size 43 exceeds limit of 20')

    def test_memory_for_keys_depends_on_all_objects(self):
        """Upstream sorts in files what is large together, and has more memory for keys then."""
        keys = '{"n":1,' + ','.join(f'"{i:06}":1' for i in range(2_500_000)) + '}'
        other = '{"n":1,"x":"' + 'y' * 75_000_000 + '"}'
        for objects, valid in (([keys], 0), ([keys, other], 1), ([other, keys], 1)):
            entries = ','.join(f'{{"type":"Edge.Small","name":"o","data":{data}}}' for data in objects)
            with self.dws.client() as c:
                got = c.post('{"method":"TypeService.validate_objects","params":[{"objects":[%s]}]}' % entries).json()['result'][0]
            self.assertEqual((got['valid'], [o['size'] for o in got['objects']]), (valid, [valid and len(o) or None for o in objects]))

    def test_early_stages_come_first(self):
        """A sorting error of an early object hides behind a type error of a late one, as upstream does all of one before the other."""
        twice = '{"type":"Edge.Small","name":"a","data":{"n":1,"k":1,"k":2}}'
        bad = '{"type":"Edge.Small","name":"b","data":{"n":"x"}}'
        for objects, failed, part in ((twice, 1, 'Duplicated key'), (f'{twice},{bad}', 2, 'failed type checking:'),
                                      (f'{bad},{twice}', 1, 'failed type checking:')):
            body = '{"method":"TypeService.validate_objects","params":[{"objects":[' + objects + ']}]}'
            got = self.client.post(body).json()['result'][0]
            self.assertEqual((got['failed_object'], len(got['objects'])), (failed, failed))
            self.assertIn(part, got['message'])

    def test_what_is_found_before_types(self):
        data = {'n': 1}
        for entry, text in (
                (None, 'Object #2: is null'),
                ({'data': data}, 'Object #2: Must provide one and only one of object name (was: null) or id (was: null)'),
                ({'name': 'a', 'objid': 1}, 'Object #2: Must provide one and only one of object name (was: a) or id (was: 1)'),
                ({'objid': 0}, 'Object #2: Object id must be > 0'),
                ({'name': ''}, 'Object #2: Object name cannot be null or the empty string'),
                ({'name': 'x' * 256}, 'Object #2: Object name exceeds the maximum length of 255'),
                ({'name': 'a b'}, 'Object #2: Illegal character in object name a b:  '),
                ({'name': '12'}, 'Object #2: Object names cannot be integers: 12'),
                ({'name': 'n', 'foo': 1, 'bar': 2}, 'Object #2, n: Unexpected arguments in ObjectSaveData: bar foo'),
                ({'name': 'n'}, 'Object #2, n: no data'),
                ({'objid': 3, 'data': None}, 'Object #2, 3: no data'),
                ({'name': 'n', 'data': data}, 'Object #2, n: Typestring cannot be null or the empty string'),
                ({'name': 'n', 'data': data, 'type': 'Edge'}, 'Object #2, n: Type Edge could not be split into a module and name')):
            with self.subTest(text=text):
                got = self.check([{'type': 'Nope.T', 'name': 'first', 'data': {}}, entry])
                self.assertEqual((got['valid'], got['failed_object'], got['message']), (0, 2, text))
                self.assertEqual((got['objects'][0], got['objects'][1]['valid']), (None, 0))

    def test_types_that_are_none(self):
        for name, text in (('Nope.T', "Object #1, o failed type checking: Module doesn't exist: Nope"),
                           ('Edge.Nope', 'Object #1, o failed type checking: Unable to locate type: Edge.Nope'),
                           ('Edge.Small-' + 'a' * 32, 'MD5 types are not allowed')):
            got = self.check([{'type': name, 'name': 'o', 'data': {}}])
            self.assertEqual((got['message'], got['objects'][0]['type']), (text, None))
        self.proxy.close()
        got = self.check([{'type': 'Edge.Small', 'name': 'o', 'data': {}}])
        self.assertTrue(got['message'].startswith('Object #1, o failed type checking - a fatal error occurred attempting to fetch '
                        'the type specification: Failed retrieving type info from remote type database: '), got['message'])

    def test_large_objects(self):
        """30 MB through the spooled body into a spooled answer; the members of the request come in any order."""
        features = ','.join(['1.5'] * 7_500_000)
        body = ('{"params":[{"return_data":1,"objects":[{"data":{"name":"\\u00e9\\n","features":[' + features
                + ']},"type":"Edge.Thing","name":"big"}]}],"method":"TypeService.validate_objects"}')
        with self.dws.client(timeout=300) as c:
            reply = c.post(body)
        result = reply.json()['result'][0]
        self.assertEqual((result['valid'], result['objects'][0]['metadata']['feature_count']), (1, '7500000'))
        canonical = ('{"features":[' + features + '],"name":"\u00e9\\n"}').encode()
        self.assertEqual(result['objects'][0]['size'], len(canonical))
        self.assertIn(b'"data":' + canonical + b',', reply.body)
        with open(f'/proc/{self.dws.process.pid}/status', encoding='ascii') as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith('VmHWM'))
        self.assertLess(peak, 700_000)          # a tree alone would take more
        broken = body[:-100] + '#' + body[-99:]
        with self.dws.client(timeout=300) as c:
            error = c.post(broken).json()['error']
        self.assertEqual(error['code'], -32700)

    def test_json_errors_are_those_of_any_call(self):
        for body in ('{"method":"TypeService.validate_objects","params":[{"objects":[{"data":{"a":01}}]}]}',
                     '{"method":"TypeService.validate_objects","params":[{"objects":[{"data":{"a":"' + 'x' * 100_000 + '\n"}}]}]}'):
            self.assertEqual(self.client.post(body).json()['error']['code'], -32700)
        deep = '[' * 6000 + ']' * 6000
        body = '{"method":"TypeService.validate_objects","params":[{"objects":[{"data":' + deep + ',"x":"' + 'y' * 70_000 + '"}]}]}'
        self.assertIn('nested', self.client.post(body).json()['error']['message'])


class Away(Pair):
    SETTINGS = {'type_mapping_cache_time': 1, 'type_mapping_max_stale': 60}

    def test_stale_answers_say_so(self):
        self.assertEqual(self.resolve('Edge.Small')[0]['source'], 'tws')
        self.tws.kill()
        time.sleep(1.1)
        got = self.resolve('Edge.Small')[0]
        self.assertEqual((got['absolute'], got['source'], got['stale']), ('Edge.Small-1.0', 'stale', 1))
        self.assertGreater(got['age_s'], 1)
        got = self.check([{'type': 'Edge.Small', 'name': 'o', 'data': {'n': 1}}])
        self.assertEqual((got['valid'], got['objects'][0]['stale']), (1, 1))
        self.assertIn('Failed retrieving', self.resolve('Edge.Thing')[0]['error'])
        self.assertGreaterEqual(self.cache()['stale_serves'], 2)
        self.tws.start()
        time.sleep(1.1)
        got = self.resolve('Edge.Small')[0]
        self.assertEqual((got['source'], got['stale']), ('tws', 0))
        self.assertEqual(self.resolve('Edge.Thing')[0]['absolute'], 'Edge.Thing-1.0')


class Restarting(Pair):
    def test_no_call_comes_too_early(self):
        """Calls that reach a new process before it has looked at its target wait for that, whatever their method."""
        port, over, failures, answers = free_port(), threading.Event(), [], []
        dws = self.stage.keep(Service({**self.stage.dws_settings(self.tws.url), 'port': port}))
        calls = ((('TypeService.resolve_types', ['Edge.Thing']), lambda got: got[0]['error']),
                 (('TypeService.validate_objects', {'objects': [{'type': 'Edge.Small', 'name': 'o', 'data': {'n': 1}}]}),
                  lambda got: got['message']),
                 (('get_type_info', 'Edge.Thing'), lambda got: None))

        def ask(call, failure):
            while not over.is_set():
                try:
                    with Client(f'http://127.0.0.1:{port}/') as c:
                        failures.append(failure(c.call(*call)))
                    answers.append(call[0])
                except (OSError, http.client.HTTPException):
                    pass                                # the port is not open yet, or the process was killed
                except RpcError as e:
                    failures.append(e.message)

        threads = [threading.Thread(target=ask, args=call) for call in calls for _ in range(2)]
        self.addCleanup(over.set)
        for t in threads:
            t.start()
        for _ in range(5):
            answers.clear()
            dws.start()
            end = time.monotonic() + 20
            while set(answers) != {call[0] for call, _ in calls} and time.monotonic() < end:
                time.sleep(0.01)
            dws.kill()
        over.set()
        for t in threads:
            t.join()
        self.assertEqual([f for f in failures if f], [])


class Snapshots(Pair):
    def settings(self, **more):
        return self.stage.dws_settings(self.tws.url, dws_snapshot_file=os.path.join(self.stage.dir, 'snapshot'),
                                       delegation_check_interval=1, **more)

    def test_start_without_the_tws(self):
        dws = self.stage.keep(Service(self.settings())).start()
        with dws.client() as c:
            c.call('TypeService.resolve_types', ['Edge.Small', 'Edge.Thing'])
        self.assertEqual(dws.stop(), 0)
        self.tws.kill()
        dws.start()
        dws.wait_log('snapshot.read')
        self.assertEqual(dws.get('/ready').status, 503)
        with dws.client() as c:
            got = c.call('TypeService.resolve_types', ['Edge.Small'])[0]
            self.assertEqual((got['absolute'], got['source']), ('Edge.Small-1.0', 'cache'))
            got = c.call('TypeService.validate_objects', {'objects': [{'type': 'Edge.Thing', 'name': 'o',
                                                                       'data': {'name': 'x', 'features': []}}]})
            self.assertEqual((got['valid'], got['objects'][0]['type']), (1, 'Edge.Thing-1.0'))
            self.assertIn('type-delegation-target', c.fails('list_modules', {}).message)
        self.tws.start()
        end = time.monotonic() + 20
        while dws.get('/ready').status != 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        with dws.client() as c:
            self.assertEqual(c.call('TypeService.resolve_types', ['Edge.Small'])[0]['source'], 'cache')

    def test_another_type_database(self):
        dws = self.stage.keep(Service(self.settings())).start()
        with dws.client() as c:
            c.call('TypeService.resolve_types', ['Edge.Small'])
        dws.stop()
        self.tws.stop()
        os.unlink(self.tws.settings['type-database-file'])
        self.tws.start()
        dws.start()
        dws.wait_log('types.dropped')
        with dws.client() as c:
            self.assertEqual(c.call('TypeService.resolve_types', ['Edge.Small'])[0]['error'], "Module doesn't exist: Edge")

    def test_damaged(self):
        dws = self.stage.keep(Service(self.settings())).start()
        with dws.client() as c:
            c.call('TypeService.resolve_types', ['Edge.Small'])
        dws.stop()
        path = dws.settings['dws-snapshot-file']
        with open(path, 'r+b') as f:
            f.seek(200)
            byte = f.read(1)[0]
            f.seek(200)
            f.write(bytes([byte ^ 1]))
        dws.start()
        self.assertIn('checksum', dws.wait_log('snapshot.refused'))
        with dws.client() as c:
            self.assertEqual(c.call('TypeService.resolve_types', ['Edge.Small'])[0]['source'], 'tws')

    def test_survives_a_kill(self):
        dws = self.stage.keep(Service(self.settings(dws_snapshot_interval=1))).start()
        with dws.client() as c:
            c.call('TypeService.resolve_types', ['Edge.Small'])
        end = time.monotonic() + 20
        while dws.status()['types']['snapshot']['writes'] == 0:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        dws.kill()
        dws.start()
        with dws.client() as c:
            self.assertEqual(c.call('TypeService.resolve_types', ['Edge.Small'])[0]['source'], 'cache')


class NothingElseIsKept(Pair):
    def test_type_methods_always_ask(self):
        """Types that are kept here do not change what the forwarded methods do."""
        self.resolve('Edge.Thing', 'Edge.Small')
        with self.dws.client('t-ann') as c:
            for method, params in (('get_type_info', 'Edge.Thing'), ('get_jsonschema', 'Edge.Thing-1.0'),
                                   ('get_module_info', {'mod': 'Edge'}), ('list_all_types', {}), ('list_modules', {}),
                                   ('translate_to_MD5_types', ['Edge.Thing'])):
                before = self.proxy.requests
                for _ in range(2):
                    c.call(method, params)
                self.assertEqual(self.proxy.requests - before, 2, method)


if __name__ == '__main__':
    unittest.main()

"""`wstyped check`: objects from files and pipes, types from specs and from a running service."""
import hashlib
import json
import os
import subprocess
import unittest

from harness import BINARY, ROOT, Stage, make_module, register

SPECS = [os.path.join(ROOT, 'test', 'demo', 'specs', name + '.spec') for name in ('Units', 'Sequencing')]
PLACE = ['--type', 'Units.Place', '--spec', SPECS[0]]


def check(*args, data=None):
    done = subprocess.run([BINARY, 'check', *args], input=data, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


class Check(unittest.TestCase):
    def test_valid_object_from_a_pipe(self):
        status, out, _ = check(*PLACE, '-', data='{"lon":20.50,"lat":10, "name":"x"}')
        canonical = '{"lat":10,"lon":20.5,"name":"x"}'
        self.assertEqual(status, 0)
        self.assertIn(f'size {len(canonical)}\nmd5 {hashlib.md5(canonical.encode()).hexdigest()}\n', out)

    def test_errors_one_a_line_with_location(self):
        status, out, _ = check(*PLACE, '-', data='{"lat":-91,"lon":"x"}')
        self.assertEqual(status, 1)
        self.assertEqual(out.splitlines(), [
            '/lat: Number value given (-91.0) was less than minimum value accepted (-90.0, inclusive) at /lat',
            '/lon: instance type (string) does not match any allowed primitive type (allowed: ["float"]), at /lon'])

    def test_json_is_the_rpc_entry(self):
        status, out, _ = check(*PLACE, '--json', '-', data='{"lat":1}')
        entry = json.loads(out)
        self.assertEqual((status, entry['valid'], entry['type']), (1, 0, 'Units.Place'))
        self.assertEqual(entry['errors'][0]['code'], 'V3')

    def test_includes_are_found_among_the_specs(self):
        args = ['--type', 'Sequencing.Contig', '--spec', SPECS[0], '--spec', SPECS[1], '-']
        self.assertEqual(check(*args, data='{"id":"c","length":5,"gc":0.5,"checksum":"x"}')[0], 0)
        status, out, _ = check(*args, data='{"id":"c","length":-5,"gc":2,"checksum":"x"}')
        self.assertEqual((status, len(out.splitlines())), (1, 2))

    def test_wrong_usage_and_unreadable_things(self):
        for args, word in ((['--type', 'Units.Place', '-'], 'spec'), ([*PLACE, '/no/such/file'], '/no/such/file'),
                           (['--type', 'Units.Nope', '--spec', SPECS[0], '-'], 'Units.Nope'),
                           (['--type', 'bad', '--spec', SPECS[0], '-'], 'bad'),
                           (['--type', 'Units.Place', '--spec', '/no/spec', '-'], '/no/spec'),
                           (['--type', 'Units.Place', '--tws', 'http://127.0.0.1:1/', '-'], 'Units.Place')):
            with self.subTest(args=args):
                status, _, err = check(*args, data='{}')
                self.assertEqual(status, 2)
                self.assertIn(word, err)

    def test_type_of_a_running_service(self):
        stage = Stage()
        self.addCleanup(stage.close)
        tws = stage.tws()
        with tws.client() as c, open(SPECS[0], encoding='utf-8') as spec:
            make_module(c, 'Units')
            register(c, spec.read(), ['Place'])
            c.call('release_module', 'Units', token='t-ann')
        for url in (tws.url, stage.dws(tws.url).url):
            args = ['--type', 'Units.Place', '--tws', url, '-']
            self.assertEqual(check(*args, data='{"lat":1,"lon":1}')[1].splitlines()[0], 'valid Units.Place-1.0')
            self.assertEqual(check(*args, data='{"lat":1}')[0], 1)
            self.assertIn('Unable to locate type: Units.Nope',
                          check('--type', 'Units.Nope', '--tws', url, '-', data='{}')[2])


def numbered(n):
    """n keys of six or seven digits, with values; in the sorter's reckoning each takes 72 bytes."""
    return ','.join(f'"{i:06}":1' for i in range(n))


class KeyMemory(unittest.TestCase):
    """Large objects with keys out of order: room for the keys of a map and of those around it is limited."""
    FIELDS = '"lon":1,"lat":1'
    OVERHEAD = 2 * 72                                   # of those two keys

    def refused(self, data, at):
        status, out, _ = check(*PLACE, '-', data=data)
        self.assertEqual((status, out), (1, 'object: Memory necessary for sorting map keys exceeds the limit '
                                            f'{200_000_000 - len(data)} bytes at {at}\n'))

    def test_exactly_what_there_is(self):
        count = 2_300_000
        data = f'{{{self.FIELDS},"name":"PAD",{numbered(count)}}}'
        room = 200_000_000 - (count + 1) * 72 - self.OVERHEAD
        data = data.replace('PAD', 'x' * (room - len(data) + 3))
        status, out, _ = check(*PLACE, '-', data=data)
        self.assertEqual((status, out.splitlines()[1]), (0, f'size {room}'))
        self.refused(data.replace('xx', 'xxx', 1), '/')

    def test_more_than_there_ever_is(self):
        """The limit in the text depends on the whole object's size."""
        self.refused(f'{{{self.FIELDS},{numbered(2_900_000)}}}', '/')

    def test_the_outermost_map_with_too_many_is_named(self):
        self.refused(f'{{{self.FIELDS},{numbered(2_600_000)},"deep":{{"b":1}}}}', '/')

    def test_keys_behind_a_map_count_for_it(self):
        half = numbered(1_300_000)
        self.refused(f'{{{self.FIELDS},"deep":[0,{{"a/b":{{{half}}}}},{{"c":1}}],{half}}}', '/deep/1/a\\/b')

    def test_maps_beside_each_other_do_not_add_up(self):
        third = numbered(900_000)
        data = f'{{{self.FIELDS},"b":{{{third}}},"a":{{{third}}},"c":{{{third}}}}}'
        self.assertEqual(check(*PLACE, '-', data=data)[0], 0)

    def test_lone_surrogates_are_different_keys(self):
        data = f'{{{self.FIELDS},"x":"{"y" * 21_000_000}","\\ud801":1,"\\ud800":2}}'
        self.assertEqual(check(*PLACE, '-', data=data)[0], 0)

    def test_the_first_map_that_ends_is_named(self):
        data = f'{{{self.FIELDS},"x":"{"y" * 21_000_000}","c":{{"k":1,"k":2}},"b":{{"l":1,"l":2}}}}'
        self.assertIn("Duplicated key 'k' was found at /c\n", check(*PLACE, '-', data=data)[1])

    def test_comes_before_equal_keys(self):
        self.refused(f'{{{self.FIELDS},"x":1,"x":2,{numbered(2_900_000)}}}', '/')


if __name__ == '__main__':
    unittest.main()

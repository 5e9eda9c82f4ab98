"""200 clients register, release, grant and read at once, on the TWS and through a DWS; nothing acknowledged is lost."""
import random
import threading
import unittest

from harness import RpcError, Stage, make_module

MODULES, CLIENTS, ROUNDS = 8, 200, 6


def spec(module, fields):
    return f'module {module} {{\ntypedef structure {{ {" ".join(f"int {f};" for f in fields)} }} T;\n}};\n'


class Together(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.tws = self.stage.tws(worker_threads=8)
        self.dws = self.stage.dws(self.tws.url)
        self.done, self.lock, self.unexpected = [], threading.Lock(), []
        with self.tws.client() as c:
            for i in range(MODULES):
                make_module(c, f'Busy{i}')

    def one(self, number):
        rng = random.Random(number)
        with (self.tws if number % 2 else self.dws).client('t-ann', timeout=120) as c:
            for turn in range(ROUNDS):
                module = f'Busy{rng.randrange(MODULES)}'
                act = rng.choice(('register', 'register', 'release', 'grant', 'read', 'read', 'read'))
                try:
                    self.act(c, act, module, number, turn)
                except RpcError as e:
                    if not any(text in e.message for text in (
                            "wasn't uploaded", 'already registered', 'Unable to locate', 'was not already',
                            "wasn't released", 'There is no difference')):
                        with self.lock:
                            self.unexpected.append((act, e.message))

    def act(self, c, act, module, number, turn):
        if act == 'register':
            text = spec(module, ['a', f'f{number}x{turn}'])
            try:
                got = c.call('register_typespec', {'spec': text, 'new_types': ['T'], 'dryrun': 0})
            except RpcError as e:
                if 'already registered' not in e.message:
                    raise
                got = c.call('register_typespec', {'spec': text, 'dryrun': 0})
            with self.lock:
                self.done += [(name, schema) for name, schema in got.items()]
        elif act == 'release':
            c.call('release_module', module)
        elif act == 'grant':
            c.call('grant_module_ownership', {'mod': module, 'new_owner': f'user{number}', 'with_grant_option': turn % 2})
        else:
            c.call('get_type_info', module + '.T')
            c.call('get_module_info', {'mod': module})

    def test_nothing_is_lost(self):
        threads = [threading.Thread(target=self.one, args=(i,)) for i in range(CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.unexpected, [])
        self.assertGreater(len(self.done), CLIENTS)
        self.assertEqual(len({name for name, _ in self.done}), len(self.done), 'a type version was handed out twice')
        for service in (self.tws, self.dws):
            with service.client('t-ann') as c:
                for name, schema in self.done[:: 7]:
                    self.assertEqual(c.call('get_jsonschema', name), schema)
        self.assertEqual(self.dws.stop(), 0)
        self.tws.kill()
        self.tws.start()
        with self.tws.client('t-ann') as c:
            for name, schema in self.done:
                self.assertEqual(c.call('get_jsonschema', name), schema)
            for i in range(MODULES):
                versions = c.call('list_module_versions', {'mod': f'Busy{i}'})['vers']
                self.assertEqual(versions, sorted(set(versions)))
                if versions:
                    info = c.call('get_type_info', f'Busy{i}.T')
                    numbers = [tuple(map(int, v.split('-')[1].split('.'))) for v in info['type_vers']]
                    self.assertEqual(numbers, sorted(set(numbers)))


if __name__ == '__main__':
    unittest.main()

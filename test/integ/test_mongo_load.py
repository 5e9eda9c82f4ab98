"""64 clients register, release, grant and read in 20 modules at once; then everything acknowledged is there, in order."""
import threading
import time
import unittest

from harness import RpcError, make_module
from mongo_stage import KINDS, SEED, MongoStage, fsck, problems, rng, scale, wait_serving

MODULES, CLIENTS = 20, 64
# what may be answered to an act that comes at the wrong moment
EXPECTED = ("wasn't uploaded", 'already registered', 'Unable to locate', 'was not already', "wasn't released",
            'There is no difference', 'is not in list of owners')


def spec(module, number):
    """Each differs from all others in T, which so gets a new version each time; U uses it."""
    return (f'module {module} {{\ntypedef structure {{ int f{number}; }} T;\ntypedef structure {{ T t; }} U;\n'
            f'funcdef f{number % 7}(T t) returns (U u);\n}};\n')


class Load:
    def setUp(self):
        self.stage = MongoStage(self.kind)
        self.addCleanup(self.stage.close)
        self.tws = self.stage.tws(worker_threads=8)
        self.schemas, self.granted, self.unexpected, self.counts = {}, set(), [], {}
        self.versions = [[] for _ in range(MODULES)]
        self.lock, self.number = threading.Lock(), 0
        with self.tws.client() as c:
            for i in range(MODULES):
                make_module(c, f'Busy{i}')

    def client(self, me, end):
        random = rng('load', self.kind, me)
        with self.tws.client('t-ann', timeout=120) as c:
            while time.monotonic() < end:
                act = random.choice(('register', 'register', 'release', 'grant', 'read', 'read', 'read'))
                try:
                    getattr(self, act)(c, random.randrange(MODULES), me, random)
                    with self.lock:
                        self.counts[act] = self.counts.get(act, 0) + 1
                except RpcError as e:
                    if not any(text in e.message for text in EXPECTED):
                        with self.lock:
                            self.unexpected.append((act, e.message))

    def register(self, c, module, me, random):
        with self.lock:
            self.number += 1
            text = spec(f'Busy{module}', self.number)
        try:
            got = c.call('register_typespec', {'spec': text, 'new_types': ['T', 'U'], 'dryrun': 0})
        except RpcError as e:
            if 'already registered' not in e.message:
                raise
            got = c.call('register_typespec', {'spec': text, 'dryrun': 0})
        with self.lock:
            for name, schema in got.items():
                assert name not in self.schemas, f'{name} was given twice'
                self.schemas[name] = schema

    def release(self, c, module, me, random):
        c.call('release_module', f'Busy{module}')

    def grant(self, c, module, me, random):
        user = f'user{me}x{random.randrange(50)}'
        c.call('grant_module_ownership', {'mod': f'Busy{module}', 'new_owner': user, 'with_grant_option': 1})
        with self.lock:
            self.granted.add((module, user))

    def read(self, c, module, me, random):
        versions = c.call('list_module_versions', {'mod': f'Busy{module}'})['vers']
        assert versions == sorted(set(versions)), versions
        with self.lock:
            last = self.versions[module]
            self.versions[module] = versions if len(versions) > len(last) else last
        c.call('get_type_info', f'Busy{module}.T')

    def test_nothing_is_lost(self):
        end = time.monotonic() + scale(10, 60)
        threads = [threading.Thread(target=self.client, args=(i, end)) for i in range(CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(180)
        print(f'   {self.kind}: {self.counts}, {len(self.schemas)} type versions acknowledged', flush=True)
        seed = f'WSTYPED_SEED={SEED}'
        self.assertEqual(self.unexpected[:3], [], seed)
        self.check('the same process', seed)
        self.tws.kill()
        self.assertEqual(problems(self.stage.db.docs()), [], seed)
        self.tws.settings.update(self.stage.db.standby())
        wait_serving(self.tws.launch(), 60)
        self.check('after SIGKILL', seed)
        self.assertEqual(self.tws.stop(), 0)
        self.assertEqual(problems(self.stage.db.docs()) + self.stage.db.leftovers(), [], seed)
        status, text = fsck(self.tws)
        self.assertEqual(status, 0, text)

    def check(self, when, seed):
        with self.tws.client('t-ann') as c:
            for name, schema in self.schemas.items():
                self.assertEqual(c.call('get_jsonschema', name), schema, f'{when}, {seed}')
            for i in range(MODULES):
                versions = c.call('list_module_versions', {'mod': f'Busy{i}'})['vers']
                self.assertEqual(versions, sorted(set(versions)), f'{when}, {seed}')
                self.assertLessEqual(set(self.versions[i]), set(versions), f'{when}: a version that was listed is gone, {seed}')
                owners = set(c.call('get_module_info', {'mod': f'Busy{i}'})['owners']) if versions else None
                if owners:
                    self.assertLessEqual({u for m, u in self.granted if m == i}, owners, f'{when}, {seed}')


for _kind in KINDS:
    _name = 'Load' + _kind.title()
    globals()[_name] = type(_name, (Load, unittest.TestCase), {'kind': _kind, '__module__': __name__})

if __name__ == '__main__':
    unittest.main()

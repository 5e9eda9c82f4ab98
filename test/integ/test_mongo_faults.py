"""The server's troubles under load: killed, restarted, cut off, stepping down, a primary lost or parted from the others.

Nothing acknowledged is lost, no version is given twice, errors say what is wrong, and the service is back within ten seconds
of the server.
"""
import contextlib
import http.client
import threading
import time
import unittest
from urllib.parse import urlsplit

from harness import Client, RpcError, TcpProxy, make_module
from mongo_stage import (SEED, Int32, Mongo, MongoError, MongoStage, Pairs, Supervised, deployment, fsck,
                         problems, rng, scale, wait_serving)

CLIENTS, RECOVERY_SECONDS = 6, 10
# how an error of a server in trouble may begin or what it names
CLEAR = ('type database', 'lease', 'no answer', 'This server is', 'Wait', 'not hold')


class Load:
    """Clients that register and read until they are stopped, each in its own module; keeps what was acknowledged."""

    def __init__(self, url, salt):
        self.url, self.over, self.lock = url, threading.Event(), threading.Lock()
        self.acknowledged, self.errors, self.reads, self.last_good, self.longest = {}, {}, 0, time.monotonic(), 0.0
        self.refused, self.random = 0, rng('load', salt)
        with Client(url) as c:
            for i in range(CLIENTS):
                make_module(c, f'Load{i}')
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def client(self, number):
        module, turn = f'Load{number}', 0
        known = []
        while not self.over.is_set():
            turn += 1
            name = f'T{turn}'
            try:
                with Client(self.url, 't-ann', timeout=40) as c:
                    got = c.call('register_typespec', {'spec': self.spec(module, [*known, name]), 'new_types': [name],
                                                       'dryrun': 0})
                    known.append(name)
                    self.good(got)
                    c.call('get_jsonschema', f'{module}.{name}-0.1')
                    self.reads += 1
            except RpcError as e:
                self.bad(e.message)
                if name not in known:
                    known = self.look(module, known, name)
            except (OSError, http.client.HTTPException) as e:
                self.bad(f'no answer: {e!r}')
                if name not in known:
                    known = self.look(module, known, name)
            time.sleep(0.02)

    @staticmethod
    def spec(module, names):
        return f'module {module} {{\n' + ''.join(f'typedef structure {{ int a; }} {n};\n' for n in names) + '};\n'

    def look(self, module, known, name):
        """After an error: is it there?  Tells what to build on."""
        while not self.over.is_set():
            try:
                with Client(self.url, 't-ann', timeout=40) as c:
                    there = [t['type_def'].split('.')[1].split('-')[0] for t in c.call('get_all_type_info', module)]
                return [*known, name] if name in there else known
            except RpcError as e:
                if "wasn't uploaded" in e.message:
                    return known
                self.bad(e.message)
            except (OSError, http.client.HTTPException) as e:
                self.bad(f'no answer: {e!r}')
            time.sleep(0.1)
        return known

    def good(self, got):
        with self.lock:
            now = time.monotonic()
            self.longest, self.last_good = max(self.longest, now - self.last_good), now
            for name, schema in got.items():
                assert name not in self.acknowledged, f'{name} was given twice'
                self.acknowledged[name] = schema

    def bad(self, text):
        with self.lock:
            self.errors[text] = self.errors.get(text, 0) + 1

    def good_since(self, moment, seconds):
        """Seconds from the moment to the next success."""
        while time.monotonic() < moment + seconds:
            with self.lock:
                if self.last_good > moment:
                    return self.last_good - moment
            time.sleep(0.02)
        return None

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(90)


class Trouble(unittest.TestCase):
    lease = 15

    def begin(self, server, host=None):
        self.stage = MongoStage(server=server, lease=self.lease)
        self.addCleanup(self.stage.close)
        settings = {'mongodb-host': host} if host else {}
        service = self.stage.service()
        service.settings.update(settings)
        self.tws = self.stage.keep(Supervised(service))
        self.load = Load(service.url, self.id())
        time.sleep(scale(1, 2))

    def recovers(self, since, what):
        took = self.load.good_since(since, 60)
        log = self.tws.service.log()[-3000:]
        print(f'   {what}: written again after {took and round(took, 1)} s, restarts {self.tws.restarts}', flush=True)
        self.assertIsNotNone(took, f'no success any more after: {what}\n{self.load.errors}\n{log}')
        self.assertLess(took, RECOVERY_SECONDS, f'{what}\n{self.load.errors}\n{log}')

    def finish(self):
        time.sleep(0.5)
        self.load.stop()
        load, seed = self.load, f'WSTYPED_SEED={SEED}'
        unclear = [t for t in load.errors if not any(x in t for x in CLEAR)]
        print(f'   {len(load.acknowledged)} acknowledged, {sum(load.errors.values())} errors of {len(load.errors)} texts')
        with Client(load.url, 't-ann') as c:
            lost = [n for n, schema in load.acknowledged.items() if self.ask(c, n) != schema]
            self.assertEqual(lost, [], f'acknowledged, but lost; {seed}')
            for i in range(CLIENTS):
                versions = c.call('list_module_versions', {'mod': f'Load{i}'})['vers']
                self.assertEqual(versions, sorted(set(versions)))
        self.assertEqual(unclear, [], seed)
        self.tws.close()
        self.assertEqual(problems(self.stage.db.docs()), [], seed)
        wait_serving(self.tws.service.launch())            # a log that could not be deleted stays till the next start
        self.tws.service.stop()
        self.assertEqual(problems(self.stage.db.docs()) + self.stage.db.leftovers(), [], seed)
        status, text = fsck(self.tws.service)
        self.assertEqual(status, 0, text)
        self.assertGreater(len(load.acknowledged), 20)

    @staticmethod
    def ask(c, name):
        try:
            return c.call('get_jsonschema', name)
        except RpcError as e:
            return e.message


class Restarts(Trouble):
    """The only server is killed with SIGKILL and comes back."""

    def go(self, kind):
        server = deployment(kind)
        self.addCleanup(server.close)
        server.start()
        self.begin(server)
        random = rng('restart', kind)
        for i in range(scale(2, 6)):
            time.sleep(random.uniform(0.3, 1.0))
            server.members[0].kill()
            time.sleep(random.uniform(0.2, 2.0))
            server.members[0].start()
            server.primary()
            self.recovers(time.monotonic(), f'{kind}: mongod killed and started again')
        self.finish()

    def test_replica(self):
        self.go('replica')

    def test_standalone(self):
        self.go('standalone')


class LongRestart(Restarts):
    """Away for longer than the lease."""
    lease = 2

    def go(self, kind):
        server = deployment(kind)
        self.addCleanup(server.close)
        server.start()
        self.begin(server)
        server.members[0].kill()
        time.sleep(4)
        server.members[0].start()
        server.primary()
        self.recovers(time.monotonic(), f'{kind}: mongod away for twice the lease')
        self.finish()


class Cuts(Trouble):
    """The connection breaks at random points, many times a second."""

    def go(self, kind):
        server = deployment(kind)
        self.addCleanup(server.close)
        server.start()
        proxy = TcpProxy(f'http://{server.address}')
        self.addCleanup(proxy.close)
        self.begin(server, f'mongodb://{urlsplit(proxy.url).netloc}/?directConnection=true')
        random = rng('cuts', kind)
        for _ in range(scale(25, 150)):
            time.sleep(random.uniform(0.0, 0.3))
            proxy.cut()
        self.recovers(time.monotonic(), f'{kind}: connection cut again and again')
        self.finish()

    def test_replica(self):
        self.go('replica')

    def test_standalone(self):
        self.go('standalone')


class Members(Trouble):
    """Three members with proxies in between."""

    def setUp(self):
        self.server = Pairs(3)
        self.addCleanup(self.server.close)
        self.server.start()
        for _ in range(200):
            states = self.states()
            if states.count(1) == 1 and states.count(2) == 2:
                break
            time.sleep(0.1)
        self.begin(self.server)

    def states(self):
        with Mongo(self.server.primary().address) as m:
            return [x['state'] for x in m.command('admin', {'replSetGetStatus': Int32(1)})['members']]

    def new_primary(self, old, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for m in self.server.members:
                if m is not old and m.process.poll() is None:
                    with contextlib.suppress(OSError, MongoError):
                        if m.hello().get('isWritablePrimary'):
                            return m
            time.sleep(0.05)
        raise RuntimeError('no other primary')

    def test_step_down(self):
        for _ in range(scale(1, 3)):
            old = self.server.primary()
            with contextlib.suppress(OSError, MongoError), Mongo(old.address) as m:
                m.command('admin', {'replSetStepDown': Int32(10), 'secondaryCatchUpPeriodSecs': Int32(5)})
            self.new_primary(old)
            self.recovers(time.monotonic(), 'three members: the primary steps down')
            time.sleep(scale(0.5, 11))
        self.finish()

    def test_primary_killed(self):
        for _ in range(scale(1, 3)):
            old = self.server.primary()
            old.kill()
            self.new_primary(old)
            self.recovers(time.monotonic(), 'three members: the primary is killed')
            old.start()
            time.sleep(scale(0.5, 3))
        self.finish()

    def test_primary_cut_off_from_the_others(self):
        for _ in range(scale(1, 3)):
            old = self.server.primary()
            before = len(self.load.acknowledged)
            self.server.cut(self.server.members.index(old))
            self.assertTrue(old.hello().get('ok'), 'it should go on answering us')
            self.new_primary(old)
            self.recovers(time.monotonic(), f'three members: the primary is cut off after {before} acknowledged')
            self.server.heal()
            time.sleep(scale(1, 4))
        self.finish()


class Start(unittest.TestCase):
    def test_server_comes_later_than_the_service(self):
        server = deployment('replica')
        self.addCleanup(server.close)
        server.start()
        stage = MongoStage(server=server)
        self.addCleanup(stage.close)
        server.members[0].stop()
        tws = stage.service().launch()
        time.sleep(2)
        self.assertIsNone(tws.process.poll(), tws.log())
        server.members[0].start()
        tws.wait_ready(30)
        with tws.client() as c:
            self.assertEqual(c.call('list_modules', {}), [])


if __name__ == '__main__':
    unittest.main()

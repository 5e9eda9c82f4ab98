"""Who may write: a stopped holder that wakes up after a take-over, two that start at once, clocks that jump, standby."""
import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
import unittest

from harness import ROOT, RpcError, StartFailed, make_module, register
from mongo_stage import FAULTS, KINDS, SEED, MongoStage, fsck, problems, rng, scale, table, wait_serving

LANES = 5
# where a stopped holder is in the middle of a commit; SIGSTOP at random moments finds the rest
STOPS = ('mongo.commit.start', 'mongo.commit.lease', 'mongo.commit.insert', 'mongo.commit.update', 'mongo.commit.commit',
         'mongo.commit.committed', 'mongo.log.insert', 'mongo.log.point', 'mongo.log.pointed', 'mongo.apply.read',
         'mongo.apply.put', 'mongo.apply.update', 'mongo.apply.clear', 'mongo.apply.delete_log')


def spec(types):
    return 'module Fence {\n' + ''.join(f'typedef structure {{ int a; }} {t};\n' for t in types) + '};\n'


def parallel(lanes, numbers, work):
    """work(lane, number) for all; the first exceptions are raised."""
    todo, failed = queue.Queue(), []
    for n in numbers:
        todo.put(n)

    def run(lane):
        with contextlib.suppress(queue.Empty):
            while True:
                n = todo.get_nowait()
                try:
                    work(lane, n)
                except Exception as e:
                    failed.append(f'no. {n}: {type(e).__name__} {str(e)[-1500:]}')

    threads = [threading.Thread(target=run, args=(lane,)) for lane in lanes]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise AssertionError(f'{len(failed)} failed, WSTYPED_SEED={SEED}:\n' + '\n'.join(failed[:5]))


class Writer(threading.Thread):
    """One registration in the background: answer, error, or neither."""

    def __init__(self, service, text, types):
        super().__init__(daemon=True)
        self.service, self.text, self.types, self.answer, self.error = service, text, types, None, None
        self.start()

    def run(self):
        try:
            with self.service.client(timeout=60) as c:
                self.answer = register(c, self.text, self.types)
        except RpcError as e:
            self.error = e.message
        except Exception as e:
            self.error = f'no answer: {e!r}'


class Stopped:
    """One take-over from a stopped holder, on a database of its own."""

    def __init__(self, stage):
        self.stage, self.db, self.types = stage, stage.new_database(lease=1), ['Base']
        with contextlib.closing(stage.service(self.db).start()) as tws, tws.client() as c:
            make_module(c, 'Fence')
            register(c, spec(self.types), ['Base'])
            tws.stop()
        self.damaged = self.lost = self.cases = self.acknowledged = self.late = 0
        self.texts = set()

    def stop_somewhere(self, old, random, armed):
        """Until it stands still."""
        if not armed:
            time.sleep(random.uniform(0, 0.02))
            old.signal(signal.SIGSTOP)
            return
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with open(f'/proc/{old.process.pid}/stat', encoding='ascii') as f:
                if f.read().rsplit(')', 1)[1].split()[0] == 'T':
                    return
            time.sleep(0.01)
        old.signal(signal.SIGSTOP)                         # that deployment does not come by there

    def go(self, number):
        random = rng('stop', self.db.server.replica_set, number)
        point = random.choice([None, *STOPS]) if number % 3 else None
        env = {'WSTYPED_FAULT': f'{point}:1:stop'} if point else {}
        old = self.stage.service(self.db, binary=FAULTS, env=env)
        new = self.stage.service(self.db, standby='true')
        with contextlib.closing(old), contextlib.closing(new):
            try:
                old.start()
                new.launch()
                self.cases += 1
                self.play(old, new, random, point, number)
            except Exception:
                with contextlib.suppress(OSError):
                    old.signal(signal.SIGCONT)
                raise
            new.stop()

    def play(self, old, new, random, point, number):
        mine, theirs = f'Old{number}', f'New{number}'
        writer = Writer(old, spec([*self.types, mine]), [mine])
        self.stop_somewhere(old, random, point)
        wait_serving(new)
        with new.client() as c:
            first = set(self.listed(c))
            here = [t for t in self.types if f'Fence.{t}' in first] + ([mine] if f'Fence.{mine}' in first else [])
            got = register(c, spec([*here, theirs]), [theirs])
            old.signal(signal.SIGCONT)
            writer.join(60)
            status = old.wait(20)                          # fenced: it ends by itself
            shown = set(self.listed(c))
        self.types = [*here, theirs]
        if writer.answer:
            self.acknowledged += 1
            self.lost += mine not in here
        elif writer.error:
            self.texts.add(writer.error.split(':')[0][:60])
        wrong = problems(self.db.docs())
        late = shown != first | {f'Fence.{theirs}'}
        self.late += late
        self.damaged += bool(wrong)
        assert not wrong and not late, (number, point, wrong, sorted(shown ^ first), writer.answer, writer.error)
        assert not (writer.answer and mine not in here), (number, point, 'an acknowledged change is lost')
        assert got and status not in (0, None), (number, point, status, old.log()[-800:])

    @staticmethod
    def listed(c):
        return [f'Fence.{t.split("-")[0].split(".")[1]}' for t in c.call('get_all_type_info', 'Fence', token='t-ann')
                for t in [t['type_def']]]


class Fencing:
    def setUp(self):
        if not os.access(FAULTS, os.X_OK):
            self.fail(f'{FAULTS} is missing: make MODE=faults')
        self.stage = MongoStage(self.kind)
        self.addCleanup(self.stage.close)

    def test_stopped_holder_wakes_up_too_late(self):
        count = scale(10, 100)
        lanes = [Stopped(self.stage) for _ in range(LANES)]
        try:
            parallel(lanes, range(count), lambda lane, n: lane.go(n))
        finally:
            sums = {k: sum(getattr(x, k) for x in lanes) for k in ('cases', 'damaged', 'lost', 'acknowledged', 'late')}
            table(f'SIGSTOP past the lease: {self.kind}', [(
                f"{sums['acknowledged']} acknowledged, {sums['late']} visible late", sums['cases'], sums['damaged'], sums['lost'])])
            print('   errors told: ' + '; '.join(sorted(set().union(*(x.texts for x in lanes)))))
        for lane in lanes:
            with contextlib.closing(self.stage.service(lane.db)) as service:
                service.start()                            # deletes what woken holders have logged, but not committed
                self.assertEqual(service.stop(), 0)
                self.assertEqual(lane.db.leftovers(), [])
                status, text = fsck(service)
                self.assertEqual(status, 0, text)

    def test_two_start_at_the_same_instant(self):
        serving = []

        def once(db, number):
            two = [self.stage.service(db) for _ in range(2)]
            with contextlib.ExitStack() as stack:
                for s in two:
                    stack.callback(s.close)
                    s.launch()
                ready = [s for s in two if self.ready(s)]
                serving.append(len(ready))
                assert len(ready) == 1, [s.log()[-800:] for s in two]
                other = next(s for s in two if s is not ready[0])
                assert other.process.returncode not in (0, None), other.process.returncode
                for text in (db.name, str(ready[0].process.pid)):
                    assert text in other.log(), other.log()[-800:]
                with ready[0].client() as c:
                    c.call('request_module_ownership', f'Both{number}', token=f't-u{number}')
                assert ready[0].stop() == 0

        parallel([self.stage.new_database(lease=5) for _ in range(3)], range(scale(20, 200)), once)
        print(f'   {self.kind}: two started at once {len(serving)} times, {serving.count(1)} times one served, '
              f'{serving.count(2)} times both')

    @staticmethod
    def ready(service):
        try:
            service.wait_ready(30)
        except StartFailed:
            return False
        return True

    def test_refused_with_holder_host_and_age(self):
        tws = self.stage.tws()
        second = self.stage.service().launch()
        with self.assertRaises(StartFailed):
            second.wait_ready()
        for text in (str(tws.process.pid), os.uname().nodename, 'ms ago', 'mongodb-type-database'):
            self.assertIn(text, second.log())

    def test_standby_takes_over_at_once_after_a_clean_end(self):
        tws = self.stage.tws()
        with tws.client() as c:
            make_module(c, 'Fence')
            register(c, spec(['T']), ['T'])
        other = self.stage.service(standby='true').launch()
        time.sleep(1)
        with self.assertRaises(StartFailed):
            wait_serving(other, 0.5)
        self.assertIsNone(other.process.poll())
        self.assertEqual(tws.stop(), 0)
        start = time.monotonic()
        wait_serving(other, 10)
        self.assertLess(time.monotonic() - start, 5)       # the lease of 15 s would last longer
        with other.client() as c:
            self.assertEqual(list(c.call('get_all_type_info', 'Fence', token='t-ann')[0]['module_vers']),
                             c.call('list_module_versions', {'mod': 'Fence'}, token='t-ann')['vers'])

    def test_takes_over_from_a_killed_holder_within_its_lease(self):
        db = self.stage.new_database(lease=2)
        tws = self.stage.service(db).start()
        other = self.stage.service(db, standby='true').launch()
        time.sleep(0.5)
        tws.kill()
        start = time.monotonic()
        wait_serving(other, 20)
        self.assertLess(time.monotonic() - start, 6)

    def test_wall_clock_steps_do_not_matter(self):
        """The clock of the process jumps by hours and back, for longer than a lease; nobody else's does."""
        subprocess.run([os.path.join(ROOT, 'test', 'tools', 'deps'), 'libfaketime'], check=True)
        library = f'/usr/lib/{os.uname().machine}-linux-gnu/faketime/libfaketimeMT.so.1'
        offset = os.path.join(self.stage.dir, 'offset')

        def step(text):
            with open(offset + '.new', 'w', encoding='ascii') as f:
                f.write(text + '\n')
            os.rename(offset + '.new', offset)

        step('+0')
        db = self.stage.new_database(lease=1)
        tws = self.stage.service(db, env={
            'LD_PRELOAD': library, 'FAKETIME_TIMESTAMP_FILE': offset, 'FAKETIME_NO_CACHE': '1', 'DONT_FAKE_MONOTONIC': '1',
            'FAKETIME_DONT_FAKE_MONOTONIC': '1', 'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'}).start()
        rival = self.stage.service(db, standby='true').launch()
        with tws.client() as c:
            make_module(c, 'Fence')
            types = []
            for i, jump in enumerate(('+0', '+3600', '-7200', '+86400', '-86400', '-1', '+5', '-31536000', '+0') * scale(1, 3)):
                step(jump)
                types.append(f'T{i}')
                register(c, spec(types), types[-1:])
                time.sleep(scale(0.4, 1.2))
                self.assertTrue(tws.status()['store']['lease_held'], tws.log()[-800:])
            versions = c.call('list_module_versions', {'mod': 'Fence'}, token='t-ann')['vers']
            self.assertEqual(len(versions), len(types))
            self.assertEqual(versions, sorted(set(versions)))
        self.assertIsNone(tws.process.poll())
        with self.assertRaises(StartFailed):
            wait_serving(rival, 0.1)
        docs = db.docs()
        self.assertEqual(problems(docs), [])
        in_order = sorted(docs['module_info_history'], key=lambda d: d['versionTime'])
        self.assertEqual([len(d['types']) for d in in_order], list(range(len(types) + 1)), 'versions do not grow with time')
        self.assertEqual(tws.stop(), 0)


for _kind in KINDS:
    _name = 'Fencing' + _kind.title()
    globals()[_name] = type(_name, (Fencing, unittest.TestCase), {'kind': _kind, '__module__': __name__})

if __name__ == '__main__':
    unittest.main()

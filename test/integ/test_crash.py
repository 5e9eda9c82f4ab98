"""The TWS is killed at each store call of each transition: the state is that before or after, never between.

The same matrix on the embedded database, on a replica set and on a stand-alone server.  On MongoDB `make test` takes some of
the calls of each transition, `make chaos` all of them.
"""
import collections
import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
import unittest

from harness import Client, RpcError, Service, Stage, make_module, register
from mongo_stage import (CHAOS, FAULTS, KINDS, SEED, Closing, MongoDatabase, SqliteDatabase, fsck, normal, problems, rng, shared,
                         table, wait_serving)

LANES, SAMPLE, LEASE = 8, 2, 1
ONE = 'module Crash {\ntypedef structure { int a; } T;\ntypedef structure { T t; } U;\nfuncdef f(T t) returns (U u);\n};\n'
TWO = ONE.replace('int a;', 'int a; string b;')
OTHER = '#include <Crash.types>\nmodule Other {\ntypedef structure { Crash.T t; } V;\n};\n'


def prepare(c):
    make_module(c, 'Crash')
    register(c, ONE, ['T', 'U'])


def released(c):
    prepare(c)
    c.call('release_module', 'Crash', token='t-ann')
    make_module(c, 'Other')


def changed(c):
    released(c)
    register(c, TWO, [])


def asked(c):
    c.call('request_module_ownership', 'Asked', token='t-bob')


def owned(c):
    prepare(c)
    c.call('grant_module_ownership', {'mod': 'Crash', 'new_owner': 'bob'}, token='t-ann')


# name, what goes before, the transition
TRANSITIONS = (
    ('request', lambda c: None, lambda c: c.call('request_module_ownership', 'Asked', token='t-bob')),
    ('approve', asked, lambda c: c.admin('approveModRequest', module='Asked', token='t-root')),
    ('deny', asked, lambda c: c.admin('denyModRequest', module='Asked', token='t-root')),
    ('register-first', lambda c: make_module(c, 'Crash'), lambda c: register(c, ONE, ['T', 'U'])),
    ('release-first', prepare, lambda c: c.call('release_module', 'Crash', token='t-ann')),
    ('register-change', released, lambda c: register(c, TWO, [])),
    ('release-flag-only', changed, lambda c: c.call('release_module', 'Crash', token='t-ann')),
    ('register-with-include', released, lambda c: register(c, OTHER, ['V'])),
    ('remove-type', released, lambda c: register(c, ONE, [], remove_types=['U'])),
    ('refresh', released, lambda c: c.call('register_typespec', {'mod': 'Crash', 'remove_types': ['U'], 'dryrun': 0}, token='t-ann')),
    ('grant', prepare, lambda c: c.call('grant_module_ownership', {'mod': 'Crash', 'new_owner': 'bob', 'with_grant_option': 1},
                                        token='t-ann')),
    ('change-grant', owned, lambda c: c.call('grant_module_ownership', {'mod': 'Crash', 'new_owner': 'bob', 'with_grant_option': 1},
                                             token='t-ann')),
    ('remove-owner', owned, lambda c: c.call('remove_module_ownership', {'mod': 'Crash', 'old_owner': 'bob'}, token='t-ann')),
)


class Patient(Client):
    """On a machine so busy that a lease of a second runs out it asks again; nothing was done then."""

    def call(self, method, *params, token=None):
        for _ in range(50):
            try:
                return super().call(method, *params, token=token)
            except RpcError as e:
                if 'renewed in time' not in e.message:
                    raise
            time.sleep(0.1)
        raise AssertionError('the lease does not come back')


def attempt(c, method, *params, token='t-ann'):
    try:
        return c.call(method, *params, token=token)
    except RpcError as e:
        return e.message


def everything(c):
    """All that can be seen of the database, without the numbers that differ from run to run."""
    out = [c.admin('listModRequests', token='t-root'), c.call('list_modules', {}),
           c.call('list_all_types', {'with_empty_modules': 1})]
    for module in ('Asked', 'Crash', 'Other'):
        for token in ('t-ann', 't-bob'):
            info = attempt(c, 'get_module_info', {'mod': module}, token=token)
            versions = attempt(c, 'list_module_versions', {'mod': module}, token=token)
            if isinstance(info, dict):
                info = {**info, 'ver': 0, 'included_spec_version': sorted(info['included_spec_version'])}
            out.append((module, token, info, len(versions['vers']) if isinstance(versions, dict) else versions))
            for name in ('T', 'U', 'V') if module != 'Asked' else ():
                for version in ('', '-0.1', '-0.2', '-1.0', '-1', '-1.1', '-2.0') if token == 't-ann' else ('', '-0.1'):
                    about = attempt(c, 'get_type_info', f'{module}.{name}{version}', token=token)
                    if isinstance(about, dict):
                        about = {**about, 'module_vers': len(about['module_vers']),
                                 'released_module_vers': len(about['released_module_vers'])}
                    out.append(about)
            about = attempt(c, 'get_func_info', f'{module}.f', token=token)
            if isinstance(about, dict):
                about = {**about, 'module_vers': len(about['module_vers']), 'released_module_vers': 0}
            out.append(about)
            # changes nothing, but tells whether the user may
            out.append(attempt(c, 'remove_module_ownership', {'mod': module, 'old_owner': 'nobody'}, token=token))
    return out




def hits(path):
    """Points hit, with their numbers; renewals of the lease come when they come."""
    counts, out = collections.Counter(), []
    with open(path, encoding='utf-8') as f:
        for point in f.read().split():
            counts[point] += 1
            if 'lease_renew' not in point:
                out.append((point, counts[point]))
    return out


class Lane:
    """A database that is set back to a prepared state for each case."""

    def __init__(self, stage, database):
        self.stage, self.database = stage, database
        stage.keep(Closing(database.drop))

    def serve(self, settings=None, **env):
        return Service({**self.stage.common(), **(settings or self.database.settings)}, env=env, binary=FAULTS)

    def run(self, service, act):
        """acts on a running service that ends afterwards, by itself or by SIGKILL; True: acknowledged."""
        try:
            wait_serving(service.launch())
            with Patient(service.url) as c:
                act(c)
            return True
        except Exception:                                  # the connection, or the start, ends with the process
            return False
        finally:
            self.ended = self.wait_end(service)
            service.kill()

    @staticmethod
    def wait_end(service):
        """The status if it ended by itself, else None."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return service.process.wait(0.3)
        return None

    def state(self, service):
        with Patient(service.url) as c:
            return everything(c)


Prepared = collections.namedtuple('Prepared', 'base before after transition calls')


class Case:
    """One kill: what came out of it."""

    def __init__(self, name, prepared, points):
        self.name, self.prepared, self.points, self.wrong, self.lost, self.after = name, prepared, points, [], False, False

    def __str__(self):
        return f'{self.name}, killed at {" then ".join(f"{p} no. {n}" for p, n in self.points)}: {"; ".join(self.wrong)}'


class Matrix:
    def __init__(self, stage, lanes):
        self.stage, self.lanes = stage, lanes

    def prepare(self, lane, name, before, transition):
        """Both states, and the calls in between."""
        log = os.path.join(self.stage.dir, name + '.hits')
        lane.database.restore({})
        service = lane.serve().start()
        with contextlib.closing(service), Patient(service.url) as c:
            before(c)
            seen_before = everything(c)
            assert service.stop() == 0, service.log()[-2000:]
        base, docs_before = lane.database.snapshot(), normal(lane.database.docs())
        service = lane.serve(WSTYPED_FAULT_LOG=log).start()
        with contextlib.closing(service), Patient(service.url) as c:
            first = len(hits(log))
            transition(c)
            calls = hits(log)[first:]
            seen_after = everything(c)
            service.stop()
        docs = lane.database.docs()
        assert calls and seen_before != seen_after and not problems(docs), (calls, problems(docs))
        return Prepared(base, (seen_before, docs_before), (seen_after, normal(docs)), transition, calls)

    def one(self, lane, case):
        """Kills at the first point in the transition, at the others one after the other in what follows."""
        try:
            self.kill_and_check(lane, case)
        except Exception as e:                             # a case that cannot be judged is a failed one
            case.wrong.append(f'{type(e).__name__} {str(e)[-1500:]}')

    def kill_and_check(self, lane, case):
        base, before, after, transition, _ = case.prepared
        lane.database.restore(base)
        acknowledged = False
        for i, (point, n) in enumerate(case.points):
            service = lane.serve(lane.database.standby() if i else None, WSTYPED_FAULT=f'{point}:{n}:kill')
            with contextlib.closing(service):
                if lane.run(service, transition if i == 0 else lambda c: None):
                    acknowledged = acknowledged or i == 0
                reached = lane.ended == -signal.SIGKILL
                self.expect(case, i or reached, f'the call was not made, status {lane.ended}')
        self.check(lane, case, acknowledged, before, after, transition)

    def check(self, lane, case, acknowledged, before, after, transition):
        service = lane.serve(lane.database.standby())
        with contextlib.closing(service):
            wait_serving(service.launch())
            state = lane.state(service), normal(lane.database.docs())
            case.after = state == after
            case.lost = acknowledged and not case.after
            self.expect(case, state in (before, after), f'between the states: {difference(state, before)} from before, '
                                                        f'{difference(state, after)} from after')
            self.whole(lane, case)
            if state == before:
                with Patient(service.url) as c:
                    transition(c)
                self.expect(case, lane.state(service) == after[0], 'the retry leads to another state')
                self.whole(lane, case)
                self.expect(case, normal(lane.database.docs()) == after[1], 'the retry leaves other documents')
            self.expect(case, service.stop() == 0, f'bad end: {service.log()[-500:]}')
            status, text = fsck(service)
            self.expect(case, status == 0, f'fsck: {status} {text[-500:]}')
        self.expect(case, not case.lost, 'an acknowledged change is lost')

    def whole(self, lane, case):
        wrong = problems(lane.database.docs()) + lane.database.leftovers()
        self.expect(case, not wrong, f'damage: {wrong[:3]}')

    @staticmethod
    def expect(case, good, text):
        if not good:
            case.wrong.append(text)

    def each(self, items, work):
        """work(lane, item) for all, several at a time, each lane with a database of its own."""
        todo, failed = queue.Queue(), []
        for item in items:
            todo.put(item)

        def go(lane):
            with contextlib.suppress(queue.Empty):
                while not failed:
                    item = todo.get_nowait()
                    try:
                        work(lane, item)
                    except Exception as e:
                        failed.append(e)

        threads = [threading.Thread(target=go, args=(lane,)) for lane in self.lanes]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if failed:
            raise failed[0]


def difference(one, other):
    """Of two states: what is answered otherwise, and what is stored otherwise."""
    out = [pair for pair in zip(one[0], other[0]) if pair[0] != pair[1]][:2]
    return out + [set(one[1][c]) ^ set(other[1][c]) for c in one[1] if one[1][c] != other[1][c]][:2]


def chosen(calls, name, all_of_them):
    """In a short run: the last call, and some before, other ones in each run."""
    if all_of_them or len(calls) <= SAMPLE:
        return calls
    return [*rng(name).sample(calls[:-1], SAMPLE - 1), calls[-1]]


class Killed(unittest.TestCase):
    """The embedded database."""

    def setUp(self):
        if not os.access(FAULTS, os.X_OK):
            self.fail(f'{FAULTS} is missing: make MODE=faults')
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        self.matrix = Matrix(self.stage, self.lanes())

    def lanes(self):
        return [Lane(self.stage, SqliteDatabase(self.stage.dir, f'{i}.sqlite')) for i in range(4)]

    def go(self, all_of_them):
        prepared, cases = {}, []

        def prepare(lane, transition):
            prepared[transition[0]] = self.matrix.prepare(lane, *transition)

        self.matrix.each(TRANSITIONS, prepare)
        for name, *_ in TRANSITIONS:
            p = prepared[name]
            cases += [Case(name, p, [call]) for call in chosen(p.calls, (self.title, name), all_of_them)]
        self.matrix.each(cases, self.matrix.one)
        lines, wrong = [], [str(c) for c in cases if c.wrong]
        for name, *_ in TRANSITIONS:
            own = [c for c in cases if c.name == name]
            lines.append((f'{name} ({len(prepared[name].calls)} calls)', len(own), sum(bool(c.wrong) for c in own),
                          sum(c.lost for c in own)))
            if all_of_them and all(c.after for c in own):
                wrong.append(f'{name}: no kill came before the commit')
        table(f'SIGKILL at store calls: {self.title}', lines)
        self.assertEqual(wrong, [], f'WSTYPED_SEED={SEED}')

    title = 'SQLite'

    def test_matrix(self):
        self.go(True)


class OnMongo:
    """The matrix on a server, kills in a start that recovers, and kills in the very first start."""

    def lanes(self):
        server = shared(self.kind)
        return [Lane(self.stage, MongoDatabase(server, LEASE)) for _ in range(LANES)]

    @property
    def title(self):
        return f'MongoDB {self.kind}'

    def test_matrix(self):
        self.go(CHAOS)

    def test_killed_again_while_recovering(self):
        name, before, transition = next(t for t in TRANSITIONS if t[0] == 'register-with-include')
        lane = self.matrix.lanes[0]
        prepared, log = self.matrix.prepare(lane, name, before, transition), os.path.join(self.stage.dir, 'again.hits')
        cases = []
        late = [c for c in prepared.calls if c[0].startswith(('mongo.commit.commit', 'mongo.apply', 'mongo.log.point'))]
        for call in late[::2] if CHAOS else late[:2]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(log)
            lane.database.restore(prepared.base)
            for settings, env, act in ((None, {'WSTYPED_FAULT': f'{call[0]}:{call[1]}:kill'}, transition),
                                       (lane.database.standby(), {'WSTYPED_FAULT_LOG': log}, lambda c: None)):
                service = lane.serve(settings, **env)
                lane.run(service, act)
                service.close()
            again = [c for c in hits(log) if 'lease_take' in c[0] or 'apply' in c[0] or 'recover' in c[0]]
            cases += [Case(name, prepared, [call, c]) for c in chosen(list(dict.fromkeys(again)), ('again', call), False)]
        self.matrix.each(cases, self.matrix.one)
        table(f'SIGKILL while recovering from SIGKILL: {self.title}',
              [(name, len(cases), sum(bool(c.wrong) for c in cases), sum(c.lost for c in cases))])
        self.assertEqual([str(c) for c in cases if c.wrong], [], f'WSTYPED_SEED={SEED}')

    def test_first_start(self):
        """Killed while the database is made, the next start goes on."""
        lane, log = self.matrix.lanes[0], os.path.join(self.stage.dir, 'start.hits')
        probe = Lane(self.stage, MongoDatabase(shared(self.kind)))
        service = probe.serve(WSTYPED_FAULT_LOG=log).start()
        service.close()
        for point, n in chosen(hits(log), 'start', CHAOS):
            with self.subTest(point=point, n=n):
                lane.database.drop()
                service = lane.serve(WSTYPED_FAULT=f'{point}:{n}:kill')
                self.assertFalse(lane.run(service, lambda c: None))
                service.close()
                service = lane.serve(lane.database.standby())
                with contextlib.closing(service), Patient(wait_serving(service.launch()).url) as c:
                    make_module(c, 'Crash')
                    self.assertEqual(list(register(c, ONE, ['T', 'U'])), ['Crash.T-0.1', 'Crash.U-0.1'])


for _kind in KINDS:
    _name = 'Killed' + _kind.title()
    globals()[_name] = type(_name, (OnMongo, Killed), {'kind': _kind, '__module__': __name__})

if __name__ == '__main__':
    unittest.main()

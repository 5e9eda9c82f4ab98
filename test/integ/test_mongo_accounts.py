"""A server that wants passwords: what account is enough, which may only read, what is told and what is not."""
import os
import time
import unittest

from harness import StartFailed, make_module, register
from mongo_stage import FAULTS, Mongo, MongoStage, deployment, wait_serving

SPEC = 'module Acc {\ntypedef structure { int a; } T;\n};\n'
SECRET = 'pass-word%@:/1'


class Accounts(unittest.TestCase):
    def setUp(self):
        self.server = deployment('replica')
        self.addCleanup(self.server.close)
        key = os.path.join(self.server.folder, 'key')
        with open(key, 'w', encoding='ascii') as f:
            f.write('k' * 64)
        os.chmod(key, 0o600)
        self.server.members[0].more = ['--keyFile', key]
        self.server.start()
        self.stage = MongoStage(server=self.server, lease=2)
        self.addCleanup(self.stage.close)
        self.name = self.stage.db.name
        with Mongo(self.server.address) as m:
            m.command('admin', {'createUser': 'root', 'pwd': 'root', 'roles': ['root']})
        with Mongo(self.server.address) as m:
            m.authenticate('root', 'root')
            for user, role in (('writer', 'readWrite'), ('reader', 'read')):
                m.command(self.name, {'createUser': user, 'pwd': SECRET, 'roles': [{'role': role, 'db': self.name}]})

    def service(self, user, password=SECRET, **more):
        return self.stage.service(mongodb_user=user, mongodb_pwd=password, **more)

    def fill(self):
        tws = self.service('writer').start()
        with tws.client() as c:
            make_module(c, 'Acc')
            register(c, SPEC, ['T'])
            c.call('release_module', 'Acc', token='t-ann')
        self.assertEqual(tws.stop(), 0)

    def test_read_and_write_on_the_one_database_is_enough(self):
        self.fill()
        old = self.stage.service(binary=FAULTS, env={'WSTYPED_FAULT': 'mongo.commit.commit:1:stop'}, mongodb_user='writer',
                                 mongodb_pwd=SECRET).start()
        new = self.service('writer', standby='true').launch()
        with old.client(timeout=5) as c, self.assertRaises(OSError):
            c.call('request_module_ownership', 'Lost', token='t-ann')
        start = time.monotonic()
        wait_serving(new, 20)                              # ends the stopped one's transaction without further rights
        self.assertLess(time.monotonic() - start, 10)
        with new.client() as c:
            self.assertEqual(c.admin('listModRequests', token='t-root'), [])
            c.call('request_module_ownership', 'Next', token='t-ann')

    def test_who_may_only_read_serves_reads(self):
        self.fill()
        tws = self.service('reader').start()
        status = tws.status()['read_only']
        self.assertEqual((status['configured'], status['effective']), (False, True))
        self.assertIn('not authorized', status['reason'])
        with tws.client() as c:
            self.assertEqual(c.call('list_all_types', {}), {'Acc': {'T': '1.0'}})
            self.assertEqual(c.call('TypeService.describe')['read_only'], 1)
            self.assertNotIn('unknown', c.fails('request_module_ownership', 'New', token='t-ann').message)
        self.assertEqual(tws.stop(), 0)

    def test_wrong_password_is_told_without_it(self):
        tws = self.service('writer', 'wrong-secret', mongodb_start_timeout=1).launch()
        with self.assertRaises(StartFailed):
            tws.wait_ready()
        self.assertIn('Authentication failed', tws.log())
        self.assertNotIn('wrong-secret', tws.log())


if __name__ == '__main__':
    unittest.main()

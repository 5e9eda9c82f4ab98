"""A MongoDB client of a hundred lines for the tests: OP_MSG and just enough BSON, field order and integer widths kept.

int32 is `Int32(n)`, every other int is int64; a document is a dict in order; ObjectId is `ObjectId(bytes)`; a date is
`Date(ms)`.  The drivers' own conveniences would hide what these tests look at.
"""
import base64
import hashlib
import hmac
import itertools
import os
import socket
import struct


class Int32(int):
    pass


class Date(int):
    pass


class Timestamp(int):
    pass


class ObjectId(bytes):
    pass


class MongoError(Exception):
    def __init__(self, reply):
        errors = reply.get('writeErrors') or [reply]
        super().__init__(f"{errors[0].get('errmsg')} (code {errors[0].get('code')})")
        self.code = errors[0].get('code')


def cstring(text):
    return text.encode() + b'\0'


def encode_value(name, v):
    head = cstring(name)
    if v is None:
        return b'\x0a' + head
    if isinstance(v, bool):
        return b'\x08' + head + bytes([v])
    if isinstance(v, Int32):
        return b'\x10' + head + struct.pack('<i', v)
    if isinstance(v, Date):
        return b'\x09' + head + struct.pack('<q', v)
    if isinstance(v, Timestamp):
        return b'\x11' + head + struct.pack('<q', v)
    if isinstance(v, int):
        return b'\x12' + head + struct.pack('<q', v)
    if isinstance(v, float):
        return b'\x01' + head + struct.pack('<d', v)
    if isinstance(v, ObjectId):
        return b'\x07' + head + v
    if isinstance(v, bytes):
        return b'\x05' + head + struct.pack('<ib', len(v), 0) + v
    if isinstance(v, str):
        data = v.encode()
        return b'\x02' + head + struct.pack('<i', len(data) + 1) + data + b'\0'
    if isinstance(v, dict):
        return b'\x03' + head + encode(v)
    if isinstance(v, (list, tuple)):
        return b'\x04' + head + encode({str(i): x for i, x in enumerate(v)})
    raise TypeError(f'no BSON for {type(v)}')


def encode(document):
    body = b''.join(encode_value(k, v) for k, v in document.items())
    return struct.pack('<i', len(body) + 5) + body + b'\0'


def decode_value(kind, data, at):
    if kind == 0x01:
        return struct.unpack_from('<d', data, at)[0], at + 8
    if kind == 0x02:
        n = struct.unpack_from('<i', data, at)[0]
        return data[at + 4:at + 3 + n].decode('utf-8', 'surrogatepass'), at + 4 + n
    if kind in (0x03, 0x04):
        n = struct.unpack_from('<i', data, at)[0]
        doc = decode(data[at:at + n])
        return (doc if kind == 0x03 else list(doc.values())), at + n
    if kind == 0x05:
        n = struct.unpack_from('<i', data, at)[0]
        return data[at + 5:at + 5 + n], at + 5 + n
    if kind == 0x07:
        return ObjectId(data[at:at + 12]), at + 12
    if kind == 0x08:
        return bool(data[at]), at + 1
    if kind == 0x09:
        return Date(struct.unpack_from('<q', data, at)[0]), at + 8
    if kind == 0x0a:
        return None, at
    if kind == 0x10:
        return Int32(struct.unpack_from('<i', data, at)[0]), at + 4
    if kind == 0x11:
        return Timestamp(struct.unpack_from('<q', data, at)[0]), at + 8
    if kind == 0x12:
        return struct.unpack_from('<q', data, at)[0], at + 8
    raise ValueError(f'BSON type {kind:#x}')


def decode(data):
    out, at = {}, 4
    while data[at]:
        kind, end = data[at], data.index(b'\0', at + 1)
        name = data[at + 1:end].decode()
        out[name], at = decode_value(kind, data, end + 1)
    return out


class Mongo:
    """One connection to one server."""

    def __init__(self, address, timeout=10):
        host, port = address.rsplit(':', 1)
        self.sock, self.numbers = socket.create_connection((host, int(port)), timeout), itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def read(self, n):
        data = b''
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise OSError('the server closed the connection')
            data += more
        return data

    def command(self, database, command, check=True):
        body = struct.pack('<i', 0) + b'\0' + encode({**command, '$db': database})
        self.sock.sendall(struct.pack('<iiii', 16 + len(body), next(self.numbers), 0, 2013) + body)
        length = struct.unpack('<i', self.read(4))[0]
        reply = decode(self.read(length - 4)[12 + 5:])
        if check and (not reply.get('ok') or reply.get('writeErrors')):
            raise MongoError(reply)
        return reply

    def authenticate(self, user, password, database='admin'):
        """SCRAM-SHA-256; the server's own proof is not looked at."""
        bare = f'n={user},r={base64.b64encode(os.urandom(18)).decode()}'
        reply = self.command(database, {'saslStart': Int32(1), 'mechanism': 'SCRAM-SHA-256', 'payload': b'n,,' + bare.encode()})
        first = reply['payload'].decode()
        asked = dict(x.split('=', 1) for x in first.split(','))
        salted = hashlib.pbkdf2_hmac('sha256', password.encode(), base64.b64decode(asked['s']), int(asked['i']))
        final = f"c=biws,r={asked['r']}"
        key = hmac.digest(salted, b'Client Key', 'sha256')
        signed = hmac.digest(hashlib.sha256(key).digest(), f'{bare},{first},{final}'.encode(), 'sha256')
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signed))).decode()
        reply = self.command(database, {'saslContinue': Int32(1), 'conversationId': reply['conversationId'],
                                        'payload': f'{final},p={proof}'.encode()})
        while not reply['done']:
            reply = self.command(database, {'saslContinue': Int32(1), 'conversationId': reply['conversationId'], 'payload': b''})
        return self

    def insert(self, database, collection, *documents):
        return self.command(database, {'insert': collection, 'documents': list(documents)})

    def find(self, database, collection, query=None, sort=None):
        command = {'find': collection, 'filter': query or {}, 'batchSize': Int32(1000000), 'singleBatch': True}
        if sort:
            command['sort'] = sort
        return self.command(database, command)['cursor']['firstBatch']

    def update(self, database, collection, query, change):
        return self.command(database, {'update': collection, 'updates': [{'q': query, 'u': change, 'multi': True}]})

    def delete(self, database, collection, query):
        return self.command(database, {'delete': collection, 'deletes': [{'q': query, 'limit': Int32(0)}]})

    def collections(self, database):
        found = self.command(database, {'listCollections': Int32(1), 'nameOnly': True})['cursor']['firstBatch']
        return sorted(c['name'] for c in found)

    def indexes(self, database, collection):
        found = self.command(database, {'listIndexes': collection})['cursor']['firstBatch']
        return [(list(i['key']), bool(i.get('unique'))) for i in found if list(i['key']) != ['_id']]

    def drop(self, database):
        self.command(database, {'dropDatabase': Int32(1)})

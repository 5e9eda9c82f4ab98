#!/usr/bin/python3
"""Writes a type database of a given size, as it would be after years of registering and releasing.

    test/bench/generate.py VERSIONS FILE                      an embedded one
    test/bench/generate.py VERSIONS mongodb://HOST:PORT/NAME  on a MongoDB server

VERSIONS counts type versions.  A module has five types and four versions of each (0.1, 1.0, 2.0, 3.0), a function that uses
them, edges from each type to the one before and to one of the module before.  A file has to be a database that `wstyped` has
made (empty); a database on a server has to be empty or missing.  All values are made from their names: the same size gives
the same documents.
"""
import contextlib
import hashlib
import json
import os
import re
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'tools'))

from minimongo import Mongo, ObjectId                                  # noqa: E402

TYPES, T0 = 5, 1500000000000
ROUNDS = (('0.1', 'registerModule', False), ('1.0', 'releaseModule', True), ('2.0', 'registerModule', True),
          ('3.0', 'registerModule', True))
FIELDS = 8
INT = '{"!":"Bio::KBase::KIDL::KBT::Scalar","annotations":{},"scalar_type":"int"}'


def fields(version):
    return [f'field_number_{i}_since_{version.replace(".", "_")}' for i in range(FIELDS)]


def schema(name, version):
    members = ',\n'.join(f'    "{f}" : {{\n      "type" : "integer",\n      "original-type" : "kidl-int"\n    }}'
                         for f in fields(version))
    required = ', '.join(f'"{f}"' for f in fields(version))
    return (f'{{\n  "id" : "{name}",\n  "description" : "A type of the benchmark.",\n  "type" : "object",\n'
            f'  "original-type" : "kidl-structure",\n  "properties" : {{\n{members}\n  }},\n  "additionalProperties" : true,\n'
            f'  "required" : [ {required} ]\n}}')


def parse(module, name, version):
    items = ','.join('{"!":"Bio::KBase::KIDL::KBT::StructItem","item_type":' + INT + f',"name":"{f}","nullable":"0"}}'
                     for f in fields(version))
    comment = '"comment":"A type of the benchmark."'
    return ('{"!":"Bio::KBase::KIDL::KBT::Typedef","alias_type":{"!":"Bio::KBase::KIDL::KBT::Struct","annotations":{},' +
            f'{comment},"items":[{items}],"module":"{module}","name":"{name}"}},"annotations":{{"metadata":{{}},'
            f'"searchable_ws_subset":{{}},"unknown_annotations":{{}}}},{comment},"module":"{module}","name":"{name}"}}')


def spec(module, names, version):
    body = ''.join(f'/* A type of the benchmark. */\ntypedef structure {{\n' +
                   ''.join(f'    int {f};\n' for f in fields(version)) + f'}} {n};\n\n' for n in names)
    return f'module {module} {{\n\n{body}funcdef count({names[0]} what) returns (int n);\n}};\n'


def function(module, name, version):
    return ('{"!":"Bio::KBase::KIDL::KBT::Funcdef","annotations":{"unknown_annotations":{}},"async":"0","authentication":"none",'
            '"comment":"","name":"count","parameters":[{"name":"what","type":' + parse(module, name, version) +
            '}],"return_type":[{"name":"n","type":' + INT + '}]}')


def named(kind, names, version):
    return {n: {f'{kind}Name': n, f'{kind}Version': version, 'supported': True} for n in names}


def edge(module, name, version, v, ref_module, ref, ref_version=None):
    return {'depModule': module, 'depName': name, 'depVersion': version, 'depModuleVersion': v, 'refModule': ref_module,
            'refName': ref, 'refVersion': ref_version or version}


def info(module, v, version, names, method, released):
    first = version is None
    return {'moduleName': module, 'includedModuleNameToVersion': {}, 'types': named('type', names, version),
            'funcs': {} if first else named('func', ['count'], version), 'description': None if first else 'A module.',
            'md5hash': None if first else hashlib.md5(f'{module}{v}'.encode()).hexdigest(), 'versionTime': v,
            'uploadUserId': None if first else 'ann', 'uploadMethod': method, 'uploadComment': None if first else '',
            'released': released}


def module_documents(number, names, rounds):
    """(collection, document) of one module with those rounds."""
    module, start = f'Bench{number:05}', T0 + number * 1000
    last = start + len(rounds)
    released = max((start + 1 + i for i, r in enumerate(rounds) if r[2]), default=start)
    yield 'module_version', {'moduleName': module, 'versionTime': last, 'releasedVersionTime': released, 'supported': True}
    yield 'module_owner', {'ownerUserId': 'ann', 'withChangeOwnersPrivilege': True, 'moduleName': module}
    yield 'module_info_history', info(module, start, None, [], None, True)
    for i, (version, method, is_released) in enumerate(rounds):
        v = start + 1 + i
        yield 'module_info_history', info(module, v, version, names, method, is_released)
        yield 'module_spec_history', {'moduleName': module, 'document': spec(module, names, version), 'versionTime': v}
        yield 'module_func_parse', {'moduleName': module, 'funcName': 'count', 'version': version, 'moduleVersion': v,
                                    'document': function(module, names[0], version)}
        yield 'func_refs', edge(module, 'count', version, v, module, names[0])
        if method == 'releaseModule':                      # a release also points the users of 0.x at 1.0
            yield 'func_refs', edge(module, 'count', '0.1', v - 1, module, names[0], version)
        for k, name in enumerate(names):
            text = schema(name, version)
            head = {'moduleName': module, 'typeName': name, 'version': version, 'moduleVersion': v}
            yield 'module_type_schema', {**head, 'document': text, 'md5hash': hashlib.md5(text.encode()).hexdigest()}
            yield 'module_type_parse', {**head, 'document': parse(module, name, version), 'md5hash': None}
            if k:
                yield 'type_refs', edge(module, name, version, v, module, names[k - 1])
            elif number:
                yield 'type_refs', edge(module, name, version, v, f'Bench{number - 1:05}', 'Type0')


def documents(versions):
    """All of a database; the last module has what is left over."""
    number = 0
    while versions > 0:
        rounds = ROUNDS[:min(len(ROUNDS), versions)]
        names = [f'Type{i}' for i in range(min(TYPES, versions // len(rounds)))]
        yield from module_documents(number, names, rounds)
        versions -= len(names) * len(rounds)
        number += 1


def column(name):
    return re.sub('[A-Z]', lambda m: '_' + m.group().lower(), name)


def write_file(path, versions):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute('PRAGMA synchronous = OFF')
        for collection, d in documents(versions):
            values = [json.dumps(v, separators=(',', ':')) if isinstance(v, dict) else v for v in d.values()]
            db.execute(f'INSERT INTO {collection} ({", ".join(map(column, d))}) VALUES ({", ".join("?" * len(d))})', values)
        db.commit()


def write_server(address, name, versions):
    with Mongo(address, 60) as m:
        batches, n = {}, 0
        for collection, d in documents(versions):
            n += 1
            batch = batches.setdefault(collection, [])
            batch.append({'_id': ObjectId(n.to_bytes(12, 'big')), **d})
            if len(batch) == 1000:
                m.insert(name, collection, *batch)
                batch.clear()
        for collection, batch in batches.items():
            if batch:
                m.insert(name, collection, *batch)


def write(versions, target):
    found = re.fullmatch(r'mongodb://([^/]+)/(\w+)', target)
    if found:
        write_server(found[1], found[2], versions)
    else:
        write_file(target, versions)


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(int(sys.argv[1]), sys.argv[2])

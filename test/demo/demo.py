#!/usr/bin/python3
"""The main job as a story.  Every line is something that was just done with the real binary; exit status 1 if any
step does not come out as told."""
import hashlib
import os
import shutil
import sys
import tempfile
import time

from cast import Cast, spec             # which makes the folders of the next two known
from harness import StartFailed, free_port
from minimongo import Int32, Mongo

TYPES = {'Units': ['count', 'fraction', 'timestamp', 'boolean', 'Quantity', 'Place', 'Person'],
         'Sequencing': ['assembly_ref', 'File', 'Run', 'QualityReport', 'ReadSet', 'Contig', 'Assembly'],
         'Annotation': ['Feature', 'Taxonomy', 'Genome', 'Family', 'Pangenome']}


def scene(title):
    print(f'\n== {title}')


def tell(text):
    print(f'   {text}', flush=True)


def must(condition, text):
    if not condition:
        raise SystemExit(f'\nThat should not have happened: {text}')


def play(cast):
    scene('A type workspace service (TWS) starts on its embedded store, and two delegating ones (DWS) before it')
    tws = cast.tws()
    tell(f'TWS    {tws.url}  pid {tws.process.pid}, ' + ', '.join(f'{k} = {v}' for k, v in cast.store.items()))
    one, two = (cast.dws(tws.url).start() for _ in range(2))
    for name, s in (('DWS 1', one), ('DWS 2', two)):
        tell(f'{name}  {s.url}  pid {s.process.pid}, type-delegation-target = {tws.url}')

    dora, adam = one.client(cast.tokens['dora']), one.client(cast.tokens['adam'])
    scene('Dora, a developer, asks for three modules; Adam, an admin, approves. Both talk to DWS 1')
    for module in TYPES:
        dora.call('request_module_ownership', module)
    requests = adam.admin('listModRequests')
    tell('waiting: ' + ', '.join(f"{r['moduleName']} for {r['ownerUserId']}" for r in requests))
    must([r['moduleName'] for r in requests] == list(TYPES), 'the list of requests is wrong')
    for module in TYPES:
        adam.admin('approveModRequest', module=module)
    tell('approved; modules now: ' + ', '.join(dora.call('list_modules', {})))

    scene('She tries her typespec without saving it, then registers and releases each module, still through DWS 1')
    broken = spec('Units').replace('float value;', 'flaot value;')
    error = dora.fails('register_typespec', {'spec': broken, 'new_types': TYPES['Units']})
    tell(f'a typing error is found:  {error.message}')
    schemas = {}
    for module, types in TYPES.items():
        text = spec(module)
        dry = dora.call('register_typespec', {'spec': text, 'new_types': types})
        saved = dora.call('register_typespec', {'spec': text, 'new_types': types, 'dryrun': 0})
        must(dry == saved, 'the dry run told something else than the real one')
        released = dora.call('release_module', module)
        schemas.update({name.replace('-0.1', '-1.0'): schema for name, schema in saved.items()})
        info = dora.call('get_module_info', {'mod': module})
        tell(f"{module}: {len(text.encode())} bytes of typespec, includes "
             f"{', '.join(sorted(info['included_spec_version'])) or 'nothing'}; released {', '.join(released)}")
    must(len(schemas) == sum(map(len, TYPES.values())), 'a type is missing')

    scene('Anybody reads them back through DWS 2, byte for byte')
    stranger = two.client()
    for name, schema in schemas.items():
        must(stranger.call('get_jsonschema', name) == schema, f'{name} came back changed')
    biggest = max(schemas, key=lambda n: len(schemas[n]))
    md5 = hashlib.md5(schemas[biggest].encode()).hexdigest()
    by_md5 = stranger.call('translate_to_MD5_types', [biggest])[biggest]
    must(by_md5 == f'{biggest.split("-")[0]}-{md5}', 'the MD5 id is not the MD5 of the schema')
    tell(f'{len(schemas)} schemas equal; the biggest, {biggest}, has {len(schemas[biggest])} bytes and is {by_md5}')
    for method, param in (('get_type_info', 'Annotation.Genome'), ('get_module_info', {'mod': 'Annotation'})):
        answers = {s.client().raw_call(method, param).body for s in (tws, one, two)}
        must(len(answers) == 1, f'{method} differs')
        tell(f'{method}: {len(answers.pop())} bytes, the same from TWS, DWS 1 and DWS 2')

    scene('A workspace hands DWS 2 an object before it saves it: a good one, then a bad one')
    place = {'lat': 48.2, 'lon': 16.37, 'altitude': {'value': 171.0, 'unit': 'm'}, 'name': 'Vienna'}
    for data in (place, {**place, 'lat': 482, 'altitude': 'high', 'lon': None}):
        answer = stranger.call('TypeService.validate_objects',
                               {'objects': [{'type': 'Units.Place', 'name': 'place', 'data': data}], 'id_types': ['ws']})
        entry = answer['objects'][0]
        must(bool(answer['valid']) == (data is place), f'the object {data} was judged wrongly: {answer}')
        if answer['valid']:
            tell(f"valid {entry['type']}: {entry['size']} bytes in canonical form, MD5 {entry['md5']}")
        else:
            for line in answer['message'].splitlines():
                tell(line)

    scene('A misconfigured ring, two DWS that name each other as target, is cut at once')
    ports = free_port(), free_port()
    start = time.monotonic()
    ring = [cast.dws(f'http://127.0.0.1:{other}/', port=port).launch() for port, other in (ports, ports[::-1])]
    refused = None
    while not refused and time.monotonic() < start + 20:
        refused = next((s for s in ring if s.process.poll() not in (None, 0)), None)
        time.sleep(0.01)
    must(refused, 'nobody noticed the ring')
    tell(f'after {time.monotonic() - start:.2f} s: {refused.log().strip().splitlines()[-1]}')
    for s in ring:
        try:
            s.wait_ready(0.2)
        except StartFailed:
            continue
        must(False, 'a service in the ring became ready')

    scene('Everybody goes home')
    must(all(status == 0 for status in (s.stop() for s in (two, one, tws))), 'a service did not end well')
    tell('all three drained and ended with status 0')


def drop(mongo, name):
    """On the primary, whichever of the servers named it is."""
    hosts = mongo.removeprefix('mongodb://').split('/')[0].split('@')[-1]
    with Mongo(hosts.split(',')[0]) as m:
        primary = m.command('admin', {'hello': Int32(1)}).get('primary')
    with Mongo(primary or hosts.split(',')[0]) as m:
        m.drop(name)


def main():
    mongo = os.environ.get('MONGO')
    folder = tempfile.mkdtemp(prefix='wstyped-demo-')
    store = {'type-database-file': os.path.join(folder, 'types.sqlite')}
    if mongo:
        store = {'mongodb-host': mongo, 'mongodb-type-database': f'wstyped_demo_{os.getpid()}'}
    cast = Cast(folder, store)
    try:
        play(cast)
    finally:
        cast.close()
        shutil.rmtree(folder, ignore_errors=True)
        if mongo:
            drop(mongo, store['mongodb-type-database'])
    print('\nThe demo went as told.')
    return 0


if __name__ == '__main__':
    sys.exit(main())

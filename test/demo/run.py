#!/usr/bin/python3
"""Leaves a TWS and a DWS running in the foreground until Ctrl-C, with all that is needed to try them by hand."""
import os
import shutil
import signal
import sys
import tempfile

from cast import Cast, spec

CALLS = '''
Try (in another terminal):

  curl {url} -d '{{"method":"Workspace.list_all_types","params":[{{}}]}}'
  curl {url} -d '{{"method":"Workspace.get_jsonschema","params":["Units.Place"]}}'
  curl {url} -H 'Authorization: {token}' \\
       -d '{{"method":"Workspace.request_module_ownership","params":["Mine"]}}'

Probes: {url}ready  {url}status     Ctrl-C ends both.
'''


def main():
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    folder = tempfile.mkdtemp(prefix='wstyped-run-')
    cast = Cast(folder, {'type-database-file': os.path.join(folder, 'types.sqlite')})
    try:
        tws = cast.tws()
        dws = cast.dws(tws.url).start()
        dora, adam = (tws.client(cast.tokens[name]) for name in ('dora', 'adam'))
        dora.call('request_module_ownership', 'Units')
        adam.admin('approveModRequest', module='Units')
        dora.call('register_typespec', {'spec': spec('Units'), 'new_types': ['Quantity', 'Place', 'Person'], 'dryrun': 0})
        dora.call('release_module', 'Units')
        print(f'TWS  {tws.url}   log: {tws.log_path}\nDWS  {dws.url}   log: {dws.log_path}\n'
              f"user token (dora):   {cast.tokens['dora']}\nadmin token (adam):  {cast.tokens['adam']}"
              + CALLS.format(url=dws.url, token=cast.tokens['dora']), flush=True)
        dws.process.wait()
        print('the DWS ended; its log says:\n' + dws.log()[-2000:])
        return 1
    finally:
        cast.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/python3
"""Runs the project's tests and adds them up.

    test/run.py unit [BUILD]              every cmocka program under BUILD/unit
    test/run.py integ [PATTERN...]        the integration tests (test/integ/test_*.py), the real binary
    test/run.py all [BUILD] [PATTERN...]  both; UNIT_ONLY="a b" in the environment chooses unit tests by name

Programs and files run TEST_JOBS at a time (default 3): they mostly wait.  What each printed is shown when it ends.  The last
line is `N passed, N failed`; exit status 1 if anything failed.  Nothing is ever skipped silently.
"""
import glob
import os
import re
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
JOBS = int(os.environ.get('TEST_JOBS', '3'))
LIMIT_SECONDS = 1500
SHOWN = 8000


def run_all(commands, judge):
    """Runs {name: command}; judge(output, status) -> (passed, failed). Returns the sums and the names that failed."""
    def one(item):
        name, command = item
        start = time.monotonic()
        try:
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors='replace', timeout=LIMIT_SECONDS)
            out, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as e:
            out, status = f'{(e.stdout or b"").decode(errors="replace")}\nno end after {LIMIT_SECONDS} s', -1
        good, bad = judge(out, status)
        if status and not bad:
            bad = 1                                  # a crash, a leak, a sanitizer report
        print((out[-SHOWN:] if bad else '') + f'{name}: {good} passed, {bad} failed ({time.monotonic() - start:.1f} s)',
              flush=True)
        return name, good, bad

    with ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(one, commands.items()))
    return sum(r[1] for r in results), sum(r[2] for r in results), [r[0] for r in results if r[2]]


def unit(build):
    only = os.environ.get('UNIT_ONLY', '').split()
    names = sorted(os.path.basename(p)[:-2] for p in glob.glob(os.path.join(HERE, 'unit', 'test_*.c')))
    names = [n for n in names if not only or any(o in n for o in only)]
    names.sort(key=lambda n: 'mongo' not in n)       # what takes longest first
    programs = {n: [os.path.join(build, 'unit', n)] for n in names}
    missing = [n for n in names if not os.access(programs[n][0], os.X_OK)]
    for name in missing:
        print(f'{name} was not built')
        del programs[name]

    def judge(out, _):
        return len(re.findall(r'^\[       OK \]', out, re.M)), len(set(re.findall(r'^\[  FAILED  \] (\S+)$', out, re.M)))

    passed, failed, bad = run_all(programs, judge)
    return passed, failed + len(missing), bad + missing


class Result(unittest.TextTestResult):
    """A skipped test is a failed one."""

    def addSkip(self, test, reason):
        self.addFailure(test, (AssertionError, AssertionError(f'skipped: {reason}'), None))


def one_file(name):
    """The tests of one file, in this process."""
    sys.path.insert(0, os.path.join(HERE, 'integ'))
    suite = unittest.defaultTestLoader.loadTestsFromName(name)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    bad = {str(getattr(t, 'test_case', t)) for t, _ in result.failures + result.errors}
    print(f'{max(result.testsRun - len(bad), 0)} passed, {len(bad)} failed', flush=True)
    return 1 if bad or not result.testsRun else 0


def integ(patterns):
    sys.path.insert(0, os.path.join(HERE, 'integ'))
    import harness
    if not os.access(harness.BINARY, os.X_OK):
        print(f'{harness.BINARY} is missing: run make first')
        return 0, 1, ['integration tests']
    print(f'binary: {os.path.relpath(harness.BINARY, ROOT)}', flush=True)
    files = sorted(os.path.basename(p)[:-3] for p in glob.glob(os.path.join(HERE, 'integ', 'test_*.py')))
    files = [f for f in files if not patterns or any(p in f for p in patterns)]
    # those that take longest first
    files.sort(key=lambda f: not f.startswith(('test_mongo', 'test_crash', 'test_balancer')))

    def judge(out, _):
        closing = re.findall(r'^(\d+) passed, (\d+) failed$', out, re.M)
        return (int(closing[-1][0]), int(closing[-1][1])) if closing else (0, 1)

    return run_all({f: [sys.executable, os.path.abspath(__file__), 'file', f] for f in files}, judge)


def close(passed, failed, names=()):
    for name in names:
        print(f'FAILED: {name}')
    print(f'{passed} passed, {failed} failed', flush=True)
    return 1 if failed or not passed else 0


def main(argv):
    what, build = argv[:1], argv[1] if len(argv) > 1 else os.path.join(ROOT, 'build', 'release')
    if what == ['unit']:
        return close(*unit(build))
    if what == ['integ']:
        return close(*integ(argv[1:]))
    if what == ['all']:
        return close(*(a + b for a, b in zip(unit(build), integ(argv[2:]))))
    if what == ['file'] and len(argv) == 2:
        return one_file(argv[1])
    print(__doc__)
    return 2


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

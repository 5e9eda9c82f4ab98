#!/usr/bin/python3
"""What the compiler does not check: layers, headers, tables against files, words that must not be left behind.

Run by `make lint`.  Every finding is one line `file:line: text`; exit status 1 if there was any.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
CODE = ('shared', 'tws', 'dws', 'main.c')
LEFT_BEHIND = re.compile(r'\b(TODO|FIXME|XXX|HACK)\b')
LIMIT_COLUMNS, LIMIT_FUNCTION = 120, 90

findings = []


def find(path, line, text):
    findings.append(f'{path}:{line}: {text}')


def tracked(*endings):
    out = subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard'], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout.split('\n')
    return sorted({f for f in out if f.endswith(endings) and os.path.isfile(os.path.join(ROOT, f))})


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as f:
        return f.read()


def load_layers():
    folders, third_party = {}, {}
    for line in read('test/lint/layers').splitlines():
        words = line.split('#')[0].split()
        if words:
            (third_party if words[0].startswith('<') else folders)[words[0]] = words[1:]
    return folders, third_party


def layer_of(path, folders):
    folder = os.path.dirname(path) or '.'
    while folder not in folders and folder not in ('', '.'):
        folder = os.path.dirname(folder)
    return folder if folder in folders else None


def check_includes(path, folders, third_party):
    mine = layer_of(path, folders)
    for number, line in enumerate(read(path).splitlines(), 1):
        m = INCLUDE.match(line)
        if not m:
            continue
        kind, name = m.groups()
        if kind == '<':
            allowed = third_party.get(f'<{name}>')
            if allowed is not None and not any(path == a or path.startswith(a + '/') for a in allowed):
                find(path, number, f'<{name}> is only for {", ".join(allowed)}')
            continue
        if not os.path.isfile(os.path.join(ROOT, name)):
            if not name.startswith('build/') and not name.startswith('generated/'):
                find(path, number, f'"{name}": includes are written from the root')
            continue
        other = layer_of(name, folders)
        if other != mine and other not in folders[mine]:
            find(path, number, f'{mine} may not include {other} ("{name}")')


def check_header(path):
    text = read(path)
    if not text.removeprefix("/* clang-format off */\n").startswith("/*"):
        find(path, 1, 'a header begins with a comment that states its contract')
    if path.endswith('_list.h') or '_methods.h' in path or path.endswith('tokens.h'):
        return
    guard = path.upper().replace('/', '_').replace('.', '_').replace('-', '_')
    if f'#ifndef {guard}\n' not in text:
        find(path, 1, f'the include guard is not {guard}')


def check_text(path):
    for number, line in enumerate(read(path).splitlines(), 1):
        if LEFT_BEHIND.search(line) and path != 'test/lint/lint.py':
            find(path, number, 'left behind: ' + line.strip()[:60])
        if path.endswith(('.c', '.h')):
            if len(line) > LIMIT_COLUMNS and '_list.h' not in path and 'test/' not in path:
                find(path, number, f'{len(line)} columns')
            if re.search(r'(^|\s)//', line) and '"' not in line:
                find(path, number, 'comments are /* */')
        if line.rstrip('\n') != line.rstrip() and not path.endswith('.md'):
            find(path, number, 'blanks at the end of the line')


def check_functions(path):
    start = None
    lines = read(path).splitlines()
    for number, line in enumerate(lines, 1):
        if line == '{' and number > 1 and not lines[number - 2].startswith(('struct', 'enum', 'union')):
            start = number
        elif line == '}' and start:
            if number - start + 1 > LIMIT_FUNCTION:
                find(path, start, f'a function of {number - start + 1} lines')
            start = None


def compile_headers(headers):
    flags = subprocess.run(['pkg-config', '--cflags', 'libmicrohttpd', 'libcurl', 'jansson', 'sqlite3', 'libcrypto', 'libmongoc-1.0'],
                           capture_output=True, text=True, check=True).stdout.split()
    for h in headers:
        if h.endswith('_list.h') or '_methods.h' in h or h.endswith('tokens.h'):
            continue
        done = subprocess.run(['gcc', '-std=gnu17', '-D_GNU_SOURCE', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-I.',
                               *flags, '-x', 'c', '-'], input=f'#include "{h}"\n', cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            find(h, 1, 'does not compile alone: ' + done.stderr.strip().splitlines()[0])


def check_symbols(folder):
    """Two functions of one name in an archive: the linker would silently take either."""
    for archive in ('shared', 'tws', 'dws'):
        out = subprocess.run(['nm', '--defined-only', '-g', os.path.join(folder, archive + '.a')], capture_output=True,
                             text=True).stdout
        seen, member = {}, ''
        for line in out.splitlines():
            if line.endswith(':'):
                member = line[:-1]
            elif len(line.split()) == 3:
                name = line.split()[2]
                if seen.setdefault(name, member) != member:
                    find(f'{archive}.a({member})', 1, f'{name} is also defined in {seen[name]}')


def check_example(binary):
    made = subprocess.run([binary, 'config', '--example'], capture_output=True, text=True).stdout
    if made != read('deploy.cfg.example'):
        find('deploy.cfg.example', 1, 'differs from `wstyped config --example`')


def main():
    folders, third_party = load_layers()
    code = [f for f in tracked('.c', '.h') if f.startswith(CODE)]
    for path in code:
        check_includes(path, folders, third_party)
    for path in code:
        if path.endswith('.h'):
            check_header(path)
        else:
            check_functions(path)
    for path in tracked('.c', '.h', '.py', '.sh', 'Makefile', '.md'):
        check_text(path)
    compile_headers([f for f in code if f.endswith('.h')])
    if len(sys.argv) > 1:
        check_example(sys.argv[1])
        check_symbols(os.path.dirname(sys.argv[1]))
    print('\n'.join(findings) or 'lint: nothing found')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# doc_commands.py FILE [--write]: runs the commands of a document's console blocks, in order, and holds what they
# print against what the document shows.  TAP, a line a command.
#
#	```console
#	# a command
#	what it prints
#	…
#	```
#
# A line that is "…" stands for any lines, "…" inside a line for anything.  Numbers, tags and times may differ,
# words may not; so what is compared is the shape.  In a block that begins "```console exact" numbers may not differ
# either.  --write puts real output into blocks that show none yet.
import re
import subprocess
import sys


def blocks(lines):
    """[line of the command, command, first line of output, line behind it, exact] of every console block."""
    inside, exact, found = False, False, []
    for i, line in enumerate(lines):
        if line.startswith('```'):
            if inside:
                found[-1][3] = i
            exact = line == '```console exact'
            inside = exact or line == '```console'
        elif inside and line.startswith('# '):
            if found and found[-1][3] is None:
                found[-1][3] = i
            found.append([i, line[2:], i + 1, None, exact])
    return found


def run(command):
    done = subprocess.run(['bash', '-c', command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, [line.rstrip() for line in done.stdout.decode(errors='replace').splitlines()]


def shape(line, exact):
    if exact:
        return line.rstrip()
    line = re.sub(r'\b[0-9a-f]{16}\b', 'TAG', line.rstrip())
    line = re.sub(r'\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?(Z|\+\d+)', 'TIME', line)
    line = re.sub(r'\b[0-9]+h[0-9]+m|\b[0-9]+m[0-9]+s|\b[0-9]+(ms|s|B|KiB|MiB)\b', 'N', line)
    return re.sub(r'[0-9][0-9,]*', 'N', line)


def pattern(expected, exact):
    """One expression for the whole output, joined by newlines with one at the end."""
    out = ''
    for line in expected:
        if line.strip() == '…':
            out += '(?:.*\n)*?'
        else:
            out += '.*'.join(re.escape(part) for part in shape(line, exact).split('…')) + '\n'
    return out


def check(number, command, expected, exact):
    status, printed = run(command)
    text = ''.join(shape(line, exact) + '\n' for line in printed)
    if status == 0 and re.fullmatch(pattern(expected, exact), text):
        print('ok %d - %s' % (number, command.replace('#', '.')))
        return True
    print('not ok %d - %s' % (number, command.replace('#', '.')))
    print('#   status %d, printed:' % status)
    for line in printed:
        print('#   ' + line)
    return False


def main():
    path, lines = sys.argv[1], open(sys.argv[1]).read().splitlines()
    found = blocks(lines)
    if '--write' in sys.argv[2:]:
        out, at = [], 0
        for _, command, first, end, _ in found:
            out += lines[at:first]
            out += lines[first:end] or run(command)[1]
            if lines[first:end]:
                run(command)
            at = end
        open(path, 'w').write('\n'.join(out + lines[at:]) + '\n')
        return 0
    print('1..%d' % len(found))
    good = [check(i + 1, command, lines[first:end], exact) for i, (_, command, first, end, exact) in enumerate(found)]
    return 0 if found and all(good) else 1


sys.exit(main())

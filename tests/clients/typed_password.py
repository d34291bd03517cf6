"""typed_password.py LINES PROGRAM ARG...: runs a program on a terminal of its own, types a line of LINES (a JSON list)
at each question that ends in ': ' or '] ', prints all that the terminal showed, and ends with the program's exit code.
"""
import json
import os
import pty
import sys

lines = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown = b""
answered = 0
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    if shown[answered:].endswith((b": ", b"] ")) and lines:
        answered = len(shown)
        os.write(terminal, lines.pop(0).encode() + b"\n")
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status))

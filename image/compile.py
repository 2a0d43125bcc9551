# Compiles sources to the content of .pyc files that are used without looking
# at the source again (PEP 552, unchecked). Reads records of two lengths, name
# and source from stdin; writes a length and the file for each, length 0 for a
# source that does not compile.
import sys

del sys.path[0]
import importlib.util
import marshal
import struct

source, sink = sys.stdin.buffer, sys.stdout.buffer
head = importlib.util.MAGIC_NUMBER + struct.pack("<I", 1)
while True:
    lengths = source.read(8)
    if not lengths:
        break
    a, b = struct.unpack("<II", lengths)
    name, text = source.read(a).decode("utf-8", "surrogateescape"), source.read(b)
    try:
        code = compile(text, name, "exec", dont_inherit=True)
        out = head + importlib.util.source_hash(text) + marshal.dumps(code)
        del code
    except Exception:
        out = b""
    sink.write(struct.pack("<I", len(out)) + out)

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""soname.py DIRECTORY NAME...: the DT_SONAME of libNAME.so in the directory, one line each; exit 1 without a word where
one of them is not there or is no ELF library (a static one, a linker script, another system's)."""
import os
import struct
import sys

PT_DYNAMIC = 2
DT_NULL, DT_STRTAB, DT_SONAME = 0, 5, 14
PT_LOAD = 1


def soname(data):
    if data[:4] != b"\x7fELF":
        raise ValueError("not ELF")
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    word = "Q" if wide else "I"
    phoff, = struct.unpack_from(order + word, data, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    loads, dynamic = [], None
    for i in range(count):
        if wide:
            kind, _, offset, vaddr, _, filesz = struct.unpack_from(order + "IIQQQQ", data, phoff + i * size)
        else:
            kind, offset, vaddr, _, filesz = struct.unpack_from(order + "IIIII", data, phoff + i * size)
        if kind == PT_LOAD:
            loads.append((vaddr, offset, filesz))
        elif kind == PT_DYNAMIC:
            dynamic = (offset, filesz)
    tags = {}
    for tag, value in struct.iter_unpack(order + 2 * word, data[dynamic[0]:dynamic[0] + dynamic[1]]):
        if tag == DT_NULL:
            break
        tags[tag] = value
    table = next(tags[DT_STRTAB] - v + o for v, o, n in loads if v <= tags[DT_STRTAB] < v + n)
    start = table + tags[DT_SONAME]
    return data[start:data.index(b"\0", start)].decode("ascii")


def main():
    try:
        for name in sys.argv[2:]:
            with open(os.path.join(sys.argv[1], "lib%s.so" % name), "rb") as f:
                print(soname(f.read()))
    except (OSError, ValueError, KeyError, TypeError, StopIteration, struct.error):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

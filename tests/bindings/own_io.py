#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""own_io.py LIBRARY INPUT: publishes with a source and a sink of its own, which live in this process."""
import ctypes as c
import json
import sys

P, U32, U64, SIZE = c.c_void_p, c.c_uint32, c.c_uint64, c.c_size_t


def struct(fields):
    return type("Struct", (c.Structure,), {"_fields_": [("struct_size", U32)] + fields})


def function(*args):
    return c.CFUNCTYPE(c.c_int32, *args)


Info = struct([("kind", c.c_int32), ("key", c.c_char_p), ("content_type", c.c_char_p), ("cache_control", c.c_char_p),
               ("size", U64), ("crc32c", U32), ("has_crc32c", U32), ("mtime_us", U64)])
# Shorter than the library's: what is left out is NULL.
SourceOps = struct([("flags", U32), ("read_at", function(P, U64, P, SIZE, c.POINTER(SIZE), P)),
                    ("size", function(P, c.POINTER(U64), P))])
SinkOps = struct([("flags", U32), ("begin", function(P, c.POINTER(Info), c.POINTER(P), P)),
                  ("write", function(P, P, P, SIZE, P)), ("commit", function(P, P, P)),
                  ("abort", c.CFUNCTYPE(None, P, P))])
data = open(sys.argv[2], "rb").read()
writing, committed = {}, []  # number -> [key, bytes], and what was committed, in this order


def read_at(user, offset, to, capacity, got, err):
    got[0] = len(data[offset:offset + capacity])
    c.memmove(to, data[offset:offset + capacity], got[0])
    return 0


def size(user, to, err):
    to[0] = len(data)
    return 0


def begin(user, info, number, err):
    number[0] = max(writing, default=0) + 1
    writing[number[0]] = [info[0].key.decode(), b""]
    return 0


def write(user, number, start, count, err):
    writing[number][1] += c.string_at(start, count)
    return 0


def commit(user, number, err):
    committed.append(writing.pop(number))
    return 0


def fill(kind, *functions):  # flags 1: calls do not overlap
    return kind(c.sizeof(kind), 1, *(t(f) for f, (_, t) in zip(functions, kind._fields_[2:])))


vp = c.CDLL(sys.argv[1])
assert vp.vp_abi_version() == 0, "another ABI"
source_ops, sink_ops = fill(SourceOps, read_at, size), fill(SinkOps, begin, write, commit, lambda user, number: None)
context, source, sink, job = P(), P(), P(), P()
assert vp.vp_context_new(None, c.byref(context), None) == 0
assert vp.vp_source_new(context, c.byref(source_ops), None, c.byref(source), None) == 0
assert vp.vp_sink_new(context, c.byref(sink_ops), None, c.byref(sink), None) == 0
settings = b'{"ladder":"240p","preset":"ultrafast","format":"both","segment":2,"gop":1}'
assert vp.vp_job_new_json(context, source, sink, None, None, U64(0), settings, c.byref(job), None) == 0
assert vp.vp_job_start(job, None) == 0 and vp.vp_job_wait(job, c.c_int64(-1), None) == 0
keys = [key for key, _ in committed]
tracks = json.loads(dict(committed)["presentation.json"])["tracks"]
named = [s["key"] for t in tracks for s in t["segments"]] + [t["init"]["key"] for t in tracks if t.get("init")]
print(len(keys), "objects, the last one", keys[-1], "-", len(named), "named in presentation.json")
assert keys[-1] == "master.m3u8" and not writing and len(named) > 4 and set(named) <= set(keys)
for name, handle in ("job", job), ("sink", sink), ("source", source), ("context", context):
    getattr(vp, f"vp_{name}_unref")(handle)

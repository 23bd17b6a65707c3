#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""publish_queue.py LIBRARY INPUT OUTPUT [ABI]: publishes a file into a directory and reads the events of the job
from a queue. Refuses a library whose binary interface is not the one this was written for."""
import ctypes as c
import json
import sys

ABI = 0


class Error(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("status", c.c_int32), ("native", c.c_int32), ("domain", c.c_uint16),
                ("flags", c.c_uint16), ("reason", c.c_char * 32), ("op", c.c_char * 48), ("key", c.c_char * 256),
                ("message", c.c_char * 448)]


class Failure(Exception):
    pass


class Library:
    """Calls by name: negative results become exceptions; `new` gives the handle that a call stores."""

    def __init__(self, path, abi):
        self.lib = c.CDLL(path)
        if self.lib.vp_abi_version() != abi:
            raise ImportError(f"{path} has ABI {self.lib.vp_abi_version()}, not {abi}")
        self.lib.vp_bytes_data.restype = c.c_char_p
        self.error = Error(c.sizeof(Error))

    def call(self, name, *args):
        status = getattr(self.lib, "vp_" + name)(*args, c.byref(self.error))
        if status < 0:
            raise Failure(f"{name}: {self.error.reason.decode()}: {self.error.message.decode()}")
        return status

    def new(self, name, *args):
        handle = c.c_void_p()
        self.call(name, *args, c.byref(handle))
        return handle

    def next_event(self, queue):
        tag = c.c_uint64()
        line = self.new("queue_next_json", queue, c.c_int64(-1), c.byref(tag))
        text = self.lib.vp_bytes_data(line)
        self.lib.vp_bytes_unref(line)
        return tag.value, json.loads(text)


def main(path, source_path, output, abi=ABI):
    vp = Library(path, int(abi))
    context = vp.new("context_new", None)
    source = vp.new("source_file", context, source_path.encode())
    sink = vp.new("sink_directory", context, output.encode())
    queue = vp.new("queue_new")
    settings = json.dumps({"ladder": "240p", "preset": "ultrafast", "segment": 2, "gop": 1})
    job = vp.new("job_new_json", context, source, sink, None, queue, c.c_uint64(2 ** 63 + 1), settings.encode())
    vp.call("job_start", job)
    kinds, objects = {}, 0
    while True:
        tag, event = vp.next_event(queue)
        kind = event["event"]
        kinds[kind] = kinds.get(kind, 0) + 1
        if tag != 2 ** 63 + 1 or kind in ("done", "failed", "suspended", "canceled"):
            break
    print(json.dumps(kinds), json.dumps(event))
    assert tag == 2 ** 63 + 1 and kind == "done" and event["objects"] == kinds["object"], event
    assert vp.call("job_wait", job, c.c_int64(-1)) == 0
    for name, handle in ("job", job), ("queue", queue), ("sink", sink), ("source", source), ("context", context):
        getattr(vp.lib, f"vp_{name}_unref")(handle)


if __name__ == "__main__":
    main(*sys.argv[1:])

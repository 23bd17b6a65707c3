// SPDX-License-Identifier: LGPL-2.1-or-later

package main

/*
#include <stdlib.h>
#include <string.h>
#include <vodpipe/vodpipe.h>

// The functions of callbacks.go by the types that the header gives them; one cast for each.
void goReadAt(void);
void goSize(void);
void goBegin(void);
void goWrite(void);
void goCommit(void);
void goAbort(void);
void goRelease(void);
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// failure is a vp_error.
type failure struct {
	status          int32
	reason, message string
	native          int32
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %s (%d)", f.reason, f.message, f.native) }

func check(status C.vp_status, err *C.vp_error) error {
	if status >= 0 {
		return nil
	}
	return &failure{int32(status), C.GoString(&err.reason[0]), C.GoString(&err.message[0]), int32(err.native)}
}

// receiver gets every committed object, from several threads.
type receiver interface {
	committed(key string, data []byte) error
}

type collector struct{ sync.Mutex }

// newCell puts a handle into a cell of C memory: C never holds a Go pointer, nor a number that looks like one.
func newCell(value any) unsafe.Pointer {
	cell := C.malloc(C.size_t(unsafe.Sizeof(C.uintptr_t(0))))
	*(*C.uintptr_t)(cell) = C.uintptr_t(cgo.NewHandle(value))
	return cell
}

func cellHandle(cell unsafe.Pointer) cgo.Handle { return cgo.Handle(*(*C.uintptr_t)(cell)) }

func freeCell(cell unsafe.Pointer) {
	cellHandle(cell).Delete()
	C.free(cell)
}

func newSource(context *C.vp_context, data []byte, err *C.vp_error) (source *C.vp_source, st C.vp_status) {
	var ops C.vp_source_ops
	C.vp_source_ops_init(&ops, C.size_t(unsafe.Sizeof(ops)))
	ops.read_at = (*[0]byte)(C.goReadAt)
	ops.size = (*[0]byte)(C.goSize)
	ops.release = (*[0]byte)(C.goRelease)
	cell := newCell(data)
	if st = C.vp_source_new(context, &ops, cell, &source, err); st < 0 {
		freeCell(cell)
	}
	return source, st
}

func newSink(context *C.vp_context, to receiver, err *C.vp_error) (sink *C.vp_sink, st C.vp_status) {
	var ops C.vp_sink_ops
	C.vp_sink_ops_init(&ops, C.size_t(unsafe.Sizeof(ops)))
	ops.begin = (*[0]byte)(C.goBegin)
	ops.write = (*[0]byte)(C.goWrite)
	ops.commit = (*[0]byte)(C.goCommit)
	ops.abort = (*[0]byte)(C.goAbort)
	ops.release = (*[0]byte)(C.goRelease)
	cell := newCell(to)
	if st = C.vp_sink_new(context, &ops, cell, &sink, err); st < 0 {
		freeCell(cell)
	}
	return sink, st
}

func publish(data []byte, to receiver, settings string) error {
	var err C.vp_error
	var context *C.vp_context
	var job *C.vp_job
	if e := check(C.vp_context_new(nil, &context, &err), &err); e != nil {
		return e
	}
	defer C.vp_context_unref(context)
	source, st := newSource(context, data, &err)
	if st < 0 {
		return check(st, &err)
	}
	defer C.vp_source_unref(source)
	sink, st := newSink(context, to, &err)
	if st < 0 {
		return check(st, &err)
	}
	defer C.vp_sink_unref(sink)
	text := C.CString(settings)
	defer C.free(unsafe.Pointer(text))
	if e := check(C.vp_job_new_json(context, source, sink, nil, nil, 0, text, &job, &err), &err); e != nil {
		return e
	}
	defer C.vp_job_unref(job)
	if e := check(C.vp_job_start(job, &err), &err); e != nil {
		return e
	}
	return check(C.vp_job_wait(job, -1, &err), &err)
}

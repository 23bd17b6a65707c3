// SPDX-License-Identifier: LGPL-2.1-or-later

package main

/*
#include <string.h>
#include <stdlib.h>
#include <vodpipe/vodpipe.h>
*/
import "C"

import (
	"errors"
	"unsafe"
)

// The library calls these on its own threads, for several objects at once.

// object is one that is being written.
type object struct {
	key  string
	data []byte
}

//export goReadAt
func goReadAt(user unsafe.Pointer, offset C.uint64_t, to unsafe.Pointer, capacity C.size_t, got *C.size_t,
	err *C.vp_error) C.vp_status {
	data := cellHandle(user).Value().([]byte)
	*got = 0
	if uint64(offset) < uint64(len(data)) {
		*got = C.size_t(copy(unsafe.Slice((*byte)(to), capacity), data[offset:]))
	}
	return C.VP_OK
}

//export goSize
func goSize(user unsafe.Pointer, size *C.uint64_t, err *C.vp_error) C.vp_status {
	*size = C.uint64_t(len(cellHandle(user).Value().([]byte)))
	return C.VP_OK
}

//export goBegin
func goBegin(user unsafe.Pointer, info *C.vp_object_info, out *unsafe.Pointer, err *C.vp_error) C.vp_status {
	*out = newCell(&object{key: C.GoString(info.key)})
	return C.VP_OK
}

//export goWrite
func goWrite(user, cell, data unsafe.Pointer, size C.size_t, err *C.vp_error) C.vp_status {
	o := cellHandle(cell).Value().(*object)
	o.data = append(o.data, unsafe.Slice((*byte)(data), size)...)
	return C.VP_OK
}

//export goCommit
func goCommit(user, cell unsafe.Pointer, err *C.vp_error) C.vp_status {
	o := cellHandle(cell).Value().(*object)
	freeCell(cell)
	e := cellHandle(user).Value().(receiver).committed(o.key, o.data)
	if e == nil {
		return C.VP_OK
	}
	f := &failure{reason: "HOST", message: e.Error()}
	errors.As(e, &f)
	reason, message := C.CString(f.reason), C.CString(f.message)
	defer C.free(unsafe.Pointer(reason))
	defer C.free(unsafe.Pointer(message))
	return C.vp_error_set(err, C.VP_E_LIMIT, reason, C.int32_t(f.native), message)
}

//export goAbort
func goAbort(user, cell unsafe.Pointer) { freeCell(cell) }

//export goRelease
func goRelease(user unsafe.Pointer) { freeCell(user) }

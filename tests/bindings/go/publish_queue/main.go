// SPDX-License-Identifier: LGPL-2.1-or-later

// publish_queue INPUT OUTPUT: publishes a file into a directory and reads the events of the job from a queue.
package main

/*
#include <stdlib.h>
#include <vodpipe/vodpipe.h>
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"unsafe"
)

func check(status C.vp_status, err *C.vp_error) {
	if status < 0 {
		panic(fmt.Sprintf("%s: %s", C.GoString(&err.reason[0]), C.GoString(&err.message[0])))
	}
}

// events reads until a job ends and gives the kinds it saw, in order.
func events(queue *C.vp_queue, tag uint64) (kinds []string, last map[string]any) {
	var err C.vp_error
	for {
		var line *C.vp_bytes
		var from C.uint64_t
		check(C.vp_queue_next_json(queue, -1, &from, &line, &err), &err)
		text := C.GoBytes(C.vp_bytes_data(line), C.int(C.vp_bytes_size(line)))
		C.vp_bytes_unref(line)
		last = nil
		if e := json.Unmarshal(text, &last); e != nil || uint64(from) != tag {
			panic(fmt.Sprint(e, from))
		}
		kinds = append(kinds, last["event"].(string))
		switch kinds[len(kinds)-1] {
		case "done", "failed", "suspended", "canceled":
			return kinds, last
		}
	}
}

func publish(context *C.vp_context, input, output string, tag uint64) {
	var err C.vp_error
	var source *C.vp_source
	var sink *C.vp_sink
	var queue *C.vp_queue
	var job *C.vp_job
	in, out := C.CString(input), C.CString(output)
	settings := C.CString(`{"ladder":"240p","preset":"ultrafast","segment":2,"gop":1}`)
	defer C.free(unsafe.Pointer(in))
	defer C.free(unsafe.Pointer(out))
	defer C.free(unsafe.Pointer(settings))
	check(C.vp_source_file(context, in, &source, &err), &err)
	check(C.vp_sink_directory(context, out, &sink, &err), &err)
	check(C.vp_queue_new(&queue, &err), &err)
	check(C.vp_job_new_json(context, source, sink, nil, queue, C.uint64_t(tag), settings, &job, &err), &err)
	check(C.vp_job_start(job, &err), &err)
	kinds, last := events(queue, tag)
	fmt.Println(tag, kinds, last)
	if last["event"] != "done" || C.vp_job_wait(job, -1, &err) != C.VP_OK {
		panic("not published")
	}
	C.vp_job_unref(job)
	C.vp_queue_unref(queue)
	C.vp_sink_unref(sink)
	C.vp_source_unref(source)
}

func main() {
	var err C.vp_error
	var context *C.vp_context
	if C.vp_abi_version() != C.VP_ABI_VERSION {
		panic("the library has another ABI than the headers")
	}
	check(C.vp_context_new(nil, &context, &err), &err)
	var group sync.WaitGroup
	for i := uint64(1); i <= 2; i++ { // two at once, on goroutines that move between threads
		group.Add(1)
		go func(tag uint64) {
			defer group.Done()
			publish(context, os.Args[1], fmt.Sprintf("%s/%d", os.Args[2], tag), tag)
		}(i)
	}
	group.Wait()
	C.vp_context_unref(context)
}

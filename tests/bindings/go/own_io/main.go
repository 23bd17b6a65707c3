// SPDX-License-Identifier: LGPL-2.1-or-later

// own_io INPUT: publishes with a source and a sink that are written in Go.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// title collects what is published.
type title struct {
	collector
	keys  []string
	bytes map[string][]byte
}

func (t *title) committed(key string, data []byte) error {
	t.Lock()
	defer t.Unlock()
	t.keys = append(t.keys, key)
	t.bytes[key] = data
	return nil
}

func main() {
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	t := &title{bytes: map[string][]byte{}}
	settings := `{"ladder":"240p","preset":"ultrafast","format":"both","segment":2,"gop":1}`
	if err := publish(data, t, settings); err != nil {
		panic(err)
	}
	var document struct {
		Tracks []struct {
			Init     *struct{ Key string }
			Segments []struct{ Key string }
		}
	}
	if err := json.Unmarshal(t.bytes["presentation.json"], &document); err != nil {
		panic(err)
	}
	named := 0
	need := func(key string) {
		named++
		if t.bytes[key] == nil {
			panic(key + " is named and was not committed")
		}
	}
	for _, track := range document.Tracks {
		if track.Init != nil {
			need(track.Init.Key)
		}
		for _, segment := range track.Segments {
			need(segment.Key)
		}
	}
	last := t.keys[len(t.keys)-1]
	fmt.Println(len(t.keys), "objects,", named, "named, the last", last)
	if last != "master.m3u8" || named < 5 {
		panic("not whole")
	}

	// What a callback says arrives untouched.
	refused := &refusing{}
	err = publish(data, refused, settings)
	fmt.Println("refused:", err)
	if failure, ok := err.(*failure); !ok || failure.native != 4711 || failure.reason != "QUOTA_OF_HOST" {
		panic(err)
	}
}

// refusing takes no object.
type refusing struct{ collector }

func (r *refusing) committed(key string, data []byte) error {
	return &failure{reason: "QUOTA_OF_HOST", message: "no room for " + key, native: 4711}
}

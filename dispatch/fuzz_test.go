package dispatch

import (
	"testing"

	"pyspeed/fcgi"
)

// FuzzWorkerStream: whatever a worker sends, nothing panics, every exchange ends once
// (recorder checks the order of the calls), and none gets an answer of which no record names its id.
func FuzzWorkerStream(f *testing.F) {
	head := answerHead(200, "a", "b")
	add := func(b []byte) { f.Add(b, uint8(7)) }
	add(nil)
	add(appendResponse(nil, 1, fcgi.FlagLast, 200, "x"))
	add(appendResponse(appendResponse(nil, 2, fcgi.FlagLast, 200, "x"), 1, fcgi.FlagLast, 404, "y"))
	add(fcgi.AppendEndRequest(fcgi.AppendStream(appendResponse(nil, 3, 0, 200, "x"), fcgi.TypeStdout, 3, []byte("more")), 3, fcgi.EndRequest{}))
	add(appendResponse(appendResponse(nil, 1, 0, 103, ""), 1, fcgi.FlagLast, 200, "x"))
	add(appendResponse(nil, 1, fcgi.FlagLast, 100, ""))
	add(fcgi.AppendRecord(fcgi.AppendRecord(nil, fcgi.TypeResponse, fcgi.FlagMore, 1, head[:5]), fcgi.TypeResponse, fcgi.FlagLast, 1, head[5:]))
	add(fcgi.AppendRecord(nil, fcgi.TypeResponse, 0, 1, answerHead(200, "bad name", "b")))
	add(fcgi.AppendWindow(fcgi.AppendWindow(nil, 4, 100), 1, 1<<31))
	add(fcgi.AppendStream(nil, fcgi.TypeStderr, 0, []byte("text")))
	add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		r := newRig(t, Settings{InFlight: 4})
		h, end := silentWorker(t, r.Dispatcher)
		var recorders []*recorder
		for i := range 3 {
			_, a := r.ask(nonce(i)) // ids 1, 2, 3
			recorders = append(recorders, a)
		}
		recorders = append(recorders, r.client().post(nonce(3), newBody("body", false), 9)) // id 4
		_, queued := r.ask(nonce(4))                                                        // waits for any of the ids

		named := map[uint16]int{}
		var d fcgi.Decoder
		for at := 0; ; {
			n, rec, ok, err := d.Next(data[at:])
			if err != nil || !ok {
				break
			}
			at += n
			if rec.Type == fcgi.TypeResponse || rec.Type == fcgi.TypeEndRequest {
				named[rec.ID]++
			}
		}
		for at := 0; at < len(data); {
			n := min(int(step)+1, len(data)-at)
			h.Feed(append([]byte(nil), data[at:at+n]...)) // it may be changed
			at += n
		}
		end()
		r.Stop() // what did not begin waits for another worker
		for i, a := range recorders {
			o := a.wait()
			if !o.aborted && named[uint16(i+1)] == 0 {
				t.Errorf("%s was answered with %+v, and no record was for it", a.nonce, o)
			}
		}
		if o := queued.wait(); !o.aborted && len(named) == 0 {
			t.Errorf("the request that waited was answered with %+v", o)
		}
	})
}

package tipline

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Event is what happened since the last step: [Start], [Response], [Recalled], [Failed] or [Wake].
type Event interface {
	// lower gives the number of the case, and its parameters.
	lower(c *call) (number uint64, parameters []uint64)
}

// Start begins a poll from an empty state, or resumes from the last one stored.
type Start struct{}

// Response is what the feed answered. Names of headers are in lower case; set-cookie is not among them.
type Response struct {
	Status  uint16
	Headers [][2]string
	Body    []byte
}

// Recalled hands over the rows asked for, in the order of the keys, those that exist, and the response they were asked for.
type Recalled struct {
	Rows     []Row
	Response Response
}

// Failed says why the request could not be completed.
type Failed string

// Wake says that the time asked for has come.
type Wake struct{}

// Row is what the guest asks its host to keep; an empty value deletes it.
type Row struct {
	Key, Value string
	// Expires is when it may be forgotten; nil: when there is no room any more.
	Expires *uint64
}

// Next is what to do: [Fetch], [Recall], [WaitUntil] or [Done].
type Next interface{ next() }

// Fetch asks for a request below the feed's base URL. The host adds origin and credential, and refuses methods other than
// GET and POST and headers that are its own (see input.wit).
type Fetch struct {
	Method, Target string
	Headers        [][2]string
	// Body is nil where there is none.
	Body []byte
}

// Recall asks for the rows of these keys. The state given with it is no checkpoint.
type Recall struct{ Keys []string }

// WaitUntil asks for a pause, to a time in milliseconds since 1970.
type WaitUntil struct {
	Until  uint64
	Reason string
}

// Done ends the poll.
type Done struct{}

func (Fetch) next()     {}
func (Recall) next()    {}
func (WaitUntil) next() {}
func (Done) next()      {}

// Step is the answer to an event. Batch, Remember and State are stored together, or the batch first.
type Step struct {
	// Batch is nil where no page was read.
	Batch    *Batch
	Remember []Row
	Next     Next
	State    string
}

// Advance is one step of a poll. state is the newest one that a step gave, or the last one stored; now is in milliseconds
// since 1970. The error is a [*Failure], which changes no state, or a [*Trap].
func (g *Guest) Advance(ctx context.Context, config, state string, now uint64, event Event) (*Step, error) {
	var step *Step
	err := g.call(ctx, advance, func(c *call) []uint64 {
		configAt, configLength := c.lower(config)
		stateAt, stateLength := c.lower(state)
		number, parameters := event.lower(c)
		all := [13]uint64{configAt, configLength, stateAt, stateLength, now, number}
		copy(all[6:], parameters)
		return all[:]
	}, func(c *call, at uint32) error {
		if failure := c.failure(at); failure != nil {
			return failure
		}
		var err error
		step, err = c.step(at + 8)
		return err
	})
	if err != nil {
		return nil, err
	}
	return step, nil
}

func (Start) lower(*call) (uint64, []uint64) { return 0, nil }

func (r Response) lower(c *call) (uint64, []uint64) {
	pairs := make([]byte, 0, 16*len(r.Headers))
	for _, pair := range r.Headers {
		pairs = c.lowerInto(c.lowerInto(pairs, pair[0]), pair[1])
	}
	body, length := c.lowerBytes(r.Body)
	return 1, []uint64{uint64(r.Status), c.write(pairs, 4), uint64(len(r.Headers)), body, length}
}

func (r Recalled) lower(c *call) (uint64, []uint64) {
	rows := make([]byte, 0, 32*len(r.Rows))
	for _, row := range r.Rows {
		rows = c.lowerInto(c.lowerInto(rows, row.Key), row.Value)
		var some, expires uint64
		if row.Expires != nil {
			some, expires = 1, *row.Expires
		}
		rows = binary.LittleEndian.AppendUint64(rows, some)
		rows = binary.LittleEndian.AppendUint64(rows, expires)
	}
	_, response := r.Response.lower(c)
	return 2, append([]uint64{c.write(rows, 8), uint64(len(r.Rows))}, response...)
}

func (f Failed) lower(c *call) (uint64, []uint64) {
	at, length := c.lower(string(f))
	return 3, []uint64{at, length}
}

func (Wake) lower(*call) (uint64, []uint64) { return 4, nil }

// lowerInto writes a string, and appends its address and length to a list.
func (c *call) lowerInto(list []byte, text string) []byte {
	at, length := c.lower(text)
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(list, uint32(at)), uint32(length))
}

func (c *call) step(at uint32) (*Step, error) {
	step := &Step{State: c.string(at + 128)}
	if c.byte(at) == 1 {
		step.Batch = c.batch(at + 8)
	}
	c.list(at+72, 32, func(at uint32) {
		step.Remember = append(step.Remember, Row{Key: c.string(at), Value: c.string(at + 8), Expires: c.optional(at + 16)})
	})
	next := at + 88
	switch kind := c.byte(at + 80); kind {
	case 0:
		fetch := Fetch{Method: c.string(next), Target: c.string(next + 8)}
		c.list(next+16, 16, func(at uint32) {
			fetch.Headers = append(fetch.Headers, [2]string{c.string(at), c.string(at + 8)})
		})
		if c.byte(next+24) == 1 {
			fetch.Body = []byte(c.string(next + 28))
		}
		step.Next = fetch
	case 1:
		recall := Recall{}
		c.list(next, 8, func(at uint32) { recall.Keys = append(recall.Keys, c.string(at)) })
		step.Next = recall
	case 2:
		step.Next = WaitUntil{Until: c.long(next), Reason: c.string(next + 8)}
	case 3:
		step.Next = Done{}
	default:
		return nil, fmt.Errorf("it asked for what does not exist: %d", kind)
	}
	return step, nil
}

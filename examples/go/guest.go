// Package tipline runs Tipline's guest, the core module of `tipline guest export`, under wazero: it maps records of SOC
// Defenders, or STIX, to ECS documents. It is written from docs/core-abi.md and uses nothing else.
//
// The guest is pure. A [Failure] is its answer; a [Trap] is a fault and costs the instance: the next call gets a new one.
// Nothing is lost, as instances remember nothing.
package tipline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	mapRecords = "tipline:input/mapper@0.2.0#map-records"
	describe   = "tipline:input/mapper@0.2.0#describe"
	advance    = "tipline:input/pager@0.2.0#advance"

	page = 64 << 10

	// KeptMemory is the most an instance may have taken and still be kept, in bytes, as memory never shrinks. A thousand
	// records need 4 MiB.
	KeptMemory = 32 << 20
)

// Limits of a guest.
type Limits struct {
	// Memory an instance may take, in bytes.
	Memory uint32
	// Interruptible guests are stopped when the context of a call ends. They are three to four times slower.
	Interruptible bool
}

var (
	// Trusted is for the guest of this project, which always ends: the longest body a feed is read for (64 MiB), full of
	// distinct records, takes 575 MiB.
	Trusted = Limits{Memory: 768 << 20}
	// Sandboxed is for any other guest: a page of 10,000 records needs some 30 MiB of the guest of this project.
	Sandboxed = Limits{Memory: 128 << 20, Interruptible: true}
)

// Batch holds the documents of one page, as in input.wit: read = mapped + rejected + skipped.
type Batch struct {
	// Observed is when the feed showed it, in milliseconds since 1970.
	Observed uint64
	// Documents is NDJSON, with a head for each line.
	Documents                       string
	Heads                           []Head
	Rejects                         []Reject
	Read, Mapped, Rejected, Skipped uint32
	Skips                           []Skip
	Notes                           []Note
}

// Head says what a line of a batch's documents is, without a look into it.
type Head struct {
	ID      string
	Version uint64
	// Expires is when it stops matching, in milliseconds since 1970; nil: not by itself.
	Expires *uint64
	// Length of its line in bytes, without the line feed.
	Length uint32
}

// Reject is a record that could not be mapped, as received.
type Reject struct {
	Code, Detail string
	Raw          []byte
}

// Skip says why records were left out on purpose, and how many.
type Skip struct {
	Reason string
	Count  uint32
}

// Note is something a person should know.
type Note struct{ Code, Text string }

// Kind of a [Failure].
type Kind uint8

// The kinds, in the contract's order.
const (
	Config Kind = iota
	Credential
	Forbidden
	Protocol
	State
)

func (k Kind) String() string {
	return [...]string{"config", "credential", "forbidden", "protocol", "state"}[k]
}

// Failure is the guest's answer when it cannot do what was asked.
type Failure struct {
	Kind Kind
	Text string
}

func (f *Failure) Error() string { return f.Kind.String() + ": " + f.Text }

// Trap means that the guest was stopped in the middle of a call, or answered with what cannot be read.
type Trap struct{ Cause error }

func (t *Trap) Error() string { return fmt.Sprintf("the guest was stopped: %v", t.Cause) }

// Unwrap gives the cause.
func (t *Trap) Unwrap() error { return t.Cause }

// Guest is a compiled core module with at most one instance. It is for one goroutine; make one for each.
type Guest struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	instance api.Module
	// Instances made so far.
	Instances int
}

// Open compiles the core module in a file.
func Open(ctx context.Context, path string, limits Limits) (*Guest, error) {
	module, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing; in the repository's root, "+
			"`cargo run --release -- guest export examples/export` makes it", path)
	} else if err != nil {
		return nil, err
	}
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(limits.Memory / page)
	runtime := wazero.NewRuntimeWithConfig(ctx, config.WithCloseOnContextDone(limits.Interruptible))
	compiled, err := runtime.CompileModule(ctx, module)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s cannot be compiled: %w", path, err), runtime.Close(ctx))
	}
	return &Guest{runtime: runtime, compiled: compiled}, nil
}

// Close frees everything.
func (g *Guest) Close(ctx context.Context) error { return g.runtime.Close(ctx) }

// MapRecords maps a page, STIX, an array, or one record a line, as its feed sent it: the guest knows what a damaged byte
// means. config is JSON or empty; observed is when the feed showed the records, in milliseconds since 1970. The error is a
// [*Failure] or a [*Trap].
func (g *Guest) MapRecords(ctx context.Context, config string, observed uint64, records []byte) (*Batch, error) {
	var batch *Batch
	err := g.call(ctx, mapRecords, func(c *call) []uint64 {
		at, length := c.lower(config)
		recordsAt, recordsLength := c.lowerBytes(records)
		return []uint64{at, length, observed, recordsAt, recordsLength}
	}, func(c *call, at uint32) error {
		if failure := c.failure(at); failure != nil {
			return failure
		}
		batch = c.batch(at + 8)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return batch, nil
}

// Describe gives what the guest says of itself, as JSON.
func (g *Guest) Describe(ctx context.Context) (text string, err error) {
	err = g.call(ctx, describe, func(*call) []uint64 { return nil }, func(c *call, at uint32) error {
		text = c.string(at)
		return nil
	})
	return text, err
}

var errOutside = errors.New("it gave a buffer outside of its memory")

// call is one call of one instance. The first thing that goes wrong is kept, and what is read after it is empty.
type call struct {
	ctx      context.Context
	instance api.Module
	err      error
}

// call writes arguments, calls a function, reads its result area, and has it freed.
func (g *Guest) call(ctx context.Context, name string, write func(*call) []uint64, read func(*call, uint32) error) error {
	if g.instance == nil {
		instance, err := g.runtime.InstantiateModule(ctx, g.compiled, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			return &Trap{err}
		}
		g.instance = instance
		g.Instances++
	}
	c := &call{ctx: ctx, instance: g.instance}
	arguments := write(c)
	at := c.invoke(name, arguments...)
	answer := read(c, at)
	c.invoke("cabi_post_"+name, uint64(at))

	var failure *Failure
	if c.err == nil && answer != nil && !errors.As(answer, &failure) {
		c.err = answer
	}
	if c.err != nil || g.instance.Memory().Size() > KeptMemory {
		// After a trap the instance is in no defined state.
		c.err = errors.Join(c.err, g.instance.Close(context.WithoutCancel(ctx)))
		g.instance = nil
	}
	if c.err != nil {
		return &Trap{c.err}
	}
	return answer
}

// invoke calls an export that gives one number or none.
func (c *call) invoke(name string, arguments ...uint64) uint32 {
	if c.err != nil {
		return 0
	}
	function := c.instance.ExportedFunction(name)
	if function == nil {
		c.err = fmt.Errorf("it has no export %q; is the file a core module of contract 0.2.0?", name)
		return 0
	}
	results, err := function.Call(c.ctx, arguments...)
	if err != nil {
		c.err = err
		return 0
	}
	if len(results) == 0 {
		return 0
	}
	return api.DecodeU32(results[0])
}

// lower writes a string into the guest's memory and gives its address and length. What is no UTF-8 is replaced.
func (c *call) lower(text string) (at, length uint64) {
	if text == "" {
		return 1, 0
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	buffer := c.allocate(len(text), 1)
	if c.err == nil && !c.instance.Memory().WriteString(buffer, text) {
		c.err = errOutside
	}
	return uint64(buffer), uint64(len(text))
}

// lowerBytes writes bytes as they are, without a copy on the way.
func (c *call) lowerBytes(bytes []byte) (at, length uint64) {
	return c.write(bytes, 1), uint64(len(bytes))
}

// write writes bytes into a buffer that is aligned, and gives its address.
func (c *call) write(bytes []byte, align uint64) uint64 {
	if len(bytes) == 0 {
		return align
	}
	buffer := c.allocate(len(bytes), align)
	if c.err == nil && !c.instance.Memory().Write(buffer, bytes) {
		c.err = errOutside
	}
	return uint64(buffer)
}

func (c *call) allocate(length int, align uint64) uint32 {
	return c.invoke("cabi_realloc", 0, 0, align, uint64(length))
}

// failure reads the first half of a result: what stands in the place of a batch or a step, if it does.
func (c *call) failure(at uint32) error {
	if c.byte(at) == 0 {
		return nil
	}
	kind := c.byte(at + 8)
	if kind > uint8(State) {
		return fmt.Errorf("it answered with a failure of kind %d, which does not exist", kind)
	}
	return &Failure{Kind: Kind(kind), Text: c.string(at + 12)}
}

func (c *call) batch(at uint32) *Batch {
	batch := &Batch{
		Observed:  c.long(at),
		Documents: c.string(at + 8),
		Read:      c.word(at + 32),
		Mapped:    c.word(at + 36),
		Rejected:  c.word(at + 40),
		Skipped:   c.word(at + 44),
	}
	c.list(at+16, 40, func(at uint32) {
		head := Head{ID: c.string(at), Version: c.long(at + 8), Expires: c.optional(at + 16), Length: c.word(at + 32)}
		batch.Heads = append(batch.Heads, head)
	})
	c.list(at+24, 24, func(at uint32) {
		reject := Reject{Code: c.string(at), Detail: c.string(at + 8), Raw: []byte(c.string(at + 16))}
		batch.Rejects = append(batch.Rejects, reject)
	})
	c.list(at+48, 12, func(at uint32) {
		batch.Skips = append(batch.Skips, Skip{Reason: c.string(at), Count: c.word(at + 8)})
	})
	c.list(at+56, 16, func(at uint32) {
		batch.Notes = append(batch.Notes, Note{Code: c.string(at), Text: c.string(at + 8)})
	})
	return batch
}

// string reads an address and a length, and copies what they point to: a string, or a list of bytes.
func (c *call) string(at uint32) string {
	start, length := c.word(at), c.word(at+4)
	if c.err != nil || length == 0 {
		return ""
	}
	bytes, ok := c.instance.Memory().Read(start, length)
	if !ok {
		c.err = fmt.Errorf("it answered with %d bytes at %d, outside of its memory", length, start)
	}
	return string(bytes)
}

// list reads an address and a number of elements, and visits each.
func (c *call) list(at, size uint32, visit func(at uint32)) {
	start, length := c.word(at), c.word(at+4)
	if end := uint64(start) + uint64(length)*uint64(size); c.err == nil && end > uint64(c.instance.Memory().Size()) {
		c.err = fmt.Errorf("it answered with %d elements at %d, outside of its memory", length, start)
	}
	for i := uint32(0); c.err == nil && i < length; i++ {
		visit(start + i*size)
	}
}

// long reads a 64-bit number.
func (c *call) long(at uint32) uint64 {
	return uint64(c.word(at)) | uint64(c.word(at+4))<<32
}

// optional reads a 64-bit number that may be missing.
func (c *call) optional(at uint32) *uint64 {
	if c.byte(at) == 0 {
		return nil
	}
	value := c.long(at + 8)
	return &value
}

func (c *call) word(at uint32) uint32 {
	if c.err != nil {
		return 0
	}
	word, ok := c.instance.Memory().ReadUint32Le(at)
	if !ok {
		c.err = fmt.Errorf("it answered at %d, outside of its memory", at)
	}
	return word
}

func (c *call) byte(at uint32) uint8 {
	if c.err != nil {
		return 0
	}
	value, ok := c.instance.Memory().ReadByte(at)
	if !ok {
		c.err = fmt.Errorf("it answered at %d, outside of its memory", at)
	}
	return value
}

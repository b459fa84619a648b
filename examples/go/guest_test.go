package tipline

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	core   = "../export/socdefenders.core.wasm"
	cases  = "../../guest/tests/cases"
	record = `{"type":"ipv4","value":"198.51.100.1"}`
)

func open(t testing.TB, limits Limits) *Guest {
	t.Helper()
	guest, err := Open(t.Context(), core, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { guest.Close(context.Background()) })
	return guest
}

// text is a file of a case, or nothing.
func text(t *testing.T, path ...string) string {
	t.Helper()
	bytes, err := os.ReadFile(filepath.Join(path...))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(bytes)
}

func counts(batch *Batch) string {
	var b strings.Builder
	fmt.Fprintf(&b, "read %d\nmapped %d\nrejected %d\n", batch.Read, batch.Mapped, batch.Rejected)
	fmt.Fprintf(&b, "skipped %d\ndocuments %d\n", batch.Skipped, len(batch.Heads))
	for _, skip := range batch.Skips {
		fmt.Fprintf(&b, "skipped for: %s %d\n", skip.Reason, skip.Count)
	}
	for _, note := range batch.Notes {
		fmt.Fprintf(&b, "note: %s %s\n", note.Code, note.Text)
	}
	return b.String()
}

// lines end by a line feed and nothing else.
func lines(text string) []string {
	all := strings.Split(text, "\n")
	return all[:len(all)-1]
}

// head is what the head beside a document must say.
func head(t *testing.T, line string) Head {
	t.Helper()
	var document struct {
		Event struct {
			ID       string
			Sequence uint64
		}
		Tipline struct {
			Expires *time.Time `json:"expires_at"`
		}
	}
	if err := json.Unmarshal([]byte(line), &document); err != nil {
		t.Fatal(err)
	}
	head := Head{ID: document.Event.ID, Version: document.Event.Sequence, Length: uint32(len(line))}
	if at := document.Tipline.Expires; at != nil {
		millis := uint64(at.UnixMilli())
		head.Expires = &millis
	}
	return head
}

// reject is what a line of a case's rejects says.
func reject(t *testing.T, line string) Reject {
	t.Helper()
	var said struct {
		Code, Detail, Raw string
		Base64            []byte `json:"raw_base64"`
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		t.Fatal(err)
	}
	if said.Base64 != nil {
		return Reject{said.Code, said.Detail, said.Base64}
	}
	return Reject{said.Code, said.Detail, []byte(said.Raw)}
}

func each[T any](t *testing.T, text string, read func(*testing.T, string) T) []T {
	t.Helper()
	var all []T
	for _, line := range lines(text) {
		all = append(all, read(t, line))
	}
	return all
}

func TestEveryCaseGivesTheBytesWrittenBesideIt(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(cases, "*", "page.json"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%s holds no case; run this inside a whole clone of the repository (%v)", cases, err)
	}
	guest := open(t, Trusted)
	// Twice with one instance: what it mapped before must not show.
	for _, round := range []string{"first", "again"} {
		for _, page := range pages {
			folder := filepath.Dir(page)
			t.Run(round+"/"+filepath.Base(folder), func(t *testing.T) {
				observed := strings.TrimSpace(text(t, folder, "observed"))
				if observed == "" {
					observed = "2024-12-09T10:30:00Z"
				}
				at, err := time.Parse(time.RFC3339, observed)
				if err != nil {
					t.Fatal(err)
				}
				config := text(t, folder, "config.json")
				batch, err := guest.MapRecords(t.Context(), config, uint64(at.UnixMilli()), []byte(text(t, page)))
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range []struct{ file, got string }{
					{"expected.ndjson", batch.Documents},
					{"expected-counts.txt", counts(batch)},
				} {
					if want := text(t, folder, c.file); c.got != want {
						t.Errorf("%s\n got: %s\nwant: %s", c.file, c.got, want)
					}
				}
				if want := each(t, text(t, folder, "expected-rejects.ndjson"), reject); !reflect.DeepEqual(batch.Rejects, want) {
					t.Errorf("rejects\n got: %q\nwant: %q", batch.Rejects, want)
				}
				if want := each(t, batch.Documents, head); !reflect.DeepEqual(batch.Heads, want) {
					t.Errorf("heads\n got: %+v\nwant: %+v", batch.Heads, want)
				}
				if batch.Observed != uint64(at.UnixMilli()) {
					t.Errorf("observed %d, where %v was said", batch.Observed, at)
				}
			})
		}
	}
	if guest.Instances != 1 {
		t.Errorf("%d instances for all cases, where one was expected", guest.Instances)
	}
}

func TestAFailureHasItsKindAndKeepsTheInstance(t *testing.T) {
	guest := open(t, Trusted)
	for _, c := range []struct {
		config, records string
		kind            Kind
	}{
		{`{"surprise":1}`, "", Config},
		{"", "<html>", Protocol},
	} {
		_, err := guest.MapRecords(t.Context(), c.config, 0, []byte(c.records))
		var failure *Failure
		if !errors.As(err, &failure) || failure.Kind != c.kind || failure.Text == "" {
			t.Errorf("%v, where a failure of kind %v was expected", err, c.kind)
		}
	}
	if _, err := guest.MapRecords(t.Context(), "", 0, []byte(record)); err != nil || guest.Instances != 1 {
		t.Errorf("%v, %d instances", err, guest.Instances)
	}
}

// mapped expects a small page to be mapped, by as many instances as were made so far.
func mapped(t *testing.T, guest *Guest, instances int) {
	t.Helper()
	batch, err := guest.MapRecords(t.Context(), "", 0, []byte(record))
	if err != nil || batch.Mapped != 1 || guest.Instances != instances {
		t.Errorf("%+v, %v, %d instances, where %d were expected", batch, err, guest.Instances, instances)
	}
}

func trapped(t *testing.T, err error) {
	t.Helper()
	var trap *Trap
	if !errors.As(err, &trap) {
		t.Errorf("%v, where a trap was expected", err)
	}
}

func TestMemoryIsBoundedAndATrapCostsTheInstanceOnly(t *testing.T) {
	large := strings.Repeat(record+"\n", 50_000)
	if batch, err := open(t, Trusted).MapRecords(t.Context(), "", 0, []byte(large)); err != nil || batch.Read != 50_000 {
		t.Errorf("%+v, %v", batch, err)
	}
	guest := open(t, Limits{Memory: 2 << 20})
	_, err := guest.MapRecords(t.Context(), "", 0, []byte(large))
	trapped(t, err)
	mapped(t, guest, 2)
}

func TestTimeIsBoundedByTheContext(t *testing.T) {
	guest := open(t, Sandboxed)
	mapped(t, guest, 1)
	// The page takes a hundred times longer.
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := guest.MapRecords(short, "", 0, []byte(strings.Repeat(record+"\n", 50_000)))
	trapped(t, err)
	mapped(t, guest, 2)
}

func TestAnInstanceIsKeptUntilItsMemoryHasGrownTooMuch(t *testing.T) {
	guest := open(t, Trusted)
	for _, c := range []struct{ records, instances int }{{1_000, 1}, {40_000, 1}, {1, 2}} {
		var page strings.Builder
		for i := range c.records {
			fmt.Fprintf(&page, `{"type":"ipv4","value":"20.1.%d.%d"}`+"\n", i>>8, i&255)
		}
		batch, err := guest.MapRecords(t.Context(), "", 0, []byte(page.String()))
		if err != nil || int(batch.Mapped) != c.records || guest.Instances != c.instances {
			t.Errorf("%d records: %v, %d instances", c.records, err, guest.Instances)
		}
	}
}

func TestOneDamagedByteIsTheGuestsToJudge(t *testing.T) {
	damaged := "{\"type\":\"ipv4\",\"value\":\"\xff\"}"
	batch, err := open(t, Trusted).MapRecords(t.Context(), "", 0, []byte(record+"\n"+damaged+"\n"))
	if err != nil || batch.Mapped != 1 || batch.Rejected != 1 || string(batch.Rejects[0].Raw) != damaged {
		t.Errorf("%+v, %v", batch, err)
	}
}

func TestWhatIsNoUTF8InAStringIsReplaced(t *testing.T) {
	_, err := open(t, Trusted).MapRecords(t.Context(), "{\"\xff\":1}", 0, nil)
	var failure *Failure
	if !errors.As(err, &failure) || failure.Kind != Config || !strings.Contains(failure.Text, "\uFFFD") {
		t.Error(err)
	}
}

func TestAnotherModuleIsNotMistakenForAGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "empty.wasm")
	// A module without anything but a memory.
	module := "\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01"
	if err := os.WriteFile(path, []byte(module), 0o600); err != nil {
		t.Fatal(err)
	}
	guest, err := Open(t.Context(), path, Trusted)
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close(context.Background())
	_, err = guest.MapRecords(t.Context(), "", 0, []byte(record))
	trapped(t, err)
	if !strings.Contains(err.Error(), "no export") {
		t.Error(err)
	}
}

func TestItDescribesItself(t *testing.T) {
	text, err := open(t, Trusted).Describe(t.Context())
	if err != nil || !strings.Contains(text, `"socdefenders"`) {
		t.Errorf("%.80s, %v", text, err)
	}
}

func TestAMissingExportNamesTheCommandThatMakesIt(t *testing.T) {
	_, err := Open(t.Context(), "nowhere.wasm", Trusted)
	if err == nil || !strings.Contains(err.Error(), "cargo run --release -- guest export examples/export") {
		t.Error(err)
	}
}

// Pages of a thousand of the demo's records.
func BenchmarkMapRecords(b *testing.B) {
	file, err := os.Open("../../tests/corpus/demo.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var pages [][]byte
	var page []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if page = append(page, lines.Text()); len(page) == 1_000 {
			pages, page = append(pages, []byte(`{"data":[`+strings.Join(page, ",")+`]}`)), nil
		}
	}
	if lines.Err() != nil || len(pages) == 0 {
		b.Fatalf("%d pages, %v", len(pages), lines.Err())
	}
	guest := open(b, Trusted)
	var read uint32
	for i := 0; b.Loop(); i++ {
		batch, err := guest.MapRecords(b.Context(), `{"allow_private":true}`, 1_750_000_000_000, pages[i%len(pages)])
		if err != nil {
			b.Fatal(err)
		}
		read += batch.Read
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
}

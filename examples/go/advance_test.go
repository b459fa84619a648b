package tipline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"
)

const now = 1_750_000_000_000

func TestAPollOfTwoPagesIsThatOfMapRecords(t *testing.T) {
	guest := open(t, Trusted)
	page := func(offset int, values ...string) Response {
		data := make([]string, len(values))
		for i, value := range values {
			data[i] = fmt.Sprintf(`{"type":"domain","value":%q}`, value)
		}
		meta := fmt.Sprintf(`{"total":3,"limit":2,"offset":%d}`, offset)
		body := fmt.Sprintf(`{"meta":%s,"data":[%s]}`, meta, strings.Join(data, ","))
		date := time.UnixMilli(now).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
		return Response{Status: 200, Headers: [][2]string{{"date", date}}, Body: []byte(body)}
	}
	// Pages overlap by a record, by which the walk knows that nothing moved between them; it is mapped once.
	pages := []Response{page(0, "a.example.com", "b.example.com"), page(1, "b.example.com", "c.example.com")}
	fresh := []Response{pages[0], page(2, "c.example.com")}
	state, events := "", []Event{Start{}, pages[0], pages[1]}
	for i, event := range events {
		step, err := guest.Advance(t.Context(), `{"limit":2}`, state, now, event)
		if err != nil {
			t.Fatal(err)
		}
		state = step.State
		if i > 0 {
			alone, err := guest.MapRecords(t.Context(), `{"limit":2}`, step.Batch.Observed, fresh[i-1].Body)
			if err != nil || step.Batch.Documents != alone.Documents || !reflect.DeepEqual(step.Batch.Heads, alone.Heads) {
				t.Errorf("page %d\n got: %+v\nwant: %+v, %v", i, step.Batch, alone, err)
			}
		}
		fetch, ok := step.Next.(Fetch)
		if isLast := i == len(events)-1; ok == isLast {
			t.Fatalf("step %d asks for %#v", i, step.Next)
		}
		accept := [][2]string{{"accept", "application/json"}}
		if ok && (fetch.Method != "GET" || !strings.HasPrefix(fetch.Target, "/api/v1/iocs?") || fetch.Body != nil || !reflect.DeepEqual(fetch.Headers, accept)) {
			t.Errorf("%+v", fetch)
		}
	}
}

func TestAFeedThatGivesNoAnswerIsAskedAgainLater(t *testing.T) {
	guest := open(t, Trusted)
	begun, err := guest.Advance(t.Context(), "", "", now, Start{})
	if err != nil {
		t.Fatal(err)
	}
	failed, err := guest.Advance(t.Context(), "", begun.State, now, Failed("connection refused"))
	if err != nil {
		t.Fatal(err)
	}
	wait, ok := failed.Next.(WaitUntil)
	if !ok || wait.Until <= now || !strings.Contains(wait.Reason, "connection refused") {
		t.Fatalf("%#v", failed.Next)
	}
	woken, err := guest.Advance(t.Context(), "", failed.State, wait.Until, Wake{})
	if err != nil || !reflect.DeepEqual(woken.Next, begun.Next) {
		t.Errorf("%#v, %v", woken, err)
	}
	_, err = guest.Advance(t.Context(), "", "no state", now, Start{})
	if failure, ok := err.(*Failure); !ok || failure.Kind != State {
		t.Error(err)
	}
}

// poll reads a TAXII server that holds one object, and gives the documents. A host without a memory has nil for rows.
func poll(t *testing.T, guest *Guest, state *string, rows map[string]Row, at uint64, modified, pattern string) []string {
	t.Helper()
	const id = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
	object, err := json.Marshal(map[string]string{
		"type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
		"created": "2025-06-01T00:00:00Z", "modified": modified, "valid_from": "2025-06-01T00:00:00Z",
		"pattern_type": "stix", "pattern": pattern,
	})
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]string{
		"/root/":                                `{"title":"Root","versions":["application/taxii+json;version=2.1"]}`,
		"/root/collections/":                    `{"collections":[{"id":"` + id + `","title":"All","can_read":true,"can_write":false}]}`,
		"/root/collections/" + id + "/objects/": `{"objects":[` + string(object) + `]}`,
	}
	var said []string
	var event Event = Start{}
	var answer Response
	for range 100 {
		step, err := guest.Advance(t.Context(), `{"url":"http://127.0.0.1/root/","transport":"taxii","feed":{"name":"Example"}}`, *state, at, event)
		if err != nil {
			t.Fatal(err)
		}
		*state = step.State
		if step.Batch != nil {
			for _, line := range lines(step.Batch.Documents) {
				var document struct {
					Event   struct{ Type []string }
					Threat  struct{ Indicator struct{ Name string } }
					Tipline struct {
						Reason string `json:"expiry_reason"`
					}
				}
				if err := json.Unmarshal([]byte(line), &document); err != nil {
					t.Fatal(err)
				}
				replaced := document.Tipline.Reason == "replaced"
				said = append(said, fmt.Sprintf("%s %v %v", document.Threat.Indicator.Name, document.Event.Type, replaced))
			}
		}
		// A host stores these together with the state, once the documents are where they belong.
		for _, row := range step.Remember {
			if row.Value == "" {
				delete(rows, row.Key)
			} else if rows != nil {
				rows[row.Key] = row
			}
		}
		switch next := step.Next.(type) {
		case Fetch:
			path, _, _ := strings.Cut(next.Target, "?")
			answer = Response{Status: 404, Headers: [][2]string{{"content-type", "application/taxii+json;version=2.1"}}}
			if body, ok := served[path]; ok {
				answer.Status, answer.Body = 200, []byte(body)
			}
			event = answer
		case Recall:
			recalled := Recalled{Response: answer}
			for _, key := range next.Keys {
				if row, ok := rows[key]; ok {
					recalled.Rows = append(recalled.Rows, row)
				}
			}
			event = recalled
		default:
			sort.Strings(said)
			return said
		}
	}
	t.Fatal("the poll does not end")
	return nil
}

func TestWhatALaterVersionNoLongerSaysIsEndedByAHostThatRemembers(t *testing.T) {
	guest := open(t, Trusted)
	for name, c := range map[string]struct {
		rows map[string]Row
		want []string
	}{
		"with a memory":    {map[string]Row{}, []string{"kept.example [indicator] false", "old.example [info] true"}},
		"without a memory": {nil, []string{"kept.example [indicator] false"}},
	} {
		var state string
		first := poll(t, guest, &state, c.rows, now, "2025-06-01T00:00:00Z", "[domain-name:value IN ('old.example', 'kept.example')]")
		if want := []string{"kept.example [indicator] false", "old.example [indicator] false"}; !reflect.DeepEqual(first, want) {
			t.Errorf("%s: %v", name, first)
		}
		second := poll(t, guest, &state, c.rows, now+3_600_000, "2025-06-10T00:00:00Z", "[domain-name:value = 'kept.example']")
		if !reflect.DeepEqual(second, c.want) {
			t.Errorf("%s: %v", name, second)
		}
	}
}

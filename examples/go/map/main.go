// Command map maps the page on standard input to documents, one a line. Rejects and counts go to standard error.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	tipline "github.com/tipline/tipline/examples/go"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	core := flag.String("core", "../export/socdefenders.core.wasm", "the core module")
	config := flag.String("config", "", "the settings, as JSON")
	observed := flag.String("observed", "", "when the feed showed the page, such as 2024-12-09T10:30:00Z; now if left out")
	sandboxed := flag.Duration("sandboxed", 0, "how long a guest you do not trust may take; no limit if left out")
	flag.Parse()
	at := time.Now()
	if *observed != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, *observed); err != nil {
			return fmt.Errorf("-observed %s is no time, such as 2024-12-09T10:30:00Z", *observed)
		}
	}
	page, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ctx := context.Background()
	limits, call := tipline.Trusted, ctx
	if *sandboxed > 0 {
		var cancel context.CancelFunc
		call, cancel = context.WithTimeout(ctx, *sandboxed)
		defer cancel()
		limits = tipline.Sandboxed
	}
	guest, err := tipline.Open(ctx, *core, limits)
	if err != nil {
		return err
	}
	defer guest.Close(ctx)
	batch, err := guest.MapRecords(call, *config, uint64(at.UnixMilli()), page)
	if err != nil {
		return err
	}
	fmt.Print(batch.Documents)
	for _, reject := range batch.Rejects {
		// With its quotes, and with escapes for what is no text.
		fmt.Fprintf(os.Stderr, "  %s: %s %q\n", reject.Code, reject.Detail, reject.Raw)
	}
	fmt.Fprintf(os.Stderr, "read %d, mapped %d, rejected %d, skipped %d; %d documents\n",
		batch.Read, batch.Mapped, batch.Rejected, batch.Skipped, len(batch.Heads))
	for _, skip := range batch.Skips {
		fmt.Fprintf(os.Stderr, "  skipped %d: %s\n", skip.Count, skip.Reason)
	}
	for _, note := range batch.Notes {
		fmt.Fprintf(os.Stderr, "  %s: %s\n", note.Code, note.Text)
	}
	return nil
}

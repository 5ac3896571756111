// Command compat runs the compatibility cases with the official gRPC client for Go. Standard output carries only the
// conversation with the harness: CASES names, then PASS, FAIL or SKIP for each, CONTROL words when the harness shall
// do something to the server and answer ok, and DONE.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// Long enough for a loaded machine; a condition that holds is noticed at once.
const limit = 60 * time.Second

// Most cases only wait.
const parallel = 8

var (
	settings = map[string]string{}
	run      = fmt.Sprintf("%x", time.Now().UnixMilli())
	out      = os.Stdout
	in       = bufio.NewReader(os.Stdin)
	say      sync.Mutex
	asking   sync.Mutex
)

type test struct {
	name string
	// Whether it uses TLS, which this client switches on for the whole process.
	tls  bool
	body func(*scope) error
}

func main() {
	// Whatever a library prints must not look like a result.
	os.Stdout = os.Stderr
	for _, argument := range os.Args[1:] {
		key, value, _ := strings.Cut(argument, "=")
		settings[key] = value
	}
	only := strings.FieldsFunc(settings["only"], func(r rune) bool { return r == ',' })
	var chosen []test
	var names []string
	for _, t := range tests {
		if len(only) == 0 || containsAny(t.name, only) {
			chosen = append(chosen, t)
			names = append(names, t.name)
		}
	}
	line("CASES %s", strings.Join(names, " "))
	for _, tls := range []bool{false, true} {
		rmq.EnableSsl = tls
		slots := make(chan struct{}, parallel)
		var all sync.WaitGroup
		for _, t := range chosen {
			if t.tls != tls {
				continue
			}
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				t.run()
			})
		}
		all.Wait()
	}
	line("DONE")
	// Clients that are still winding down must not hold up the harness.
	os.Exit(0)
}

func containsAny(name string, words []string) bool {
	for _, word := range words {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func line(format string, values ...any) {
	say.Lock()
	defer say.Unlock()
	fmt.Fprintf(out, format+"\n", values...)
}

// control lets the harness do something to the server and waits until it has.
func control(format string, values ...any) error {
	asking.Lock()
	defer asking.Unlock()
	line("CONTROL "+format, values...)
	answer, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "ok" {
		return fmt.Errorf("the harness answered %s", answer)
	}
	return nil
}

func (t test) run() {
	s := &scope{name: t.name}
	start := time.Now()
	err := t.guarded(s)
	if err != nil {
		line("FAIL %s: %s", t.name, strings.Join(strings.Fields(err.Error()), " "))
	} else {
		line("PASS %s", t.name)
	}
	fmt.Fprintf(os.Stderr, "%s took %d ms\n", t.name, time.Since(start).Milliseconds())
	// This client waits for its open polls, 20 s or so; no other case needs to.
	go s.close()
}

func (t test) guarded(s *scope) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return t.body(s)
}

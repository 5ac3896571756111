// Command compat runs the compatibility cases with the official Go client. Standard output carries only the
// conversation with the harness: CASES names, then PASS, FAIL or SKIP for each, and DONE.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// Long enough for a loaded machine; a condition that holds is noticed at once.
const limit = 60 * time.Second

const parallel = 4

var (
	nameserver, broker string
	instances          atomic.Int64
	run                = strconv.FormatInt(time.Now().UnixMilli(), 36)
	out                = os.Stdout
	say                sync.Mutex
)

func main() {
	// Whatever a library prints must not look like a result.
	os.Stdout = os.Stderr
	rlog.SetLogLevel("error")
	var only []string
	for _, argument := range os.Args[1:] {
		key, value, _ := strings.Cut(argument, "=")
		switch key {
		case "nameserver":
			nameserver = value
		case "broker":
			broker = value
		case "only":
			only = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		}
	}
	var chosen []test
	var names []string
	for _, t := range tests {
		if len(only) == 0 || containsAny(t.name, only) {
			chosen = append(chosen, t)
			names = append(names, t.name)
		}
	}
	line("CASES %s", strings.Join(names, " "))
	slots := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for _, t := range chosen {
		all.Add(1)
		slots <- struct{}{}
		go func() {
			defer all.Done()
			defer func() { <-slots }()
			t.run()
		}()
	}
	all.Wait()
	line("DONE")
	// The client's goroutines must not hold up the harness.
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

type test struct {
	name string
	body func(*scope) error
}

func (t test) run() {
	s := &scope{name: t.name}
	start := time.Now()
	err := t.guarded(s)
	s.close()
	if err != nil {
		line("FAIL %s: %s", t.name, strings.Join(strings.Fields(err.Error()), " "))
	} else {
		line("PASS %s", t.name)
	}
	fmt.Fprintf(os.Stderr, "%s took %d ms\n", t.name, time.Since(start).Milliseconds())
}

func (t test) guarded(s *scope) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return t.body(s)
}

// scope is what one case works with: names of its own, and clients that end with it.
type scope struct {
	name    string
	closers []func() error
}

func (s *scope) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil {
			fmt.Fprintf(os.Stderr, "%s: closing: %v\n", s.name, err)
		}
	}
}

func (s *scope) group(suffix string) string {
	return "GoG_" + s.name + suffix + "_" + run
}

func (s *scope) freshTopic() string {
	return "GoT_" + s.name + "_" + run
}

func resolver() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{nameserver})
}

// topic creates a topic and waits until it is routed.
func (s *scope) topic(queues int) (string, error) {
	topic := s.freshTopic()
	client, err := admin.NewAdmin(admin.WithResolver(resolver()))
	if err != nil {
		return "", err
	}
	defer client.Close()
	err = client.CreateTopic(context.Background(), admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(broker),
		admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues))
	if err != nil {
		return "", fmt.Errorf("create topic: %w", err)
	}
	return topic, s.awaitRoute(topic, queues)
}

// awaitRoute waits until the name server routes a topic with so many queues.
func (s *scope) awaitRoute(topic string, queues int) error {
	client, err := admin.NewAdmin(admin.WithResolver(resolver()))
	if err != nil {
		return err
	}
	defer client.Close()
	return await("route of "+topic, func() bool {
		found, err := client.FetchPublishMessageQueues(context.Background(), topic)
		return err == nil && len(found) == queues
	})
}

func instance() string {
	return "go_" + strconv.FormatInt(instances.Add(1), 10)
}

func (s *scope) producer(more ...producer.Option) (rocketmq.Producer, error) {
	options := append([]producer.Option{
		producer.WithNsResolver(resolver()),
		producer.WithGroupName("GoP_" + s.name),
		producer.WithInstanceName(instance()),
		producer.WithRetry(2),
		producer.WithSendMsgTimeout(10 * time.Second),
	}, more...)
	client, err := rocketmq.NewProducer(options...)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, client.Shutdown)
	return client, client.Start()
}

type handler func(context.Context, *primitive.MessageExt) consumer.ConsumeResult

func (s *scope) consumer(group, topic, filter string, handle handler, more ...consumer.Option) (rocketmq.PushConsumer, error) {
	options := append([]consumer.Option{
		consumer.WithNsResolver(resolver()),
		consumer.WithGroupName(group),
		consumer.WithInstance(instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumeMessageBatchMaxSize(1),
	}, more...)
	client, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return nil, err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: filter}
	err = client.Subscribe(topic, selector, func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		result := consumer.ConsumeSuccess
		for _, message := range messages {
			result = handle(ctx, message)
		}
		return result, nil
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, client.Shutdown)
	return client, client.Start()
}

// inbox keeps what was delivered, in order of delivery.
type inbox struct {
	mutex sync.Mutex
	items []*primitive.MessageExt
}

func (b *inbox) accept(_ context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.items = append(b.items, message)
	return consumer.ConsumeSuccess
}

func (b *inbox) all() []*primitive.MessageExt {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return append([]*primitive.MessageExt(nil), b.items...)
}

// awaitExactly waits for all bodies and checks that each came once and nothing else came.
func (b *inbox) awaitExactly(bodies []string) error {
	err := await(fmt.Sprintf("delivery of %d messages", len(bodies)), func() bool {
		return len(b.all()) >= len(bodies)
	})
	if err != nil {
		return fmt.Errorf("%w: only %d", err, len(b.all()))
	}
	wanted := map[string]bool{}
	for _, body := range bodies {
		wanted[body] = true
	}
	for _, message := range b.all() {
		body := string(message.Body)
		if !wanted[body] {
			return fmt.Errorf("%q was not expected or came twice", body)
		}
		delete(wanted, body)
	}
	return nil
}

func await(what string, condition func() bool) error {
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not happen within %s", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func texts(prefix string, count int) []string {
	var bodies []string
	for i := range count {
		bodies = append(bodies, prefix+strconv.Itoa(i))
	}
	return bodies
}

func stored(result *primitive.SendResult, err error) error {
	if err != nil {
		return err
	}
	if result.Status != primitive.SendOK {
		return errors.New(result.String())
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

const (
	// The shortest time the server may keep a message from others.
	short = 10 * time.Second
	long  = 120 * time.Second
	await = 5 * time.Second
)

// scope is what one case works with: names of its own, and clients that end with it.
type scope struct {
	name    string
	closers []func() error
}

func (s *scope) close() {
	for _, closer := range slices.Backward(s.closers) {
		if err := closer(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: closing: %v\n", s.name, err)
		}
	}
}

func (s *scope) freshTopic(suffix string) string {
	return "GT_" + s.name + suffix + "_" + run
}

func (s *scope) freshGroup() string {
	return "GG_" + s.name + "_" + run
}

func (s *scope) topic(kind string, queues int) (string, error) {
	return s.topicNamed("", kind, queues)
}

func (s *scope) topicNamed(suffix, kind string, queues int) (string, error) {
	topic := s.freshTopic(suffix)
	return topic, control("topic %s %s %d", topic, kind, queues)
}

func (s *scope) group(kind string) (string, error) {
	group := s.freshGroup()
	return group, control("group %s %s 16", group, kind)
}

// both creates a topic and a concurrent group.
func (s *scope) both(kind string) (topic, group string, err error) {
	if topic, err = s.topic(kind, 4); err != nil {
		return
	}
	group, err = s.group("concurrent")
	return
}

// door is where a client connects, and as whom.
type door struct{ endpoint, access, secret string }

func open() door {
	// The client demands some credentials; the server does not look at them.
	return door{settings["grpc"], "anyone", "anything"}
}

func secured() door {
	return door{settings["secured"], settings["access"], settings["secret"]}
}

func (d door) config(group string) *rmq.Config {
	return &rmq.Config{
		Endpoint:      d.endpoint,
		ConsumerGroup: group,
		Credentials:   &credentials.SessionCredentials{AccessKey: d.access, AccessSecret: d.secret},
	}
}

func (s *scope) producer(topics ...string) (rmq.Producer, error) {
	return s.producerAt(open(), rmq.WithTopics(topics...))
}

func (s *scope) producerAt(d door, options ...rmq.ProducerOption) (rmq.Producer, error) {
	client, err := rmq.NewProducer(d.config(""), options...)
	if err != nil {
		return nil, err
	}
	if err := client.Start(); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, client.GracefulStop)
	return client, nil
}

func (s *scope) simple(group, topic string) (rmq.SimpleConsumer, error) {
	return s.simpleAt(open(), group, topic, rmq.SUB_ALL)
}

func (s *scope) simpleAt(d door, group, topic string, filter *rmq.FilterExpression) (rmq.SimpleConsumer, error) {
	client, err := rmq.NewSimpleConsumer(d.config(group), rmq.WithSimpleAwaitDuration(await),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	if err != nil {
		return nil, err
	}
	if err := client.Start(); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, client.GracefulStop)
	return client, nil
}

func (s *scope) push(d door, group, topic string, consume func(*rmq.MessageView) rmq.ConsumerResult) error {
	client, err := rmq.NewPushConsumer(d.config(group), rmq.WithPushAwaitDuration(await),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: rmq.SUB_ALL}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: consume}))
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	s.closers = append(s.closers, client.GracefulStop)
	return nil
}

func message(topic, body string) *rmq.Message {
	return &rmq.Message{Topic: topic, Body: []byte(body)}
}

func send(producer rmq.Producer, message *rmq.Message) (*rmq.SendReceipt, error) {
	context, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	receipts, err := producer.Send(context, message)
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	if len(receipts) != 1 {
		return nil, fmt.Errorf("%d receipts for one message", len(receipts))
	}
	return receipts[0], nil
}

// poll receives once; no message is no error.
func poll(consumer rmq.SimpleConsumer, count int32, invisible time.Duration) ([]*rmq.MessageView, error) {
	messages, err := consumer.Receive(context.Background(), count, invisible)
	// This client makes an error of an empty answer.
	if status, ok := rmq.AsErrRpcStatus(err); ok && status.GetCode() == 40401 {
		return nil, nil
	}
	return messages, err
}

// receive polls until so many messages came, without acknowledging any.
func receive(consumer rmq.SimpleConsumer, count int, invisible time.Duration) ([]*rmq.MessageView, error) {
	var all []*rmq.MessageView
	for deadline := time.Now().Add(limit); len(all) < count; {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("only %d of %d messages within %s", len(all), count, limit)
		}
		messages, err := poll(consumer, 16, invisible)
		if err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
		all = append(all, messages...)
	}
	return all, equal(count, len(all), "messages")
}

// take receives and acknowledges so many messages.
func take(consumer rmq.SimpleConsumer, count int) ([]*rmq.MessageView, error) {
	messages, err := receive(consumer, count, long)
	for _, message := range messages {
		if err == nil {
			err = consumer.Ack(context.Background(), message)
		}
	}
	return messages, err
}

// nothingMore polls once and checks that nothing comes.
func nothingMore(consumer rmq.SimpleConsumer, why string) error {
	messages, err := poll(consumer, 16, long)
	if err != nil {
		return err
	}
	return equal("", strings.Join(texts(messages), " "), why)
}

func texts(messages []*rmq.MessageView) []string {
	var texts []string
	for _, message := range messages {
		texts = append(texts, string(message.GetBody()))
	}
	return texts
}

// arrival is one delivery.
type arrival struct {
	message *rmq.MessageView
	text    string
	attempt int32
	at      time.Time
}

// inbox keeps what was delivered, in order of delivery.
type inbox struct {
	mutex sync.Mutex
	items []arrival
}

func (b *inbox) add(message *rmq.MessageView) arrival {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	item := arrival{message, string(message.GetBody()), message.GetDeliveryAttempt(), time.Now()}
	b.items = append(b.items, item)
	return item
}

func (b *inbox) accept(message *rmq.MessageView) rmq.ConsumerResult {
	b.add(message)
	return rmq.SUCCESS
}

func (b *inbox) all() []arrival {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return slices.Clone(b.items)
}

func (b *inbox) texts() []string {
	var texts []string
	for _, item := range b.all() {
		texts = append(texts, item.text)
	}
	return texts
}

// awaitItem waits for a delivery that is wanted.
func (b *inbox) awaitItem(what string, wanted func(arrival) bool) (item arrival, err error) {
	err = eventually(what, limit, func() bool {
		at := slices.IndexFunc(b.all(), wanted)
		if at >= 0 {
			item = b.all()[at]
		}
		return at >= 0
	})
	if err != nil {
		err = fmt.Errorf("%w, only %v", err, b.texts())
	}
	return
}

// awaitExactly waits for all bodies and checks that each came once and nothing else came.
func (b *inbox) awaitExactly(bodies ...string) error {
	for _, body := range bodies {
		if _, err := b.awaitItem("delivery of "+body, func(item arrival) bool { return item.text == body }); err != nil {
			return err
		}
	}
	got := b.texts()
	slices.Sort(got)
	slices.Sort(bodies)
	return equal(fmt.Sprint(bodies), fmt.Sprint(got), "deliveries")
}

func eventually(what string, within time.Duration, condition func() bool) error {
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not happen within %s", what, within)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func equal[T comparable](expected, got T, what string) error {
	if expected != got {
		return fmt.Errorf("%s: expected %v, got %v", what, expected, got)
	}
	return nil
}

func between(low, high, got time.Duration, what string) error {
	if got < low || got > high {
		return fmt.Errorf("%s: expected %s to %s, got %s", what, low, high, got)
	}
	return nil
}

// refused checks that an action failed and that the failure names what was wrong.
func refused(err error, with, what string) error {
	if err == nil {
		return fmt.Errorf("%s was accepted", what)
	}
	if !strings.Contains(err.Error(), with) {
		return fmt.Errorf("%s was refused otherwise: %w", what, err)
	}
	return nil
}

// value is what a pointer points to, or the word none.
func value(pointer *string) string {
	if pointer == nil {
		return "none"
	}
	return *pointer
}

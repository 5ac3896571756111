package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// How much later than its lease says a message may come back.
const late = 20 * time.Second

// The longest first, so that they overlap with all others.
var tests = []test{
	{name: "simple_redelivery_after_invisible_time", body: redelivery},
	{name: "simple_change_invisible_duration", body: change},
	{name: "transaction_check_back_unknown_then_commit", body: checkBack},
	{name: "push_failure_is_redelivered", body: retry},
	{name: "push_fifo_failure_blocks_its_group", body: fifoRetry},
	{name: "recall_of_a_delayed_message", body: recall},
	{name: "delay_is_not_early", body: delay},
	{name: "transaction_commit", body: commit},
	{name: "transaction_rollback", body: rollback},
	{name: "normal_round_trip", body: roundTrip},
	{name: "large_and_binary_bodies", body: bodies},
	{name: "fifo_keeps_order_per_group", body: fifo},
	{name: "push_concurrent", body: concurrent},
	{name: "tag_filter", body: tagFilter},
	{name: "sql_filter", body: sqlFilter},
	{name: "unknown_topic_is_an_error", body: unknownTopic},
	{name: "wrong_message_type_is_refused", body: wrongType},
	{name: "auth_right", body: authRight},
	{name: "auth_wrong", body: authWrong},
	{name: "auth_right_over_tls", body: authRight, tls: true},
	{name: "tls_round_trip", body: tlsRoundTrip, tls: true},
}

func roundTrip(s *scope) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	consumer, err := s.simple(group, topic)
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	ids := map[string]string{}
	for i := range 10 {
		body := fmt.Sprint("n-", i)
		m := message(topic, body)
		m.SetTag("tag-é")
		m.SetKeys("key-"+body, "second")
		m.AddProperty("colour", "grün")
		receipt, err := send(producer, m)
		if err != nil {
			return err
		}
		ids[body] = receipt.MessageID
	}
	messages, err := take(consumer, 10)
	if err != nil {
		return err
	}
	for _, m := range messages {
		body := string(m.GetBody())
		err := errors.Join(
			equal(ids[body], m.GetMessageId(), "message id of "+body),
			equal(topic, m.GetTopic(), "topic"),
			equal("tag-é", value(m.GetTag()), "tag"),
			equal("key-"+body+" second", strings.Join(m.GetKeys(), " "), "keys"),
			equal("grün", m.GetProperties()["colour"], "property"),
			equal(1, m.GetDeliveryAttempt(), "attempt"),
			equal("none", value(m.GetMessageGroup()), "message group"))
		if err != nil {
			return err
		}
		delete(ids, body)
	}
	if err := equal(0, len(ids), "messages that did not come"); err != nil {
		return err
	}
	return nothingMore(consumer, "after the acknowledgements")
}

func bodies(s *scope) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	consumer, err := s.simple(group, topic)
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	// This client refuses to send more than 2 MiB in all.
	large := make([]byte, 2<<20-64<<10)
	rand.New(rand.NewSource(7)).Read(large)
	for _, body := range [][]byte{{0}, every, make([]byte, 1<<20), large} {
		if _, err := send(producer, &rmq.Message{Topic: topic, Body: body}); err != nil {
			return err
		}
		messages, err := take(consumer, 1)
		if err != nil {
			return err
		}
		if got := messages[0].GetBody(); !bytes.Equal(body, got) {
			return fmt.Errorf("a body of %d bytes came back as another one of %d", len(body), len(got))
		}
	}
	return nil
}

func fifo(s *scope) error {
	topic, err := s.topic("FIFO", 4)
	if err != nil {
		return err
	}
	group, err := s.group("orderly")
	if err != nil {
		return err
	}
	var box inbox
	if err := s.push(open(), group, topic, box.accept); err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	var all []string
	for sequence := range 20 {
		for key := range 4 {
			m := message(topic, fmt.Sprintf("%d:%d", key, sequence))
			m.SetMessageGroup(fmt.Sprint("group-", key))
			if _, err := send(producer, m); err != nil {
				return err
			}
			all = append(all, string(m.Body))
		}
	}
	if err := box.awaitExactly(all...); err != nil {
		return err
	}
	next := map[string]int{}
	for _, item := range box.all() {
		key, sequence, _ := strings.Cut(item.text, ":")
		if err := equal(fmt.Sprint(next[key]), sequence, "next of group "+key); err != nil {
			return err
		}
		if err := equal("group-"+key, value(item.message.GetMessageGroup()), "message group"); err != nil {
			return err
		}
		next[key]++
	}
	return nil
}

func redelivery(s *scope) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	consumer, err := s.simple(group, topic)
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	if _, err := send(producer, message(topic, "again")); err != nil {
		return err
	}
	first, err := receive(consumer, 1, short)
	if err != nil {
		return err
	}
	leased := time.Now()
	second, err := receive(consumer, 1, long)
	if err != nil {
		return err
	}
	err = errors.Join(
		// The lease began up to a round trip before the answer arrived.
		between(short-time.Second, short+late, time.Since(leased), "time to redelivery"),
		equal(1, first[0].GetDeliveryAttempt(), "first attempt"),
		equal(2, second[0].GetDeliveryAttempt(), "second attempt"),
		equal(first[0].GetMessageId(), second[0].GetMessageId(), "message id"),
		consumer.Ack(context.Background(), second[0]))
	if err != nil {
		return err
	}
	return nothingMore(consumer, "after the acknowledgement")
}

func change(s *scope) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	consumer, err := s.simple(group, topic)
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	if _, err := send(producer, message(topic, "sooner")); err != nil {
		return err
	}
	first, err := receive(consumer, 1, long)
	if err != nil {
		return err
	}
	changed := time.Now()
	if err := consumer.ChangeInvisibleDuration(first[0], 3*time.Second); err != nil {
		return err
	}
	second, err := take(consumer, 1)
	if err != nil {
		return err
	}
	return errors.Join(
		between(2500*time.Millisecond, 3*time.Second+late, time.Since(changed), "time to redelivery"),
		equal(2, second[0].GetDeliveryAttempt(), "second attempt"))
}

func concurrent(s *scope) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	return s.pushes(open(), topic, group, 100)
}

// pushes sends so many messages and has a push consumer receive them.
func (s *scope) pushes(d door, topic, group string, count int) error {
	var box inbox
	if err := s.push(d, group, topic, box.accept); err != nil {
		return err
	}
	producer, err := s.producerAt(d, rmq.WithTopics(topic))
	if err != nil {
		return err
	}
	var all []string
	for i := range count {
		all = append(all, fmt.Sprint("p-", i))
		if _, err := send(producer, message(topic, all[i])); err != nil {
			return err
		}
	}
	return box.awaitExactly(all...)
}

func retry(s *scope) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	var box inbox
	err = s.push(open(), group, topic, func(m *rmq.MessageView) rmq.ConsumerResult {
		if item := box.add(m); item.text == "fails" && item.attempt == 1 {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	})
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	for _, body := range []string{"good", "fails"} {
		if _, err := send(producer, message(topic, body)); err != nil {
			return err
		}
	}
	first, err := box.awaitItem("first delivery", func(item arrival) bool { return item.text == "fails" })
	if err != nil {
		return err
	}
	second, err := box.awaitItem("second delivery", func(item arrival) bool {
		return item.text == "fails" && item.attempt == 2
	})
	if err != nil {
		return err
	}
	return errors.Join(
		// The first step of the usual back-off is a second.
		between(900*time.Millisecond, limit, second.at.Sub(first.at), "time to redelivery"),
		equal(first.message.GetMessageId(), second.message.GetMessageId(), "message id"),
		equal(3, len(box.all()), "deliveries"))
}

func fifoRetry(s *scope) error {
	topic, err := s.topic("FIFO", 1)
	if err != nil {
		return err
	}
	group, err := s.group("orderly")
	if err != nil {
		return err
	}
	var box inbox
	var once sync.Once
	err = s.push(open(), group, topic, func(m *rmq.MessageView) rmq.ConsumerResult {
		result := rmq.SUCCESS
		if item := box.add(m); item.text == "f-1" {
			once.Do(func() { result = rmq.FAILURE })
		}
		return result
	})
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	next := func(body string) error {
		m := message(topic, body)
		m.SetMessageGroup("one")
		_, err := send(producer, m)
		return err
	}
	came := func(body string) error {
		_, err := box.awaitItem("delivery of "+body, func(item arrival) bool { return item.text == body })
		return err
	}
	// Of what came in one batch, this client passes the next one to the listener while the failed one waits; the
	// server must not send another batch.
	for _, step := range []error{next("f-0"), next("f-1"), came("f-1"), next("f-2"), next("f-3"), came("f-3")} {
		if step != nil {
			return step
		}
	}
	return equal("f-0 f-1 f-1 f-2 f-3", strings.Join(box.texts(), " "), "order")
}

func delay(s *scope) error {
	topic, group, err := s.both("DELAY")
	if err != nil {
		return err
	}
	var box inbox
	if err := s.push(open(), group, topic, box.accept); err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	due := map[string]time.Time{}
	for _, seconds := range []int{2, 4, 7} {
		m := message(topic, fmt.Sprint("in ", seconds))
		at := time.Now().Add(time.Duration(seconds) * time.Second).Truncate(time.Millisecond)
		m.SetDelayTimestamp(at)
		due[string(m.Body)] = at
		if _, err := send(producer, m); err != nil {
			return err
		}
	}
	if err := box.awaitExactly("in 2", "in 4", "in 7"); err != nil {
		return err
	}
	for _, item := range box.all() {
		if err := between(0, 8*time.Second, item.at.Sub(due[item.text]), "lateness of "+item.text); err != nil {
			return err
		}
	}
	return nil
}

func recall(s *scope) error {
	topic, group, err := s.both("DELAY")
	if err != nil {
		return err
	}
	var box inbox
	if err := s.push(open(), group, topic, box.accept); err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	recalled, fence := message(topic, "recalled"), message(topic, "fence")
	at := time.Now().Add(8 * time.Second)
	recalled.SetDelayTimestamp(at)
	// Due later, so that its arrival says that the other would have come.
	fence.SetDelayTimestamp(at.Add(4 * time.Second))
	receipt, err := send(producer, recalled)
	if err != nil {
		return err
	}
	if _, err := send(producer, fence); err != nil {
		return err
	}
	id, err := producer.Recall(context.Background(), topic, receipt.RecallHandle)
	if err != nil {
		return err
	}
	return errors.Join(equal(receipt.MessageID, id, "message id of the recall"), box.awaitExactly("fence"))
}

// undecided is a producer with a checker, and a consumer.
func (s *scope) undecided(check func(*rmq.MessageView) rmq.TransactionResolution) (
	topic string, producer rmq.Producer, consumer rmq.SimpleConsumer, err error) {
	topic, group, err := s.both("TRANSACTION")
	if err != nil {
		return
	}
	if consumer, err = s.simple(group, topic); err != nil {
		return
	}
	producer, err = s.producerAt(open(), rmq.WithTopics(topic),
		rmq.WithTransactionChecker(&rmq.TransactionChecker{Check: check}))
	return
}

func unknown(*rmq.MessageView) rmq.TransactionResolution { return rmq.UNKNOWN }

func commit(s *scope) error {
	topic, producer, consumer, err := s.undecided(unknown)
	if err != nil {
		return err
	}
	transaction := producer.BeginTransaction()
	receipts, err := producer.SendWithTransaction(context.Background(), message(topic, "commit"), transaction)
	if err != nil {
		return err
	}
	if err := nothingMore(consumer, "before the commit"); err != nil {
		return err
	}
	if err := transaction.Commit(); err != nil {
		return err
	}
	messages, err := take(consumer, 1)
	if err != nil {
		return err
	}
	return errors.Join(equal("commit", string(messages[0].GetBody()), "body"),
		equal(receipts[0].MessageID, messages[0].GetMessageId(), "message id"))
}

func rollback(s *scope) error {
	topic, producer, consumer, err := s.undecided(unknown)
	if err != nil {
		return err
	}
	back, forth := producer.BeginTransaction(), producer.BeginTransaction()
	if _, err := producer.SendWithTransaction(context.Background(), message(topic, "rolled back"), back); err != nil {
		return err
	}
	if err := back.RollBack(); err != nil {
		return err
	}
	if _, err := producer.SendWithTransaction(context.Background(), message(topic, "committed"), forth); err != nil {
		return err
	}
	if err := forth.Commit(); err != nil {
		return err
	}
	messages, err := take(consumer, 1)
	if err != nil {
		return err
	}
	return errors.Join(equal("committed", string(messages[0].GetBody()), "body"),
		nothingMore(consumer, "after a rollback"))
}

func checkBack(s *scope) error {
	var mutex sync.Mutex
	var checks []string
	topic, producer, consumer, err := s.undecided(func(m *rmq.MessageView) rmq.TransactionResolution {
		mutex.Lock()
		defer mutex.Unlock()
		checks = append(checks, m.GetMessageId()+" "+string(m.GetBody()))
		if len(checks) == 1 {
			return rmq.UNKNOWN
		}
		return rmq.COMMIT
	})
	if err != nil {
		return err
	}
	receipts, err := producer.SendWithTransaction(context.Background(), message(topic, "asked"),
		producer.BeginTransaction())
	if err != nil {
		return err
	}
	// The second check may come as late as the server's usual interval allows.
	err = eventually("two checks", 90*time.Second, func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return len(checks) >= 2
	})
	if err != nil {
		return err
	}
	messages, err := take(consumer, 1)
	if err != nil {
		return err
	}
	mutex.Lock()
	defer mutex.Unlock()
	for _, check := range checks {
		if err := equal(receipts[0].MessageID+" asked", check, "the message that was asked about"); err != nil {
			return err
		}
	}
	return equal("asked", string(messages[0].GetBody()), "body")
}

func tagFilter(s *scope) error {
	return s.filtered(rmq.NewFilterExpression("a||b"), []string{"a", "b"}, func(m *rmq.Message, tag string) {
		m.SetTag(tag)
	})
}

func sqlFilter(s *scope) error {
	filter := rmq.NewFilterExpressionWithType("price > 10 AND region IN ('a', 'b')", rmq.SQL92)
	return s.filtered(filter, []string{"a", "b"}, func(m *rmq.Message, region string) {
		m.AddProperty("price", "11")
		m.AddProperty("region", region)
	})
}

// filtered sends messages marked a, b, c and A, and checks that only the wanted ones pass the filter.
func (s *scope) filtered(filter *rmq.FilterExpression, wanted []string, mark func(*rmq.Message, string)) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	consumer, err := s.simpleAt(open(), group, topic, filter)
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	var expected []string
	for _, key := range []string{"a", "b", "c", "A"} {
		for i := range 4 {
			m := message(topic, fmt.Sprint(key, i))
			mark(m, key)
			if _, err := send(producer, m); err != nil {
				return err
			}
			if slices.Contains(wanted, key) {
				expected = append(expected, string(m.Body))
			}
		}
	}
	messages, err := take(consumer, len(expected))
	if err != nil {
		return err
	}
	got := texts(messages)
	slices.Sort(got)
	return errors.Join(equal(fmt.Sprint(expected), fmt.Sprint(got), "what passed the filter"),
		nothingMore(consumer, "beyond the filter"))
}

func unknownTopic(s *scope) error {
	known, err := s.topicNamed("-known", "NORMAL", 1)
	if err != nil {
		return err
	}
	producer, err := s.producer(known)
	if err != nil {
		return err
	}
	topic := s.freshTopic("")
	_, sent := send(producer, message(topic, "lost"))
	_, started := s.producer(topic)
	_, consuming := s.simple(s.freshGroup(), topic)
	return errors.Join(refused(sent, "TOPIC_NOT_FOUND", "a send"),
		refused(started, "TOPIC_NOT_FOUND", "a producer's start"),
		refused(consuming, "TOPIC_NOT_FOUND", "a simple consumer's start"))
}

func wrongType(s *scope) error {
	topic, err := s.topic("NORMAL", 1)
	if err != nil {
		return err
	}
	producer, err := s.producer(topic)
	if err != nil {
		return err
	}
	fifo, delayed := message(topic, "m"), message(topic, "m")
	fifo.SetMessageGroup("g")
	delayed.SetDelayTimestamp(time.Now().Add(time.Minute))
	_, first := send(producer, fifo)
	_, second := send(producer, delayed)
	_, third := send(producer, message(topic, "m"))
	return errors.Join(refused(first, "type", "a FIFO message to a normal topic"),
		refused(second, "type", "a delayed message to a normal topic"), third)
}

// secret creates a topic and a group on the server that wants signatures.
func (s *scope) secret() (topic, group string, err error) {
	topic, group = s.freshTopic(""), s.freshGroup()
	return topic, group, errors.Join(control("secured-topic %s NORMAL 4", topic),
		control("secured-group %s concurrent 16", group))
}

func authRight(s *scope) error {
	topic, group, err := s.secret()
	if err != nil {
		return err
	}
	return s.pushes(secured(), topic, group, 10)
}

func authWrong(s *scope) error {
	topic, group, err := s.secret()
	if err != nil {
		return err
	}
	right := secured()
	for _, wrong := range []door{
		{right.endpoint, right.access, "not-the-secret"}, {right.endpoint, "nobody", right.secret},
	} {
		_, producer := s.producerAt(wrong, rmq.WithTopics(topic))
		_, consumer := s.simpleAt(wrong, group, topic, rmq.SUB_ALL)
		err := errors.Join(refused(producer, "UNAUTHORIZED", "a producer"), refused(consumer, "UNAUTHORIZED", "a consumer"))
		if err != nil {
			return err
		}
	}
	return nil
}

func tlsRoundTrip(s *scope) error {
	topic, group, err := s.both("NORMAL")
	if err != nil {
		return err
	}
	return s.pushes(open(), topic, group, 10)
}

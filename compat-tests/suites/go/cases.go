package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var tests = []test{
	{"push_retry", retry},
	{"produce_sync", produceSync},
	{"produce_async", produceAsync},
	{"produce_oneway", produceOneway},
	{"produce_batch", produceBatch},
	{"produce_compressed", produceCompressed},
	{"produce_delayed", produceDelayed},
	{"produce_to_auto_created_topic", produceAutoCreated},
	{"push_tag_filter", tagFilter},
	{"push_orderly", orderly},
	{"push_broadcast", broadcast},
	{"push_offsets_resume", resume},
}

var background = context.Background()

func sendAll(s *scope, topic string, bodies []string, more ...producer.Option) error {
	client, err := s.producer(more...)
	if err != nil {
		return err
	}
	for _, body := range bodies {
		if err := stored(client.SendSync(background, primitive.NewMessage(topic, []byte(body)))); err != nil {
			return err
		}
	}
	return nil
}

func produceSync(s *scope) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "*", box.accept); err != nil {
		return err
	}
	client, err := s.producer()
	if err != nil {
		return err
	}
	bodies := texts("sync-", 50)
	ids := map[string]string{}
	for _, body := range bodies {
		message := primitive.NewMessage(topic, []byte(body)).WithTag("tag").WithKeys([]string{"key-" + body})
		message.WithProperty("name", "größe "+body)
		result, err := client.SendSync(background, message)
		if err := stored(result, err); err != nil {
			return err
		}
		ids[body] = result.MsgID
	}
	if err := box.awaitExactly(bodies); err != nil {
		return err
	}
	for _, message := range box.all() {
		body := string(message.Body)
		if message.MsgId != ids[body] || message.Topic != topic || message.GetTags() != "tag" ||
			message.GetKeys() != "key-"+body || message.GetProperty("name") != "größe "+body {
			return fmt.Errorf("%s came back as %s", body, message)
		}
	}
	return nil
}

func produceAsync(s *scope) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	client, err := s.producer()
	if err != nil {
		return err
	}
	bodies := texts("async-", 100)
	var done, failed atomic.Int64
	for _, body := range bodies {
		err := client.SendAsync(background, func(_ context.Context, result *primitive.SendResult, err error) {
			if stored(result, err) != nil {
				failed.Add(1)
			}
			done.Add(1)
		}, primitive.NewMessage(topic, []byte(body)))
		if err != nil {
			return err
		}
	}
	if err := await("100 callbacks", func() bool { return done.Load() == 100 }); err != nil {
		return err
	}
	if failed.Load() != 0 {
		return fmt.Errorf("%d sends failed", failed.Load())
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "*", box.accept); err != nil {
		return err
	}
	return box.awaitExactly(bodies)
}

func produceOneway(s *scope) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	client, err := s.producer()
	if err != nil {
		return err
	}
	bodies := texts("oneway-", 50)
	for _, body := range bodies {
		if err := client.SendOneWay(background, primitive.NewMessage(topic, []byte(body))); err != nil {
			return err
		}
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "*", box.accept); err != nil {
		return err
	}
	return box.awaitExactly(bodies)
}

func produceBatch(s *scope) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	client, err := s.producer()
	if err != nil {
		return err
	}
	bodies := texts("batch-", 20)
	var messages []*primitive.Message
	for _, body := range bodies {
		messages = append(messages, primitive.NewMessage(topic, []byte(body)).WithTag("tag"))
	}
	if err := stored(client.SendSync(background, messages...)); err != nil {
		return err
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "tag", box.accept); err != nil {
		return err
	}
	if err := box.awaitExactly(bodies); err != nil {
		return err
	}
	for _, message := range box.all() {
		if message.Queue.QueueId != box.all()[0].Queue.QueueId {
			return fmt.Errorf("batch was spread over queues")
		}
	}
	return nil
}

func produceCompressed(s *scope) error {
	topic, err := s.topic(1)
	if err != nil {
		return err
	}
	body := strings.Repeat("all work and no play; ", 3000)
	if err := sendAll(s, topic, []string{body}); err != nil {
		return err
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "*", box.accept); err != nil {
		return err
	}
	if err := await("delivery", func() bool { return len(box.all()) == 1 }); err != nil {
		return err
	}
	message := box.all()[0]
	if !bytes.Equal(message.Body, []byte(body)) {
		return fmt.Errorf("body of %d bytes came back with %d", len(body), len(message.Body))
	}
	if int(message.StoreSize) > len(body)/4 {
		return fmt.Errorf("stored in %d bytes", message.StoreSize)
	}
	return nil
}

func produceDelayed(s *scope) error {
	topic, err := s.topic(1)
	if err != nil {
		return err
	}
	arrived := make(chan time.Time, 16)
	_, err = s.consumer(s.group(""), topic, "*", func(context.Context, *primitive.MessageExt) consumer.ConsumeResult {
		arrived <- time.Now()
		return consumer.ConsumeSuccess
	})
	if err != nil {
		return err
	}
	client, err := s.producer()
	if err != nil {
		return err
	}
	start := time.Now().Truncate(time.Millisecond)
	message := primitive.NewMessage(topic, []byte("late")).WithDelayTimeLevel(2)
	if err := stored(client.SendSync(background, message)); err != nil {
		return err
	}
	select {
	case at := <-arrived:
		if late := at.Sub(start); late < 5*time.Second || late > 10*time.Second {
			return fmt.Errorf("came after %s", late)
		}
		return nil
	case <-time.After(limit):
		return fmt.Errorf("did not come within %s", limit)
	}
}

func produceAutoCreated(s *scope) error {
	topic := s.freshTopic()
	bodies := texts("auto-", 10)
	if err := sendAll(s, topic, bodies); err != nil {
		return err
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "*", box.accept); err != nil {
		return err
	}
	return box.awaitExactly(bodies)
}

func tagFilter(s *scope) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "a || b", box.accept); err != nil {
		return err
	}
	client, err := s.producer()
	if err != nil {
		return err
	}
	var wanted []string
	for i := range 40 {
		tag := []string{"a", "b", "c", "d"}[i%4]
		body := tag + strconv.Itoa(i)
		if i%4 < 2 {
			wanted = append(wanted, body)
		}
		message := primitive.NewMessage(topic, []byte(body)).WithTag(tag)
		if err := stored(client.SendSync(background, message)); err != nil {
			return err
		}
	}
	return box.awaitExactly(wanted)
}

func orderly(s *scope) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	var box inbox
	if _, err := s.consumer(s.group(""), topic, "*", box.accept, consumer.WithConsumerOrder(true)); err != nil {
		return err
	}
	client, err := s.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	if err != nil {
		return err
	}
	var bodies []string
	for sequence := range 20 {
		for key := range 6 {
			body := fmt.Sprintf("%d:%d", key, sequence)
			bodies = append(bodies, body)
			message := primitive.NewMessage(topic, []byte(body))
			message.WithShardingKey("key" + strconv.Itoa(key))
			if err := stored(client.SendSync(background, message)); err != nil {
				return err
			}
		}
	}
	if err := box.awaitExactly(bodies); err != nil {
		return err
	}
	next := map[string]int{}
	for _, message := range box.all() {
		key, sequence, _ := strings.Cut(string(message.Body), ":")
		if sequence != strconv.Itoa(next[key]) {
			return fmt.Errorf("key %s: %s came when %d was next", key, sequence, next[key])
		}
		next[key]++
	}
	return nil
}

func broadcast(s *scope) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	boxes := [2]inbox{}
	for i := range boxes {
		_, err := s.consumer(s.group(""), topic, "*", boxes[i].accept, consumer.WithConsumerModel(consumer.BroadCasting))
		if err != nil {
			return err
		}
	}
	bodies := texts("all-", 20)
	if err := sendAll(s, topic, bodies); err != nil {
		return err
	}
	for i := range boxes {
		if err := boxes[i].awaitExactly(bodies); err != nil {
			return fmt.Errorf("consumer %d: %w", i, err)
		}
	}
	return nil
}

func retry(s *scope) error {
	topic, err := s.topic(1)
	if err != nil {
		return err
	}
	var box inbox
	// The group's retry topic is created by its first heartbeat, too late for the consumer that sends it: left alone,
	// the client would look for it again after 30 s.
	first, err := s.consumer(s.group(""), topic, "*", box.accept)
	if err != nil {
		return err
	}
	if err := s.awaitRoute("%RETRY%"+s.group(""), 1); err != nil {
		return err
	}
	if err := first.Shutdown(); err != nil {
		return err
	}
	_, err = s.consumer(s.group(""), topic, "*", func(ctx context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
		box.accept(ctx, message)
		if message.ReconsumeTimes > 0 {
			return consumer.ConsumeSuccess
		}
		if concurrent, ok := primitive.GetConcurrentlyCtx(ctx); ok {
			concurrent.DelayLevelWhenNextConsume = 1
		}
		return consumer.ConsumeRetryLater
	})
	if err != nil {
		return err
	}
	if err := sendAll(s, topic, []string{"again"}); err != nil {
		return err
	}
	if err := await("redelivery", func() bool { return len(box.all()) >= 2 }); err != nil {
		return err
	}
	second := box.all()[1]
	if string(second.Body) != "again" || second.ReconsumeTimes != 1 {
		return fmt.Errorf("redelivered as %s", second)
	}
	return nil
}

func resume(s *scope) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	bodies := texts("m-", 40)
	if err := sendAll(s, topic, bodies[:20]); err != nil {
		return err
	}
	var before, after inbox
	first, err := s.consumer(s.group(""), topic, "*", before.accept)
	if err != nil {
		return err
	}
	if err := before.awaitExactly(bodies[:20]); err != nil {
		return err
	}
	// Its shutdown sends the positions.
	if err := first.Shutdown(); err != nil {
		return err
	}
	if err := sendAll(s, topic, bodies[20:]); err != nil {
		return err
	}
	if _, err := s.consumer(s.group(""), topic, "*", after.accept); err != nil {
		return err
	}
	return after.awaitExactly(bodies[20:])
}

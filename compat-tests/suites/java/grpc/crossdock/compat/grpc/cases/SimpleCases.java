package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** Receiving by hand: leases, acknowledgements, filters. */
public final class SimpleCases {
    /** How much later than its lease says a message may come back. */
    private static final long LATE_MS = 20_000;

    private SimpleCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("simple_redelivery_after_invisible_time", SimpleCases::redelivery));
        cases.add(Case.shared("simple_change_invisible_duration", SimpleCases::change));
        cases.add(Case.shared("simple_extend_invisible_duration", SimpleCases::extend));
        cases.add(Case.shared("simple_fifo_blocks_until_ack", SimpleCases::fifo));
        cases.add(Case.shared("simple_fifo_redelivery_keeps_order", SimpleCases::fifoRedelivery));
        cases.add(Case.shared("simple_fifo_redelivery_counts_attempts", SimpleCases::fifoAttempts));
        cases.add(Case.shared("simple_members_share_the_messages", SimpleCases::share));
        cases.add(Case.shared("simple_groups_are_independent", SimpleCases::independent));
        cases.add(Case.shared("empty_poll_waits", SimpleCases::emptyPoll));
        cases.add(Case.shared("tag_filter", SimpleCases::tags));
        cases.add(Case.shared("sql_filter", SimpleCases::sql));
    }

    private static void redelivery(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        scope.producer(topic).send(Scope.plain(topic, "again"));
        MessageView first = Scope.receive(consumer, 1, Scope.SHORT).get(0);
        long leased = System.currentTimeMillis();
        Check.equal(1, first.getDeliveryAttempt(), "first attempt");
        MessageView second = Scope.receive(consumer, 1, Scope.LONG).get(0);
        long waited = System.currentTimeMillis() - leased;
        Check.equal(2, second.getDeliveryAttempt(), "second attempt");
        Check.equal(first.getMessageId(), second.getMessageId(), "message id");
        // The lease began up to a round trip before the answer arrived.
        Check.between(Scope.SHORT.toMillis() - 1_000, Scope.SHORT.toMillis() + LATE_MS, waited, "time to redelivery");
        consumer.ack(second);
        Scope.nothingMore(consumer, "after the acknowledgement");
    }

    private static void change(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        scope.producer(topic).send(Scope.plain(topic, "sooner"));
        MessageView first = Scope.receive(consumer, 1, Scope.LONG).get(0);
        long changed = System.currentTimeMillis();
        consumer.changeInvisibleDuration(first, Duration.ofSeconds(3));
        MessageView second = Scope.receive(consumer, 1, Scope.LONG).get(0);
        Check.between(2_500, 3_000 + LATE_MS, System.currentTimeMillis() - changed, "time to redelivery");
        Check.equal(2, second.getDeliveryAttempt(), "second attempt");
        consumer.ack(second);
        Scope.nothingMore(consumer, "after the acknowledgement");
    }

    private static void extend(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        scope.producer(topic).send(Scope.plain(topic, "later"));
        MessageView first = Scope.receive(consumer, 1, Scope.SHORT).get(0);
        consumer.changeInvisibleDuration(first, Scope.LONG);
        long until = System.currentTimeMillis() + Scope.SHORT.toMillis() + 5_000;
        while (System.currentTimeMillis() < until) {
            Scope.nothingMore(consumer, "while the longer lease lasts");
        }
        // The client has replaced the handle by the new one.
        consumer.ack(first);
    }

    private static void fifo(Scope scope) throws Exception {
        String topic = scope.topic("", "FIFO", 1);
        SimpleConsumer consumer = scope.simple(scope.group("", "orderly", Scope.RETRIES), topic);
        Producer producer = scope.producer(topic);
        for (String body : List.of("first", "second")) {
            producer.send(Scope.message(topic, body).setMessageGroup("one").build());
        }
        List<MessageView> batch = new ArrayList<>();
        while (batch.isEmpty()) {
            batch.addAll(consumer.receive(1, Scope.LONG));
        }
        Check.equal(List.of("first"), batch.stream().map(Inbox::text).toList(), "first batch of one");
        Scope.nothingMore(consumer, "while the first is not acknowledged");
        consumer.ack(batch.get(0));
        Check.equal("second", Inbox.text(Scope.take(consumer, 1).get(0)), "after the acknowledgement");
    }

    private static void fifoRedelivery(Scope scope) throws Exception {
        String topic = scope.topic("", "FIFO", 1);
        SimpleConsumer consumer = scope.simple(scope.group("", "orderly", Scope.RETRIES), topic);
        Producer producer = scope.producer(topic);
        for (String body : Scope.texts("f-", 4)) {
            producer.send(Scope.message(topic, body).setMessageGroup("one").build());
        }
        List<MessageView> batch = new ArrayList<>();
        while (batch.isEmpty()) {
            batch.addAll(consumer.receive(3, Scope.SHORT));
        }
        List<String> first = batch.stream().map(Inbox::text).toList();
        Check.equal(Scope.texts("f-", first.size()), first, "first batch");
        consumer.ack(batch.get(0));
        // What was not acknowledged comes again before anything later does.
        List<String> rest = new ArrayList<>();
        long deadline = System.currentTimeMillis() + Scope.LIMIT_MS;
        while (rest.size() < 3) {
            Check.that(System.currentTimeMillis() < deadline, "only %s came after %s", rest, first);
            for (MessageView message : consumer.receive(16, Scope.LONG)) {
                rest.add(Inbox.text(message));
                consumer.ack(message);
            }
        }
        Check.equal(List.of("f-1", "f-2", "f-3"), rest, "order of what is left");
    }

    private static void fifoAttempts(Scope scope) throws Exception {
        String topic = scope.topic("", "FIFO", 1);
        SimpleConsumer consumer = scope.simple(scope.group("", "orderly", Scope.RETRIES), topic);
        scope.producer(topic).send(Scope.message(topic, "again").setMessageGroup("one").build());
        List<Integer> attempts = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            attempts.add(Scope.receive(consumer, 1, Scope.SHORT).get(0).getDeliveryAttempt());
        }
        Check.equal(List.of(1, 2, 3), attempts, "attempts");
    }

    private static void share(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        String group = scope.group();
        SimpleConsumer one = scope.simple(group, topic);
        SimpleConsumer two = scope.simple(group, topic);
        Producer producer = scope.producer(topic);
        List<String> bodies = Scope.texts("s-", 20);
        for (String body : bodies) {
            producer.send(Scope.plain(topic, body));
        }
        List<String> seen = new ArrayList<>();
        while (seen.size() < bodies.size()) {
            for (SimpleConsumer consumer : List.of(one, two)) {
                for (MessageView message : consumer.receive(4, Scope.LONG)) {
                    seen.add(Inbox.text(message));
                    consumer.ack(message);
                }
            }
        }
        Check.equal(bodies.size(), seen.size(), "deliveries");
        Check.equal(new HashSet<>(bodies), new HashSet<>(seen), "bodies");
    }

    private static void independent(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer one = scope.simple(scope.group("-one", "concurrent", Scope.RETRIES), topic);
        SimpleConsumer two = scope.simple(scope.group("-two", "concurrent", Scope.RETRIES), topic);
        scope.producer(topic).send(Scope.plain(topic, "both"));
        Check.equal("both", Inbox.text(Scope.take(one, 1).get(0)), "first group");
        Check.equal("both", Inbox.text(Scope.take(two, 1).get(0)), "second group");
    }

    private static void emptyPoll(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        long start = System.currentTimeMillis();
        Scope.nothingMore(consumer, "of an empty topic");
        // The consumer asks for 5 s.
        Check.between(3_000, 12_000, System.currentTimeMillis() - start, "time of an empty poll");
    }

    private static void tags(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer =
                scope.simple(scope.configuration().build(), scope.group(), topic, Scope.tag("a||b"));
        Producer producer = scope.producer(topic);
        Map<String, String> wanted = new HashMap<>();
        for (String tag : List.of("a", "b", "c", "A")) {
            for (int i = 0; i < 4; i++) {
                producer.send(Scope.message(topic, tag + i).setTag(tag).build());
                if (tag.equals("a") || tag.equals("b")) {
                    wanted.put(tag + i, tag);
                }
            }
        }
        producer.send(Scope.plain(topic, "without a tag"));
        expect(consumer, wanted);
    }

    private static void sql(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.configuration().build(), scope.group(), topic,
                Scope.sql("(price > 10 AND region IN ('eu', 'us')) OR vip IS NOT NULL"));
        Producer producer = scope.producer(topic);
        record Sample(String body, String price, String region, String vip) {}
        List<Sample> samples = List.of(new Sample("m0", "11", "eu", null), new Sample("m1", "10", "eu", null),
                new Sample("m2", "99", "us", null), new Sample("m3", "99", "asia", null),
                new Sample("m4", "1", "asia", "yes"), new Sample("m5", null, "eu", null));
        for (Sample sample : samples) {
            var message = Scope.message(topic, sample.body()).addProperty("region", sample.region());
            if (sample.price() != null) {
                message.addProperty("price", sample.price());
            }
            if (sample.vip() != null) {
                message.addProperty("vip", sample.vip());
            }
            producer.send(message.build());
        }
        Map<String, String> wanted = new HashMap<>();
        Set.of("m0", "m2", "m4").forEach(body -> wanted.put(body, null));
        expect(consumer, wanted);
    }

    /** Takes exactly these bodies, each with its tag if it has one, and nothing else. */
    private static void expect(SimpleConsumer consumer, Map<String, String> wanted) throws Exception {
        Set<String> seen = new HashSet<>();
        for (MessageView message : Scope.take(consumer, wanted.size())) {
            String body = Inbox.text(message);
            Check.that(wanted.containsKey(body), "%s passed the filter", body);
            Check.equal(wanted.get(body), message.getTag().orElse(null), "tag of " + body);
            Check.that(seen.add(body), "%s came twice", body);
        }
        Scope.nothingMore(consumer, "beyond the filter");
    }
}

package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** Consumers that are called. */
public final class PushCases {
    /** Longer than the first lease of a message that a push consumer works on. */
    private static final long SLOW_MS = 65_000;

    private PushCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("push_slow_listener_keeps_its_message", PushCases::slow));
        cases.add(Case.shared("push_failure_is_redelivered", PushCases::retry));
        cases.add(Case.shared("push_fifo_failure_blocks_its_group", PushCases::fifoRetry));
        cases.add(Case.shared("push_dead_letter_after_last_attempt", PushCases::deadLetter));
        cases.add(Case.shared("push_concurrent", PushCases::concurrent));
        cases.add(Case.shared("push_members_share_the_messages", PushCases::share));
        cases.add(Case.shared("push_tag_filter", PushCases::tags));
    }

    private static void concurrent(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        Producer producer = scope.producer(topic);
        List<String> bodies = Scope.texts("p-", 100);
        for (String body : bodies) {
            producer.send(Scope.plain(topic, body));
        }
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        inbox.items().forEach(item -> Check.equal(1, item.attempt(), "attempt"));
    }

    private static void share(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        String group = scope.group();
        Inbox all = new Inbox();
        Inbox one = new Inbox();
        Inbox two = new Inbox();
        for (Inbox own : List.of(one, two)) {
            scope.push(group, topic, own.deciding(item -> {
                all.add(item.message());
                return ConsumeResult.SUCCESS;
            }));
        }
        Producer producer = scope.producer(topic);
        // Until both have had something: no server can hand everything to one of two that wait.
        Set<String> bodies = new HashSet<>();
        long deadline = System.currentTimeMillis() + Scope.LIMIT_MS;
        while (one.items().isEmpty() || two.items().isEmpty() || bodies.size() < 100) {
            Check.that(System.currentTimeMillis() < deadline, "%d and %d of %d messages", one.items().size(),
                    two.items().size(), bodies.size());
            String body = "s-" + bodies.size();
            producer.send(Scope.plain(topic, body));
            bodies.add(body);
        }
        all.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void retry(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.deciding(item -> {
            if (item.attempt() == 1 && item.text().equals("throws")) {
                throw new IllegalStateException("as the case wants it");
            }
            boolean isGood = item.text().equals("good") || item.attempt() > 1;
            return isGood ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE;
        }));
        Producer producer = scope.producer(topic);
        for (String body : List.of("good", "fails", "throws")) {
            producer.send(Scope.message(topic, body).setKeys("key").addProperty("p", "v").build());
        }
        for (String body : List.of("fails", "throws")) {
            Inbox.Item first = inbox.awaitText(body, Scope.LIMIT_MS);
            Inbox.Item second = inbox.await("second delivery of " + body, Scope.LIMIT_MS,
                    item -> item.text().equals(body) && item.attempt() == 2);
            // The first step of the usual back-off is a second.
            Check.between(900, Scope.LIMIT_MS, second.atMs() - first.atMs(), "time to redelivery");
            Check.equal(first.message().getMessageId(), second.message().getMessageId(), "message id");
            Check.equal(topic, second.message().getTopic(), "topic");
            Check.equal(List.of("key"), List.copyOf(second.message().getKeys()), "keys");
            Check.equal("v", second.message().getProperties().get("p"), "property");
        }
        Check.equal(5, inbox.items().size(), "deliveries");
    }

    private static void fifoRetry(Scope scope) throws Exception {
        String topic = scope.topic("", "FIFO", 1);
        Inbox inbox = new Inbox();
        Set<String> failed = new HashSet<>();
        scope.push(scope.group("", "orderly", Scope.RETRIES), topic, inbox.deciding(item ->
                item.text().equals("f-1") && failed.add("f-1") ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS));
        Producer producer = scope.producer(topic);
        for (String body : Scope.texts("f-", 4)) {
            producer.send(Scope.message(topic, body).setMessageGroup("one").build());
        }
        inbox.awaitText("f-3", Scope.LIMIT_MS);
        Check.equal(List.of("f-0", "f-1", "f-1", "f-2", "f-3"), inbox.texts(), "order");
    }

    private static void deadLetter(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        String group = scope.group("", "concurrent", 1);
        Inbox inbox = new Inbox();
        scope.push(group, topic, inbox.deciding(item ->
                item.text().equals("bad") ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS));
        Producer producer = scope.producer(topic);
        String id = producer.send(Scope.message(topic, "bad").setKeys("key").build()).getMessageId().toString();
        inbox.await("last attempt", Scope.LIMIT_MS, item -> item.attempt() == 2);
        // Its topic appears with its first message.
        String letters = "%DLQ%" + group;
        String reader = scope.group("-reader", "concurrent", Scope.RETRIES);
        MessageView[] letter = new MessageView[1];
        Check.await("dead letter", Scope.LIMIT_MS, () -> {
            var received = scope.simple(reader, letters).receive(1, Scope.LONG);
            received.forEach(message -> letter[0] = message);
            return !received.isEmpty();
        });
        Check.equal("bad", Inbox.text(letter[0]), "body");
        Check.equal(List.of("key"), List.copyOf(letter[0].getKeys()), "keys");
        Check.equal(id, letter[0].getMessageId().toString(), "message id");
        Check.equal(2, inbox.items().size(), "deliveries");
    }

    private static void slow(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        Inbox inbox = new Inbox();
        long[] done = new long[1];
        scope.push(scope.group(), topic, inbox.deciding(item -> {
            // What is tested is that time passes.
            Thread.sleep(SLOW_MS);
            done[0] = System.currentTimeMillis();
            return ConsumeResult.SUCCESS;
        }));
        scope.producer(topic).send(Scope.plain(topic, "slow"));
        inbox.awaitText("slow", Scope.LIMIT_MS);
        Check.await("end of the slow listener", SLOW_MS + Scope.LIMIT_MS, () -> done[0] > 0);
        Check.equal(List.of("slow"), inbox.texts(), "deliveries");
    }

    private static void tags(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        Inbox inbox = new Inbox();
        scope.push(scope.configuration().build(), scope.group(), topic, Scope.tag("a"), inbox.listener());
        Producer producer = scope.producer(topic);
        for (int i = 0; i < 10; i++) {
            for (String tag : List.of("b", "a")) {
                producer.send(Scope.message(topic, tag + i).setTag(tag).build());
            }
        }
        inbox.awaitExactly(Scope.texts("a", 10), Scope.LIMIT_MS);
    }
}

package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** Messages for later. */
public final class TimedCases {
    /** Apache's timers tick each second. */
    private static final long EARLY_MS = 0;

    private static final long LATE_MS = 8_000;

    private TimedCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("recall_of_a_delayed_message", TimedCases::recall));
        cases.add(Case.shared("delay_is_not_early", TimedCases::delay));
        cases.add(Case.shared("delay_in_the_past_is_now", TimedCases::past));
    }

    private static void delay(Scope scope) throws Exception {
        String topic = scope.topic("DELAY");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        Producer producer = scope.producer(topic);
        Map<String, Long> due = new HashMap<>();
        for (int seconds : List.of(2, 4, 7)) {
            String body = "in " + seconds;
            long at = System.currentTimeMillis() + seconds * 1_000L;
            due.put(body, at);
            producer.send(Scope.message(topic, body).setKeys("k").setDeliveryTimestamp(at).build());
        }
        inbox.awaitExactly(due.keySet(), Scope.LIMIT_MS);
        for (Inbox.Item item : inbox.items()) {
            long at = due.get(item.text());
            Check.between(-EARLY_MS, LATE_MS, item.atMs() - at, "lateness of " + item.text());
            Check.equal(at, item.message().getDeliveryTimestamp().orElse(null), "delivery time");
            Check.equal(topic, item.message().getTopic(), "topic");
            Check.equal(List.of("k"), List.copyOf(item.message().getKeys()), "keys");
            Check.equal(1, item.attempt(), "attempt");
        }
    }

    private static void past(Scope scope) throws Exception {
        String topic = scope.topic("DELAY");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        long at = System.currentTimeMillis() - 60_000;
        scope.producer(topic).send(Scope.message(topic, "past").setDeliveryTimestamp(at).build());
        inbox.awaitExactly(List.of("past"), 15_000);
    }

    private static void recall(Scope scope) throws Exception {
        String topic = scope.topic("DELAY");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        Producer producer = scope.producer(topic);
        long at = System.currentTimeMillis() + 8_000;
        SendReceipt recalled =
                producer.send(Scope.message(topic, "recalled").setDeliveryTimestamp(at).build());
        Check.that(!recalled.getRecallHandle().isEmpty(), "no recall handle");
        // Due later, so that its arrival says that the other would have come.
        producer.send(Scope.message(topic, "fence").setDeliveryTimestamp(at + 4_000).build());
        String id = producer.recallMessage(topic, recalled.getRecallHandle()).getMessageId().toString();
        Check.equal(recalled.getMessageId().toString(), id, "message id of the recall");
        inbox.awaitExactly(List.of("fence"), Scope.LIMIT_MS);
        Check.fails("a recall with a forged handle", () -> producer.recallMessage(topic, "bm90IGEgaGFuZGxl"));
    }
}

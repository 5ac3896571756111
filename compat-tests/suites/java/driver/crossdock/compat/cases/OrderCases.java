package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Orderly consumers: order per queue, one consumer at a time, also over failures and hand-overs. */
public final class OrderCases {
    /** A client that cannot release a queue at once does so 20 s later. */
    private static final long HANDOVER_MS = 45_000;

    private OrderCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("orderly_rebalance_keeps_order", OrderCases::rebalance));
        cases.add(Case.shared("orderly_keeps_order_per_queue", OrderCases::order));
        cases.add(Case.shared("orderly_failure_holds_its_queue", OrderCases::failure));
        cases.add(Case.shared("orderly_poison_goes_to_dead_letters", OrderCases::poison));
    }

    /** Bodies are "key:sequence"; each key has its queue. */
    private static List<String> sendSequences(DefaultMQProducer producer, String topic, int keys, int from, int to)
            throws Exception {
        List<String> bodies = new ArrayList<>();
        for (int sequence = from; sequence < to; sequence++) {
            for (int key = 0; key < keys; key++) {
                String body = key + ":" + sequence;
                bodies.add(body);
                Scope.stored(producer.send(Scope.message(topic, body),
                        (queues, message, argument) -> queues.get((Integer) argument % queues.size()), key));
            }
        }
        return bodies;
    }

    /** Every key's messages came in sequence, counting first deliveries only. */
    private static void checkSequences(List<String> texts) {
        Map<String, Integer> next = new HashMap<>();
        Set<String> first = new LinkedHashSet<>(texts);
        for (String text : first) {
            String key = text.substring(0, text.indexOf(':'));
            int sequence = Integer.parseInt(text.substring(key.length() + 1));
            int expected = next.merge(key, 1, Integer::sum) - 1;
            Check.equal(expected, sequence, "next message of key " + key);
        }
    }

    private static void order(Scope scope) throws Exception {
        String topic = scope.topic(4);
        Inbox inbox = new Inbox();
        Set<Integer> active = ConcurrentHashMap.newKeySet();
        AtomicBoolean overlapped = new AtomicBoolean();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            int queue = messages.get(0).getQueueId();
            if (!active.add(queue)) {
                overlapped.set(true);
            }
            inbox.add(messages);
            active.remove(queue);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        scope.start(consumer);
        List<String> bodies = sendSequences(scope.producer(), topic, 10, 0, 30);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        checkSequences(inbox.texts());
        Check.that(!overlapped.get(), "one queue was consumed by two threads at a time");
    }

    private static void failure(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        List<String> refused = new ArrayList<>();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.setSuspendCurrentQueueTimeMillis(200);
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            MessageExt message = messages.get(0);
            if (Inbox.text(message).endsWith(":3") && message.getReconsumeTimes() < 2) {
                refused.add(Inbox.text(message));
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            inbox.add(messages);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        scope.start(consumer);
        List<String> bodies = sendSequences(scope.producer(), topic, 2, 0, 10);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        checkSequences(inbox.texts());
        Check.equal(List.of("0:3", "0:3", "1:3", "1:3"), refused.stream().sorted().toList(), "refusals");
    }

    private static void poison(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String group = scope.group();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(group);
        consumer.setSuspendCurrentQueueTimeMillis(100);
        consumer.setMaxReconsumeTimes(1);
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            inbox.add(messages);
            boolean poison = Inbox.text(messages.get(0)).equals("0:1");
            return poison ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
        });
        scope.start(consumer);
        List<String> bodies = sendSequences(scope.producer(), topic, 1, 0, 4);
        inbox.awaitAll(bodies, Scope.LIMIT_MS);
        checkSequences(inbox.texts());
        Check.equal(2L, inbox.texts().stream().filter("0:1"::equals).count(), "tries of the poison");
        Inbox dead = RetryCases.deadLetters(scope, group);
        dead.awaitExactly(List.of("0:1"), Scope.LIMIT_MS);
    }

    private static void rebalance(Scope scope) throws Exception {
        String topic = scope.topic(4);
        String group = scope.group();
        // Both consumers write here, so this is the order in which the group saw the messages.
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer first = orderly(scope, group, topic, inbox);
        Scope.awaitAssigned(first, topic, 4, Scope.LIMIT_MS);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = new ArrayList<>(sendSequences(producer, topic, 4, 0, 10));
        DefaultMQPushConsumer second = orderly(scope, group, topic, inbox);
        int sequence = 10;
        while (assigned(first, topic) != 2 || assigned(second, topic) != 2) {
            Check.that(sequence < 10_000, "queues were not shared: %d and %d", assigned(first, topic),
                    assigned(second, topic));
            bodies.addAll(sendSequences(producer, topic, 4, sequence, ++sequence));
        }
        bodies.addAll(sendSequences(producer, topic, 4, sequence, sequence += 10));
        inbox.awaitAll(bodies, HANDOVER_MS);
        second.shutdown();
        bodies.addAll(sendSequences(producer, topic, 4, sequence, sequence += 10));
        Scope.awaitAssigned(first, topic, 4, HANDOVER_MS);
        inbox.awaitAll(bodies, HANDOVER_MS);
        checkSequences(inbox.texts());
    }

    private static DefaultMQPushConsumer orderly(Scope scope, String group, String topic, Inbox inbox)
            throws Exception {
        DefaultMQPushConsumer consumer = scope.newConsumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.orderly());
        return scope.start(consumer);
    }

    private static long assigned(DefaultMQPushConsumer consumer, String topic) {
        return consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet().stream()
                .map(MessageQueue::getTopic).filter(topic::equals).count();
    }
}

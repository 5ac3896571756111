package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Finding messages by id, key and time, and the ends of queues. */
public final class QueryCases {
    private static final long HOUR_MS = 3_600_000;

    private QueryCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("view_by_offset_id", QueryCases::byOffsetId));
        cases.add(Case.shared("view_by_unique_key", QueryCases::byUniqueKey));
        cases.add(Case.shared("query_by_key", QueryCases::byKey));
        cases.add(Case.shared("search_offset_by_time", QueryCases::byTime));
        cases.add(Case.shared("min_and_max_offset", QueryCases::ends));
    }

    private static void byOffsetId(Scope scope) throws Exception {
        String topic = scope.topic(2);
        DefaultMQProducer producer = scope.producer();
        Message message = Scope.message(topic, "tag", "look at me");
        message.putUserProperty("p", "v");
        SendResult result = Scope.stored(producer.send(message));
        MessageExt found = producer.viewMessage(topic, result.getOffsetMsgId());
        Check.equal("look at me", Inbox.text(found), "body");
        Check.equal(topic, found.getTopic(), "topic");
        Check.equal("tag", found.getTags(), "tag");
        Check.equal("v", found.getUserProperty("p"), "property");
        Check.equal(result.getQueueOffset(), found.getQueueOffset(), "offset");
        Check.equal(result.getMessageQueue().getQueueId(), found.getQueueId(), "queue");
        // The last half of an offset id is a position; one that no message has.
        String nowhere = result.getOffsetMsgId().substring(0, 16) + "00007fffffffffff";
        Check.fails("view of a position without a message", () -> producer.viewMessage(topic, nowhere));
    }

    private static void byUniqueKey(Scope scope) throws Exception {
        String topic = scope.topic(2);
        DefaultMQProducer producer = scope.producer();
        SendResult result = Scope.stored(producer.send(Scope.message(topic, "unique")));
        Check.await("the message under its id", Scope.LIMIT_MS,
                () -> Inbox.text(producer.viewMessage(topic, result.getMsgId())).equals("unique"));
    }

    private static void byKey(Scope scope) throws Exception {
        String topic = scope.topic("one", 2);
        String other = scope.topic("two", 2);
        DefaultMQProducer producer = scope.producer();
        for (int i = 0; i < 6; i++) {
            Message message = Scope.message(topic, "m-" + i);
            message.setKeys(List.of("each-" + i, i % 2 == 0 ? "even" : "odd"));
            Scope.stored(producer.send(message));
        }
        Message elsewhere = Scope.message(other, "elsewhere");
        elsewhere.setKeys("even");
        Scope.stored(producer.send(elsewhere));
        long now = System.currentTimeMillis();
        awaitQuery(producer, topic, "each-3", Set.of("m-3"));
        awaitQuery(producer, topic, "even", Set.of("m-0", "m-2", "m-4"));
        awaitQuery(producer, other, "even", Set.of("elsewhere"));
        Check.fails("query of an unknown key",
                () -> producer.queryMessage(topic, "nobody", 32, now - HOUR_MS, now + HOUR_MS));
        Check.fails("query of a past hour",
                () -> producer.queryMessage(topic, "even", 32, now - 2 * HOUR_MS, now - HOUR_MS));
        QueryResult limited = producer.queryMessage(topic, "even", 2, now - HOUR_MS, now + HOUR_MS);
        Check.equal(2, limited.getMessageList().size(), "messages of a limited query");
    }

    private static void awaitQuery(DefaultMQProducer producer, String topic, String key, Set<String> bodies)
            throws Exception {
        long now = System.currentTimeMillis();
        Check.await(bodies + " under " + key, Scope.LIMIT_MS, () -> {
            QueryResult found = producer.queryMessage(topic, key, 32, now - HOUR_MS, now + HOUR_MS);
            return found.getMessageList().stream().map(Inbox::text).collect(Collectors.toSet()).equals(bodies);
        });
    }

    private static void byTime(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        long before = System.currentTimeMillis();
        Scope.sendAll(producer, queue, Scope.texts("early-", 5));
        long sent = System.currentTimeMillis();
        Check.await("a later millisecond", 1_000, () -> System.currentTimeMillis() > sent + 20);
        long middle = System.currentTimeMillis();
        Check.await("a later millisecond", 1_000, () -> System.currentTimeMillis() > middle + 20);
        Scope.sendAll(producer, queue, Scope.texts("late-", 5));
        Check.await("all offsets", Scope.LIMIT_MS, () -> producer.maxOffset(queue) == 10);
        Check.equal(5L, producer.searchOffset(queue, middle), "offset between the halves");
        Check.equal(0L, producer.searchOffset(queue, before - HOUR_MS), "offset before all");
        Check.equal(10L, producer.searchOffset(queue, System.currentTimeMillis() + HOUR_MS), "offset after all");
        Check.between(before, sent, producer.earliestMsgStoreTime(queue), "time of the first");
    }

    private static void ends(Scope scope) throws Exception {
        String topic = scope.topic(2);
        DefaultMQProducer producer = scope.producer();
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        for (MessageQueue queue : queues) {
            Check.equal(0L, producer.minOffset(queue), "min offset of an empty queue");
            Check.equal(0L, producer.maxOffset(queue), "max offset of an empty queue");
        }
        Scope.sendAll(producer, queues.get(0), Scope.texts("m-", 7));
        Check.await("max offset 7", Scope.LIMIT_MS, () -> producer.maxOffset(queues.get(0)) == 7);
        Check.equal(0L, producer.minOffset(queues.get(0)), "min offset");
        Check.equal(0L, producer.maxOffset(queues.get(1)), "max offset of the other queue");
    }
}

package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.store.OffsetStore;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** What must be there after the server came back, for clients that stayed and for new ones. */
public final class RestartCases {
    /** The 4.9 client does not notice that a server is gone until its held pull times out after 30 s. */
    private static final long RECONNECT_MS = 60_000;

    private RestartCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.alone("restart_clean_loses_nothing", scope -> restart(scope, "restart-clean")));
        cases.add(Case.alone("restart_after_kill_loses_nothing", scope -> restart(scope, "restart-kill")));
    }

    private static void restart(Scope scope, String how) throws Exception {
        String topic = scope.topic(3);
        String group = scope.group();
        String defined = scope.group("defined");
        Version.putGroup(scope.admin(), scope.broker, defined, 9, true);
        scope.admin().createAndUpdateKvConfig(defined, "key", "value");
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("m-", 120);

        // One group is half way through, one consumer stays connected, one message is not due yet.
        Inbox before = new Inbox();
        DefaultMQPushConsumer early = scope.consumer(group, topic, "*", before);
        Inbox staying = new Inbox();
        scope.consumer(scope.group("staying"), topic, "*", staying);
        Scope.sendAll(producer, topic, bodies.subList(0, 40));
        before.awaitExactly(bodies.subList(0, 40), Scope.LIMIT_MS);
        scope.awaitCommitted(early, topic, 40);
        commit(early, topic);
        early.shutdown();
        Scope.sendAll(producer, topic, bodies.subList(40, 79));
        Message marked = Scope.message(topic, bodies.get(79));
        marked.setKeys("marked");
        SendResult markedAt = Scope.stored(producer.send(marked));
        staying.awaitAll(bodies.subList(0, 80), Scope.LIMIT_MS);
        Message delayed = Scope.message(topic, "delayed");
        delayed.setDelayTimeLevel(2);
        long delayedFrom = System.currentTimeMillis();
        Scope.stored(producer.send(delayed));

        scope.driver.control(how);

        // The producer that stayed; it may fail a few times while it reconnects.
        for (String body : bodies.subList(80, 120)) {
            Check.await("send of " + body, Scope.LIMIT_MS,
                    () -> Scope.stored(producer.send(Scope.message(topic, body))) != null);
        }
        staying.awaitAll(bodies, RECONNECT_MS);
        Inbox.Item late = staying.awaitText("delayed", Scope.LIMIT_MS);
        Check.that(late.atMs() - delayedFrom >= 5_000, "delayed message came after %d ms", late.atMs() - delayedFrom);

        Inbox after = new Inbox();
        scope.consumer(group, topic, "*", after);
        List<String> rest = new ArrayList<>(bodies.subList(40, 120));
        rest.add("delayed");
        after.awaitAll(rest, Scope.LIMIT_MS);
        HashSet<String> twice = new HashSet<>(after.texts());
        twice.retainAll(bodies.subList(0, 40));
        Check.equal(new HashSet<String>(), twice, "delivered again although consumed before the restart");

        var queues = scope.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0);
        Check.equal(3, queues.getWriteQueueNums(), "queues");
        Check.equal(9, scope.admin().examineSubscriptionGroupConfig(scope.broker, defined).getRetryMaxTimes(), "retries");
        Check.equal("value", scope.admin().getKVConfig(defined, "key"), "configuration value");
        Check.equal("m-79", Inbox.text(producer.viewMessage(topic, markedAt.getOffsetMsgId())), "message by offset id");
        Check.equal("m-79", Inbox.text(producer.viewMessage(topic, markedAt.getMsgId())), "message by unique key");
        long now = System.currentTimeMillis();
        var found = producer.queryMessage(topic, "marked", 32, now - 3_600_000, now + 3_600_000).getMessageList();
        Check.equal(List.of("m-79"), found.stream().map(Inbox::text).toList(), "messages by key");
    }

    /** Sends the positions once more and waits for the answers: what is acknowledged must survive. */
    private static void commit(DefaultMQPushConsumer consumer, String topic) throws Exception {
        var implementation = consumer.getDefaultMQPushConsumerImpl();
        OffsetStore positions = implementation.getOffsetStore();
        for (MessageQueue queue : implementation.getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(topic)) {
                long position = positions.readOffset(queue, ReadOffsetType.READ_FROM_MEMORY);
                positions.updateConsumeOffsetToBroker(queue, position, false);
            }
        }
    }
}

package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/** What happens to messages that a consumer refuses. */
public final class RetryCases {
    /** How late a redelivery may be on a loaded machine. */
    private static final long LATE_MS = 5_000;

    private RetryCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("retry_backs_off_from_ten_seconds", RetryCases::levels));
        cases.add(Case.shared("retry_then_dead_letter", RetryCases::deadLetter));
    }

    /** The first redelivery comes after level 3 (10 s), the second after level 4 (30 s). */
    private static void levels(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.deciding((messages, context) ->
                messages.get(0).getReconsumeTimes() < 2 ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                        : ConsumeConcurrentlyStatus.CONSUME_SUCCESS));
        scope.start(consumer);
        Scope.awaitRetryQueues(consumer, 1);
        Scope.stored(scope.producer().send(Scope.message(topic, "slow")));
        Inbox.Item[] tries = new Inbox.Item[3];
        for (int i = 0; i < 3; i++) {
            int times = i;
            tries[i] = inbox.awaitItem("try " + i, 40_000, item -> item.message().getReconsumeTimes() == times);
        }
        Check.between(10_000, 10_000 + LATE_MS, tries[1].atMs() - tries[0].atMs(), "first redelivery");
        Check.between(30_000, 30_000 + LATE_MS, tries[2].atMs() - tries[1].atMs(), "second redelivery");
        Check.equal(3, inbox.items().size(), "deliveries");
    }

    private static void deadLetter(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String group = scope.group();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(group);
        consumer.setMaxReconsumeTimes(2);
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.subscribe(topic, "bad || good");
        consumer.registerMessageListener(inbox.deciding((messages, context) -> {
            // One second instead of the usual levels.
            context.setDelayLevelWhenNextConsume(1);
            return "bad".equals(messages.get(0).getTags()) ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                    : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        }));
        scope.start(consumer);
        Scope.awaitRetryQueues(consumer, 1);
        DefaultMQProducer producer = scope.producer();
        Message bad = Scope.message(topic, "bad", "poison");
        bad.setKeys("key-1");
        bad.putUserProperty("colour", "green");
        String id = Scope.stored(producer.send(bad)).getMsgId();
        Scope.stored(producer.send(Scope.message(topic, "good", "food")));
        Inbox dead = deadLetters(scope, group);
        dead.awaitExactly(List.of("poison"), Scope.LIMIT_MS);

        List<Inbox.Item> tries = inbox.items().stream().filter(item -> item.text().equals("poison")).toList();
        Check.equal(3, tries.size(), "tries");
        for (int i = 0; i < 3; i++) {
            MessageExt message = tries.get(i).message();
            Check.equal(i, message.getReconsumeTimes(), "reconsume times");
            Check.equal(topic, message.getTopic(), "topic of try " + i);
            Check.equal(id, message.getMsgId(), "id of try " + i);
            checkUnchanged(message);
            if (i > 0) {
                long after = tries.get(i).atMs() - tries.get(i - 1).atMs();
                Check.between(1_000, 1_000 + LATE_MS, after, "redelivery " + i);
            }
        }
        MessageExt buried = dead.items().get(0).message();
        checkUnchanged(buried);
        Check.equal(topic, buried.getProperty(MessageConst.PROPERTY_RETRY_TOPIC), "origin topic");
        Check.that(buried.getProperty(MessageConst.PROPERTY_ORIGIN_MESSAGE_ID) != null, "no origin id");
        Check.equal(1L, inbox.texts().stream().filter("food"::equals).count(), "deliveries of the good message");
    }

    private static void checkUnchanged(MessageExt message) {
        Check.equal("poison", Inbox.text(message), "body");
        Check.equal("bad", message.getTags(), "tag");
        Check.equal("key-1", message.getKeys(), "key");
        Check.equal("green", message.getUserProperty("colour"), "property");
    }

    /** Waits for the dead letters of a group to appear and consumes them. */
    static Inbox deadLetters(Scope scope, String group) throws Exception {
        String topic = "%DLQ%" + group;
        Check.await("route of " + topic, Scope.LIMIT_MS,
                () -> !scope.admin().examineTopicRouteInfo(topic).getQueueDatas().isEmpty());
        Inbox inbox = new Inbox();
        scope.consumer(scope.group("dead"), topic, "*", inbox);
        return inbox;
    }
}

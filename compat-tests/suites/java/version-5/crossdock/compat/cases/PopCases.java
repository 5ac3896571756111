package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.AckCallback;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PopCallback;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;

/** Consumers that are given their messages by the broker, and groups in which only some are. */
public final class PopCases {
    private PopCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("pop_failure_comes_again", PopCases::failure));
        cases.add(Case.shared("pop_takes_what_pullers_sent_back", PopCases::sentBack));
        cases.add(Case.shared("pop_shares_queues_among_members", PopCases::members));
        cases.add(Case.shared("pop_and_pull_share_one_group", PopCases::mixed));
        cases.add(Case.shared("pop_filters_by_tag", PopCases::tags));
        cases.add(Case.shared("pop_in_order_and_repeated", PopCases::ordered));
        cases.add(Case.alone("pop_handles_outlive_a_restart", PopCases::restart));
    }

    /** A group that pops a topic. */
    private static String group(Scope scope, String topic) throws Exception {
        String group = scope.group();
        Version.putGroup(scope.admin(), scope.broker, group, 16, true);
        scope.admin().setMessageRequestMode(scope.broker, topic, group, MessageRequestMode.POP, 0, 5_000);
        return group;
    }

    private static DefaultMQPushConsumer popper(Scope scope, String group, String topic, String filter) throws Exception {
        DefaultMQPushConsumer consumer = scope.newConsumer(group);
        consumer.setClientRebalance(false);
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.subscribe(topic, filter);
        return consumer;
    }

    private static DefaultMQPushConsumer popper(Scope scope, String group, String topic, Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = popper(scope, group, topic, "*");
        consumer.registerMessageListener(inbox.concurrent());
        return scope.start(consumer);
    }

    /** Waits until the consumer pops the topic. */
    private static void awaitPopping(DefaultMQPushConsumer consumer, String topic) throws Exception {
        var rebalance = consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl();
        Check.await("popping of " + topic, Scope.LIMIT_MS, () -> rebalance.getPopProcessQueueTable().keySet().stream()
                .anyMatch(queue -> queue.getTopic().equals(topic)));
    }

    private static MQClientAPIImpl api(DefaultMQProducer producer) {
        return producer.getDefaultMQProducerImpl().getMqClientFactory().getMQClientAPIImpl();
    }

    private static void awaitPosition(Scope scope, DefaultMQProducer producer, String group, String topic, long messages)
            throws Exception {
        MQClientAPIImpl client = api(producer);
        Check.await("positions for " + messages + " messages", Scope.LIMIT_MS, () -> {
            long sum = 0;
            for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
                sum += Version.committed(client, scope.broker, group, queue);
            }
            return sum == messages;
        });
    }

    private static void members(Scope scope) throws Exception {
        String topic = scope.topic(4);
        String group = group(scope, topic);
        Inbox[] inboxes = {new Inbox(), new Inbox()};
        for (Inbox inbox : inboxes) {
            awaitPopping(popper(scope, group, topic, inbox), topic);
        }
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("m-", 300);
        Scope.sendAll(producer, topic, bodies);
        awaitTogether(bodies, inboxes);
        awaitPosition(scope, producer, group, topic, 300);
        for (Inbox inbox : inboxes) {
            Check.that(!inbox.items().isEmpty(), "one of the members was given nothing");
            for (Inbox.Item item : inbox.items()) {
                Check.equal(topic, item.message().getTopic(), "topic");
                Check.equal(0, item.message().getReconsumeTimes(), "reconsume times");
                Check.that(item.message().getProperty(MessageConst.PROPERTY_FIRST_POP_TIME) != null, "no time of pop");
            }
        }
    }

    /** Every body came once to one of them. */
    private static void awaitTogether(List<String> bodies, Inbox... inboxes) throws Exception {
        Check.await(bodies.size() + " messages", Scope.LIMIT_MS, () -> {
            HashSet<String> seen = new HashSet<>();
            for (Inbox inbox : inboxes) {
                seen.addAll(inbox.texts());
            }
            return seen.containsAll(bodies);
        });
        List<String> all = new ArrayList<>();
        for (Inbox inbox : inboxes) {
            all.addAll(inbox.texts());
        }
        all.retainAll(new HashSet<>(bodies));
        Check.equal(bodies.size(), all.size(), "deliveries");
    }

    private static void failure(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String group = group(scope, topic);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = popper(scope, group, topic, "*");
        consumer.registerMessageListener(inbox.deciding((messages, context) ->
                messages.get(0).getReconsumeTimes() == 0 && Inbox.text(messages.get(0)).equals("bad")
                        ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS));
        scope.start(consumer);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = List.of("good", "bad", "better");
        Scope.sendAll(producer, topic, bodies);
        Inbox.Item first = inbox.awaitText("bad", Scope.LIMIT_MS);
        Inbox.Item again = inbox.awaitItem("redelivery", Scope.LIMIT_MS,
                item -> item.text().equals("bad") && item.message().getReconsumeTimes() == 1);
        // The client's own table begins with ten seconds.
        Check.between(9_500, 16_000, again.atMs() - first.atMs(), "redelivery after");
        Check.equal(first.message().getQueueOffset(), again.message().getQueueOffset(), "offset");
        Check.equal(first.message().getMsgId(), again.message().getMsgId(), "id");
        awaitPosition(scope, producer, group, topic, 3);
        Check.equal(4, inbox.items().size(), "deliveries");
    }

    private static void sentBack(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String group = scope.group();
        Version.putGroup(scope.admin(), scope.broker, group, 16, true);
        Inbox before = new Inbox();
        DefaultMQPushConsumer puller = scope.newConsumer(group);
        puller.subscribe(topic, "*");
        puller.registerMessageListener(before.deciding((messages, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        }));
        scope.start(puller);
        DefaultMQProducer producer = scope.producer();
        Scope.sendAll(producer, topic, List.of("returned"));
        before.awaitText("returned", Scope.LIMIT_MS);
        scope.awaitCommitted(puller, topic, 1);
        puller.shutdown();

        scope.admin().setMessageRequestMode(scope.broker, topic, group, MessageRequestMode.POP, 0, 5_000);
        Inbox after = new Inbox();
        popper(scope, group, topic, after);
        Inbox.Item item = after.awaitText("returned", Scope.LIMIT_MS);
        Check.equal(topic, item.message().getTopic(), "topic");
        Check.that(item.message().getReconsumeTimes() >= 1, "reconsume times");
        var retry = new MessageQueue("%RETRY%" + group, item.message().getBrokerName(), 0);
        Check.await("position in the retry topic", Scope.LIMIT_MS,
                () -> Version.committed(api(producer), scope.broker, group, retry) >= 1);
        Check.equal(1, after.items().size(), "deliveries");
    }

    /** One member computes its queues and pulls, the other asks the broker and pops; then the first goes. */
    private static void mixed(Scope scope) throws Exception {
        String topic = scope.topic(4);
        String group = group(scope, topic);
        Inbox pulled = new Inbox();
        DefaultMQPushConsumer puller = scope.consumer(group, topic, "*", pulled);
        Scope.awaitAssigned(puller, topic, 4, Scope.LIMIT_MS);
        Inbox popped = new Inbox();
        awaitPopping(popper(scope, group, topic, popped), topic);
        Scope.awaitAssigned(puller, topic, 2, Scope.LIMIT_MS);

        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("both-", 200);
        Scope.sendAll(producer, topic, bodies);
        awaitTogether(bodies, pulled, popped);
        Check.equal(100, pulled.items().size(), "share of the one that pulls");

        scope.awaitCommitted(puller, topic, 100);
        puller.shutdown();
        List<String> rest = Scope.texts("one-", 100);
        Scope.sendAll(producer, topic, rest);
        popped.awaitAll(rest, Scope.LIMIT_MS);
        awaitPosition(scope, producer, group, topic, 300);
        Check.equal(200, popped.items().size(), "share of the one that pops");
    }

    private static void tags(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String group = group(scope, topic);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = popper(scope, group, topic, "Aa || C");
        consumer.registerMessageListener(inbox.concurrent());
        scope.start(consumer);
        DefaultMQProducer producer = scope.producer();
        // The first two have the same hash.
        for (String tag : List.of("BB", "Aa", "C", "D")) {
            Scope.stored(producer.send(Scope.message(topic, tag, tag)));
        }
        inbox.awaitExactly(List.of("Aa", "C"), Scope.LIMIT_MS);
        awaitPosition(scope, producer, group, topic, 4);
    }

    private static PopMessageRequestHeader inOrder(String group, String topic, String attempt) {
        PopMessageRequestHeader header = new PopMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(-1);
        header.setMaxMsgNums(2);
        header.setInvisibleTime(60_000);
        header.setPollTime(3_000);
        header.setBornTime(System.currentTimeMillis());
        header.setInitMode(0);
        header.setOrder(true);
        header.setAttemptId(attempt);
        return header;
    }

    private static PopResult pop(Scope scope, DefaultMQProducer producer, PopMessageRequestHeader header) throws Exception {
        CompletableFuture<PopResult> answer = new CompletableFuture<>();
        String broker = producer.fetchPublishMessageQueues(header.getTopic()).get(0).getBrokerName();
        api(producer).popMessageAsync(broker, scope.broker, header, 15_000, new PopCallback() {
            @Override
            public void onSuccess(PopResult result) {
                answer.complete(result);
            }

            @Override
            public void onException(Throwable error) {
                answer.completeExceptionally(error);
            }
        });
        return answer.get(20, TimeUnit.SECONDS);
    }

    private static AckCallback into(CompletableFuture<AckResult> answer) {
        return new AckCallback() {
            @Override
            public void onSuccess(AckResult result) {
                answer.complete(result);
            }

            @Override
            public void onException(Throwable error) {
                answer.completeExceptionally(error);
            }
        };
    }

    private static AckStatus ack(Scope scope, DefaultMQProducer producer, String group, MessageExt message, String handle)
            throws Exception {
        AckMessageRequestHeader header = new AckMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(message.getTopic());
        header.setQueueId(message.getQueueId());
        header.setOffset(message.getQueueOffset());
        header.setExtraInfo(handle);
        CompletableFuture<AckResult> answer = new CompletableFuture<>();
        api(producer).ackMessageAsync(scope.broker, 10_000, into(answer), header);
        return answer.get(20, TimeUnit.SECONDS).getStatus();
    }

    private static List<String> texts(PopResult result) {
        return result.getMsgFoundList().stream().map(Inbox::text).toList();
    }

    /** The push consumer of this line never asks in order, so the case uses what is below it. */
    private static void ordered(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String group = scope.group();
        Version.putGroup(scope.admin(), scope.broker, group, 16, true);
        DefaultMQProducer producer = scope.producer();
        Scope.sendAll(producer, topic, List.of("a", "b", "c"));
        PopResult first = pop(scope, producer, inOrder(group, topic, "one"));
        Check.equal(List.of("a", "b"), texts(first), "first");
        Check.equal(PopStatus.POLLING_NOT_FOUND, pop(scope, producer, inOrder(group, topic, "two")).getPopStatus(),
                "while the queue is held");
        PopResult repeated = pop(scope, producer, inOrder(group, topic, "one"));
        Check.equal(List.of("a", "b"), texts(repeated), "the same attempt");
        MessageExt a = repeated.getMsgFoundList().get(0);
        MessageExt b = repeated.getMsgFoundList().get(1);
        Check.equal(AckStatus.OK, ack(scope, producer, group, a, a.getProperty(MessageConst.PROPERTY_POP_CK)), "a");

        ChangeInvisibleTimeRequestHeader change = new ChangeInvisibleTimeRequestHeader();
        change.setConsumerGroup(group);
        change.setTopic(topic);
        change.setQueueId(b.getQueueId());
        change.setOffset(b.getQueueOffset());
        change.setExtraInfo(b.getProperty(MessageConst.PROPERTY_POP_CK));
        change.setInvisibleTime(100L);
        CompletableFuture<AckResult> changed = new CompletableFuture<>();
        String broker = producer.fetchPublishMessageQueues(topic).get(0).getBrokerName();
        api(producer).changeInvisibleTimeAsync(broker, scope.broker, change, 10_000, into(changed));
        String handle = changed.get(20, TimeUnit.SECONDS).getExtraInfo();
        PopResult next = pop(scope, producer, inOrder(group, topic, "three"));
        Check.equal(List.of("b", "c"), texts(next), "after a failure");
        Check.equal(1, next.getMsgFoundList().get(0).getReconsumeTimes(), "reconsume times of b");
        Check.equal(0, next.getMsgFoundList().get(1).getReconsumeTimes(), "reconsume times of c");
        Check.equal(AckStatus.NO_EXIST, ack(scope, producer, group, b, handle), "the handle from before");
        for (MessageExt message : next.getMsgFoundList()) {
            Check.equal(AckStatus.OK,
                    ack(scope, producer, group, message, message.getProperty(MessageConst.PROPERTY_POP_CK)), "rest");
        }
        awaitPosition(scope, producer, group, topic, 3);
    }

    private static void restart(Scope scope) throws Exception {
        String topic = scope.topic(2);
        String group = group(scope, topic);
        Inbox inbox = new Inbox();
        CountDownLatch restarted = new CountDownLatch(1);
        DefaultMQPushConsumer consumer = popper(scope, group, topic, "*");
        consumer.registerMessageListener(inbox.deciding((messages, context) -> {
            try {
                restarted.await();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        }));
        scope.start(consumer);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("m-", 10);
        Scope.sendAll(producer, topic, bodies);
        inbox.awaitAll(bodies, Scope.LIMIT_MS);
        // The last of them is leased for longer than a lease may stay unwritten.
        long last = inbox.items().get(inbox.items().size() - 1).atMs();
        Check.await("two seconds", Scope.LIMIT_MS, () -> System.currentTimeMillis() - last > 2_000);

        scope.driver.control("restart-clean");

        List<String> later = Scope.texts("later-", 10);
        for (String body : later) {
            Check.await("send of " + body, Scope.LIMIT_MS,
                    () -> Scope.stored(producer.send(Scope.message(topic, body))) != null);
        }
        restarted.countDown();
        inbox.awaitAll(later, 60_000);
        awaitPosition(scope, producer, group, topic, 20);
        Check.equal(20, inbox.items().size(), "deliveries");
    }
}

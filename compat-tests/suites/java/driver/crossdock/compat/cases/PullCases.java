package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumers that ask for messages themselves. */
public final class PullCases {
    private PullCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("lite_pull_subscribe_and_resume", PullCases::subscribe));
        cases.add(Case.shared("lite_pull_tag_filter", PullCases::filter));
        cases.add(Case.shared("lite_pull_assign_and_seek", PullCases::assign));
        cases.add(Case.shared("pull_consumer_statuses", PullCases::pull));
    }

    private static void pollAll(DefaultLitePullConsumer consumer, Inbox inbox, Collection<String> bodies)
            throws Exception {
        Set<String> wanted = new HashSet<>(bodies);
        Check.await(bodies.size() + " polled messages", Scope.LIMIT_MS, () -> {
            inbox.add(consumer.poll());
            return new HashSet<>(inbox.texts()).containsAll(wanted);
        });
        inbox.awaitExactly(bodies, 0);
    }

    private static void subscribe(Scope scope) throws Exception {
        String topic = scope.topic(4);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("m-", 60);
        Scope.sendAll(producer, topic, bodies.subList(0, 40));
        DefaultLitePullConsumer consumer = scope.newLitePull(scope.group());
        consumer.setAutoCommit(false);
        consumer.subscribe(topic, "*");
        consumer.start();
        pollAll(consumer, new Inbox(), bodies.subList(0, 40));
        consumer.commitSync();
        Check.await("committed positions", Scope.LIMIT_MS, () -> {
            long sum = 0;
            for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
                sum += Math.max(0, consumer.committed(queue));
            }
            return sum == 40;
        });
        consumer.shutdown();
        Scope.sendAll(producer, topic, bodies.subList(40, 60));
        DefaultLitePullConsumer next = scope.newLitePull(scope.group());
        next.subscribe(topic, "*");
        next.start();
        pollAll(next, new Inbox(), bodies.subList(40, 60));
    }

    private static void filter(Scope scope) throws Exception {
        String topic = scope.topic(2);
        DefaultMQProducer producer = scope.producer();
        for (int i = 0; i < 30; i++) {
            String tag = List.of("a", "b", "c").get(i % 3);
            Scope.stored(producer.send(Scope.message(topic, tag, tag + i)));
        }
        DefaultLitePullConsumer consumer = scope.newLitePull(scope.group());
        consumer.subscribe(topic, "a || c");
        consumer.start();
        List<String> bodies = Scope.texts("", 30).stream()
                .map(number -> List.of("a", "b", "c").get(Integer.parseInt(number) % 3) + number)
                .filter(body -> !body.startsWith("b")).toList();
        pollAll(consumer, new Inbox(), bodies);
    }

    private static void assign(Scope scope) throws Exception {
        String topic = scope.topic(2);
        DefaultMQProducer producer = scope.producer();
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        MessageQueue first = queues.get(0);
        List<String> bodies = Scope.texts("m-", 20);
        Scope.sendAll(producer, first, bodies);
        Scope.sendAll(producer, queues.get(1), List.of("other"));
        DefaultLitePullConsumer consumer = scope.newLitePull(scope.group());
        consumer.setAutoCommit(false);
        consumer.start();
        Collection<MessageQueue> known = consumer.fetchMessageQueues(topic);
        Check.equal(2, known.size(), "queues");
        consumer.assign(List.of(first));
        consumer.seek(first, 15);
        pollAll(consumer, new Inbox(), bodies.subList(15, 20));
        consumer.seek(first, 5);
        pollAll(consumer, new Inbox(), bodies.subList(5, 20));
        consumer.seekToBegin(first);
        pollAll(consumer, new Inbox(), bodies);
        consumer.seekToEnd(first);
        Scope.sendAll(producer, first, List.of("new"));
        pollAll(consumer, new Inbox(), List.of("new"));
    }

    private static void pull(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(scope.group());
        scope.configure(consumer);
        scope.onClose(consumer::shutdown);
        consumer.start();
        // A group that is not known yet is refused until its first heartbeat, which start sends.
        PullResult empty = consumer.pull(queue, "*", 0, 32);
        Check.equal(PullStatus.NO_NEW_MSG, empty.getPullStatus(), "pull from an empty queue");
        for (int i = 0; i < 10; i++) {
            Scope.stored(producer.send(Scope.message(topic, i % 2 == 0 ? "even" : "odd", "m-" + i), queue));
        }
        PullResult found = consumer.pull(queue, "odd", 0, 32);
        Check.equal(PullStatus.FOUND, found.getPullStatus(), "filtered pull");
        Check.equal(List.of("m-1", "m-3", "m-5", "m-7", "m-9"),
                found.getMsgFoundList().stream().map(Inbox::text).toList(), "filtered messages");
        Check.equal(10L, found.getNextBeginOffset(), "next offset");
        Check.equal(0L, found.getMinOffset(), "min offset");
        Check.equal(10L, found.getMaxOffset(), "max offset");
        PullResult limited = consumer.pull(queue, "*", 4, 3);
        Check.equal(List.of(4L, 5L, 6L), limited.getMsgFoundList().stream().map(MessageExt::getQueueOffset).toList(),
                "offsets of a limited pull");
        Check.equal(7L, limited.getNextBeginOffset(), "next offset of a limited pull");
        PullResult unmatched = consumer.pull(queue, "none", 0, 32);
        Check.equal(PullStatus.NO_MATCHED_MSG, unmatched.getPullStatus(), "pull of an absent tag");
        Check.equal(10L, unmatched.getNextBeginOffset(), "next offset after an absent tag");
        Check.equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", 10, 32).getPullStatus(), "pull at the end");
        PullResult beyond = consumer.pull(queue, "*", 50, 32);
        Check.equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "pull beyond the end");
        Check.equal(10L, beyond.getNextBeginOffset(), "corrected offset");
        consumer.getDefaultMQPullConsumerImpl().getOffsetStore().updateConsumeOffsetToBroker(queue, 7, false);
        Check.await("position 7", Scope.LIMIT_MS, () -> consumer.fetchConsumeOffset(queue, true) == 7);
    }
}

package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** Filters over properties: push, lite pull and pull consumers, and filters that are none. */
public final class SqlCases {
    private static final int COUNT = 60;
    private static final int PARSE_FAILED = 23;
    /** A missed wake-up shows after 5 to 15 s; a loaded machine needs less than this. */
    private static final long WAKE_MS = 3_000;

    private SqlCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("sql_push_filter", SqlCases::push));
        cases.add(Case.shared("sql_push_wakes_at_once", SqlCases::wakes));
        cases.add(Case.shared("sql_push_passes_over_many", SqlCases::passesOver));
        cases.add(Case.shared("sql_push_retry_is_not_filtered_away", SqlCases::retry));
        cases.add(Case.shared("sql_lite_pull_filter", SqlCases::litePull));
        cases.add(Case.shared("sql_pull_expressions", SqlCases::expressions));
        cases.add(Case.shared("sql_bad_filter_is_refused", SqlCases::refused));
        cases.add(Case.shared("sql_filter_changes_while_consuming", SqlCases::changes));
    }

    /** Message {@code i}: its number, a colour, an amount, and for every third one a flag. */
    private static Message message(String topic, int i) {
        Message message = Scope.message(topic, i % 2 == 0 ? "even" : "odd", "m-" + i);
        message.putUserProperty("n", Integer.toString(i));
        message.putUserProperty("colour", List.of("red", "green", "it's blue").get(i % 3));
        message.putUserProperty("amount", i + ".5");
        if (i % 3 == 0) {
            message.putUserProperty("flag", "true");
        }
        return message;
    }

    private static void send(DefaultMQProducer producer, String topic, int from, int to) throws Exception {
        for (int i = from; i < to; i++) {
            Scope.stored(producer.send(message(topic, i)));
        }
    }

    private static List<String> bodies(int from, int to, IntPredicate wanted) {
        return IntStream.range(from, to).filter(wanted).mapToObj(i -> "m-" + i).toList();
    }

    private static DefaultMQPushConsumer consumer(Scope scope, String topic, String filter, Inbox inbox)
            throws Exception {
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.subscribe(topic, MessageSelector.bySql(filter));
        consumer.registerMessageListener(inbox.concurrent());
        return scope.start(consumer);
    }

    private static void push(Scope scope) throws Exception {
        String topic = scope.topic(4);
        DefaultMQProducer producer = scope.producer();
        send(producer, topic, 0, COUNT / 2);
        Inbox inbox = new Inbox();
        consumer(scope, topic, "(n > 10 AND colour = 'it''s blue') OR flag = TRUE", inbox);
        send(producer, topic, COUNT / 2, COUNT);
        inbox.awaitExactly(bodies(0, COUNT, i -> i > 10 && i % 3 == 2 || i % 3 == 0), Scope.LIMIT_MS);
    }

    private static void wakes(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        consumer(scope, topic, "TAGS = 'odd' AND n >= 0", inbox);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(message(topic, 1)));
        inbox.awaitText("m-1", Scope.LIMIT_MS);
        for (int i = 2; i < 22; i += 2) {
            // A held pull must sleep through what its filter refuses and wake for what it wants.
            send(producer, topic, i, i + 2);
            inbox.awaitText("m-" + (i + 1), WAKE_MS);
        }
        Check.equal(11, inbox.items().size(), "deliveries");
    }

    /** More messages than one pull looks at, before the one that is wanted, and positions that reach the end. */
    private static void passesOver(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        int many = 2_000;
        for (int i = 0; i < many; i += 100) {
            List<Message> batch = new ArrayList<>();
            for (int j = i; j < i + 100; j++) {
                batch.add(message(topic, j));
            }
            Scope.stored(producer.send(batch));
        }
        send(producer, topic, many, many + 1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(scope, topic, "n >= " + many, inbox);
        inbox.awaitExactly(List.of("m-" + many), Scope.LIMIT_MS);
        scope.awaitCommitted(consumer, topic, many + 1);
    }

    private static void retry(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.subscribe(topic, MessageSelector.bySql("n BETWEEN 3 AND 4"));
        consumer.registerMessageListener(inbox.deciding((messages, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            boolean isFirst = messages.get(0).getReconsumeTimes() == 0;
            return isFirst ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        }));
        scope.start(consumer);
        send(producer, topic, 0, 10);
        Scope.awaitRetryQueues(consumer, 1);
        Check.await("both messages twice", Scope.LIMIT_MS, () -> inbox.items().size() == 4);
        Check.equal(2L, inbox.items().stream().filter(item -> item.message().getReconsumeTimes() == 1).count(),
                "retries");
        Check.equal(new HashSet<>(List.of("m-3", "m-4")), new HashSet<>(inbox.texts()), "messages");
    }

    private static void litePull(Scope scope) throws Exception {
        String topic = scope.topic(2);
        DefaultMQProducer producer = scope.producer();
        send(producer, topic, 0, COUNT / 2);
        DefaultLitePullConsumer consumer = scope.newLitePull(scope.group());
        consumer.subscribe(topic, MessageSelector.bySql("colour IN ('red', 'green') AND amount < 40.5"));
        consumer.start();
        send(producer, topic, COUNT / 2, COUNT);
        Inbox inbox = new Inbox();
        Collection<String> wanted = bodies(0, COUNT, i -> i % 3 != 2 && i < 40);
        Check.await("polled messages", Scope.LIMIT_MS, () -> {
            inbox.add(consumer.poll());
            return new HashSet<>(inbox.texts()).containsAll(wanted);
        });
        inbox.awaitExactly(wanted, 0);
    }

    private static void expressions(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        send(producer, topic, 0, 10);
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(scope.group());
        scope.configure(consumer);
        scope.onClose(consumer::shutdown);
        consumer.start();
        // The client asks for filters only once a heartbeat has told it the broker's version.
        Check.await("the first pull with a filter", Scope.LIMIT_MS,
                () -> consumer.pull(queue, MessageSelector.bySql("TRUE"), 0, 32).getPullStatus() == PullStatus.FOUND);
        select(consumer, queue, "n > 5 AND TAGS = 'odd'", i -> i > 5 && i % 2 == 1);
        select(consumer, queue, "n NOT BETWEEN 2 AND 8", i -> i < 2 || i > 8);
        select(consumer, queue, "flag IS NOT NULL", i -> i % 3 == 0);
        select(consumer, queue, "flag <> TRUE OR flag IS NULL", i -> i % 3 != 0);
        select(consumer, queue, "colour not in ('red')", i -> i % 3 != 0);
        select(consumer, queue, "amount >= 3.5 and amount <= 5.5", i -> i >= 3 && i <= 5);
        select(consumer, queue, "NOT (n < 9)", i -> i == 9);
        select(consumer, queue, "/* all */ TRUE", i -> true);
        // The text is no whole number, which is no match whatever stands beside it.
        select(consumer, queue, "amount = 3 OR TRUE", i -> false);
        // The negation takes the property, and a property is no condition.
        select(consumer, queue, "NOT n = TRUE", i -> true);
        select(consumer, queue, "KEYS IS NULL AND UNIQ_KEY IS NOT NULL", i -> true);
    }

    private static void select(DefaultMQPullConsumer consumer, MessageQueue queue, String filter, IntPredicate wanted)
            throws Exception {
        List<String> expected = bodies(0, 10, wanted);
        PullResult result = consumer.pull(queue, MessageSelector.bySql(filter), 0, 32);
        PullStatus status = expected.isEmpty() ? PullStatus.NO_MATCHED_MSG : PullStatus.FOUND;
        Check.equal(status, result.getPullStatus(), "status of " + filter);
        Check.equal(10L, result.getNextBeginOffset(), "next offset of " + filter);
        if (!expected.isEmpty()) {
            Check.equal(expected, result.getMsgFoundList().stream().map(Inbox::text).toList(), filter);
        }
    }

    private static void refused(Scope scope) throws Exception {
        String topic = scope.topic(1);
        for (String filter : List.of("n >", "n > 'x'", "n BETWEEN 9 AND 1", "n = NULL", "(n = 1", "5", "n != 1")) {
            DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
            consumer.subscribe(topic, MessageSelector.bySql(filter));
            consumer.registerMessageListener(new Inbox().concurrent());
            scope.onClose(consumer::shutdown);
            Exception error = Check.fails("a consumer with the filter " + filter, () -> {
                consumer.start();
                return filter;
            });
            Check.that(error instanceof MQClientException, "%s of %s", error, filter);
            Check.equal(PARSE_FAILED, code((MQClientException) error), "code of " + filter);
        }
    }

    /** The client wraps what the broker says. */
    private static int code(MQClientException error) {
        return error.getCause() instanceof MQBrokerException cause ? cause.getResponseCode() : error.getResponseCode();
    }

    private static void changes(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(scope, topic, "n < 5", inbox);
        send(producer, topic, 0, 10);
        inbox.awaitExactly(bodies(0, 5, i -> true), Scope.LIMIT_MS);
        scope.awaitCommitted(consumer, topic, 10);
        inbox.clear();
        consumer.shutdown();
        consumer(scope, topic, "n >= 15", inbox);
        send(producer, topic, 10, 20);
        inbox.awaitExactly(bodies(15, 20, i -> true), Scope.LIMIT_MS);
    }
}

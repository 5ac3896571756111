package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages that are delivered when their transaction commits. */
public final class TransactionCases {
    /** The 4.9 client does not notice that a server is gone until its held pull times out after 30 s. */
    private static final long RECONNECT_MS = 60_000;

    private TransactionCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("transaction_commit_and_rollback", TransactionCases::decided));
        cases.add(Case.shared("transaction_check_back_after_unknown", TransactionCases::checkedBack));
        cases.add(Case.shared("transaction_check_goes_to_another_producer", TransactionCases::producerGone));
        cases.add(Case.alone("transaction_undecided_over_a_restart", scope -> restarted(scope, "restart-kill")));
    }

    /** Decides by what the body begins with, at once or when asked. */
    private static final class Listener implements TransactionListener {
        final Map<String, Integer> asked = new ConcurrentHashMap<>();
        final Map<String, MessageExt> questions = new ConcurrentHashMap<>();
        /** Questions answered with "not known yet". */
        volatile int patience;

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            String body = new String(message.getBody(), StandardCharsets.UTF_8);
            if (body.startsWith("commit")) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }
            if (body.startsWith("rollback")) {
                return LocalTransactionState.ROLLBACK_MESSAGE;
            }
            return LocalTransactionState.UNKNOW;
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            String body = Inbox.text(message);
            questions.put(body, message);
            if (asked.merge(body, 1, Integer::sum) <= patience) {
                return LocalTransactionState.UNKNOW;
            }
            return body.endsWith("no") ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.COMMIT_MESSAGE;
        }
    }

    private static TransactionMQProducer producer(Scope scope, String group, Listener listener) throws Exception {
        TransactionMQProducer producer = new TransactionMQProducer(group);
        scope.configure(producer);
        producer.setSendMsgTimeout(10_000);
        producer.setTransactionListener(listener);
        scope.start(producer);
        return producer;
    }

    private static TransactionSendResult send(TransactionMQProducer producer, String topic, String body)
            throws Exception {
        Message message = Scope.message(topic, "tx", body);
        message.setKeys("key-" + body);
        message.putUserProperty("own", body);
        TransactionSendResult result = producer.sendMessageInTransaction(message, null);
        Scope.stored(result);
        return result;
    }

    private static void check(String topic, TransactionSendResult sent, MessageExt message, String body) {
        Check.equal(topic, message.getTopic(), "topic");
        Check.equal("tx", message.getTags(), "tag");
        Check.equal("key-" + body, message.getKeys(), "key");
        Check.equal(body, message.getUserProperty("own"), "property");
        Check.equal(sent.getTransactionId(), message.getTransactionId(), "transaction id");
    }

    private static void decided(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        TransactionMQProducer producer = producer(scope, scope.group("p"), new Listener());
        for (int i = 0; i < 10; i++) {
            TransactionSendResult rolledBack = send(producer, topic, "rollback-" + i);
            Check.equal(LocalTransactionState.ROLLBACK_MESSAGE, rolledBack.getLocalTransactionState(), "state");
            String body = "commit-" + i;
            TransactionSendResult committed = send(producer, topic, body);
            Check.equal(LocalTransactionState.COMMIT_MESSAGE, committed.getLocalTransactionState(), "state");
            MessageExt message = inbox.awaitText(body, Scope.LIMIT_MS).message();
            check(topic, committed, message, body);
            Check.equal(committed.getMsgId(), message.getMsgId(), "message id");
        }
        Check.equal(10, inbox.items().size(), "deliveries");
    }

    private static void checkedBack(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        Listener listener = new Listener();
        listener.patience = 1;
        TransactionMQProducer producer = producer(scope, scope.group("p"), listener);
        send(producer, topic, "unknown-no");
        TransactionSendResult sent = send(producer, topic, "unknown-yes");
        check(topic, sent, inbox.awaitText("unknown-yes", Scope.LIMIT_MS).message(), "unknown-yes");
        Check.await("both decisions", Scope.LIMIT_MS,
                () -> listener.asked.getOrDefault("unknown-no", 0) >= 2);
        MessageExt question = listener.questions.get("unknown-yes");
        check(topic, sent, question, "unknown-yes");
        Check.equal(0, question.getQueueId(), "queue of the question");
        Check.equal(1, inbox.items().size(), "deliveries");
    }

    private static void producerGone(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String group = scope.group("p");
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        Listener silent = new Listener();
        silent.patience = Integer.MAX_VALUE;
        TransactionMQProducer first = producer(scope, group, silent);
        send(first, topic, "unknown-yes");
        Check.await("a question", Scope.LIMIT_MS, () -> silent.asked.containsKey("unknown-yes"));
        first.shutdown();
        Listener other = new Listener();
        TransactionMQProducer second = producer(scope, group, other);
        // A producer is known by its heartbeats, which it sends to brokers it has a route to.
        Scope.stored(second.send(Scope.message(topic, "tx", "warm-up")));
        inbox.awaitText("unknown-yes", Scope.LIMIT_MS);
        Check.that(other.asked.containsKey("unknown-yes"), "the second producer was not asked");
    }

    private static void restarted(Scope scope, String how) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        Listener listener = new Listener();
        listener.patience = Integer.MAX_VALUE;
        TransactionMQProducer producer = producer(scope, scope.group("p"), listener);
        TransactionSendResult yes = send(producer, topic, "unknown-yes");
        send(producer, topic, "unknown-no");
        scope.driver.control(how);
        Check.equal(0, inbox.items().size(), "deliveries before any decision");
        listener.patience = 0;
        AtomicInteger round = new AtomicInteger();
        // The producer's heartbeats follow a message of its own.
        Check.await("the server to be back", Scope.LIMIT_MS, () -> {
            return Scope.stored(producer.send(Scope.message(topic, "tx", "after-" + round.incrementAndGet()))) != null;
        });
        check(topic, yes, inbox.awaitText("unknown-yes", RECONNECT_MS).message(), "unknown-yes");
        Check.await("the other decision", RECONNECT_MS, () -> listener.asked.containsKey("unknown-no"));
        Check.that(inbox.items().stream().noneMatch(item -> item.text().equals("unknown-no")),
                "a rolled back message was delivered");
    }
}

package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/** Half messages: decided, and asked about. */
public final class TransactionCases {
    /** The second check may come as late as the server's usual interval allows. */
    private static final long CHECKS_MS = 90_000;

    private static final TransactionChecker UNKNOWN = message -> TransactionResolution.UNKNOWN;

    private TransactionCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("transaction_check_back_unknown_then_commit", TransactionCases::checkBack));
        cases.add(Case.shared("transaction_check_back_rolls_back", TransactionCases::checkBackRollsBack));
        cases.add(Case.shared("transaction_orphan_is_checked_by_another_producer", TransactionCases::orphan));
        cases.add(Case.shared("transaction_commit", TransactionCases::commit));
        cases.add(Case.shared("transaction_rollback", TransactionCases::rollback));
    }

    private static void commit(Scope scope) throws Exception {
        String topic = scope.topic("TRANSACTION");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        Producer producer = scope.producer(scope.configuration().build(), UNKNOWN, topic);
        Transaction transaction = producer.beginTransaction();
        String id = producer.send(Scope.message(topic, "commit").setTag("t").setKeys("k").addProperty("p", "v").build(),
                transaction).getMessageId().toString();
        Scope.nothingMore(consumer, "before the commit");
        transaction.commit();
        MessageView message = Scope.take(consumer, 1).get(0);
        Check.equal("commit", Inbox.text(message), "body");
        Check.equal(id, message.getMessageId().toString(), "message id");
        Check.equal("t", message.getTag().orElse(null), "tag");
        Check.equal(List.of("k"), List.copyOf(message.getKeys()), "keys");
        Check.equal("v", message.getProperties().get("p"), "property");
        Scope.nothingMore(consumer, "after the acknowledgement");
    }

    private static void rollback(Scope scope) throws Exception {
        String topic = scope.topic("TRANSACTION");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        Producer producer = scope.producer(scope.configuration().build(), UNKNOWN, topic);
        Transaction rolledBack = producer.beginTransaction();
        producer.send(Scope.plain(topic, "rolled back"), rolledBack);
        rolledBack.rollback();
        Transaction committed = producer.beginTransaction();
        producer.send(Scope.plain(topic, "committed"), committed);
        committed.commit();
        Check.equal("committed", Inbox.text(Scope.take(consumer, 1).get(0)), "body");
        Scope.nothingMore(consumer, "after a rollback");
    }

    private static void checkBack(Scope scope) throws Exception {
        String topic = scope.topic("TRANSACTION");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        List<MessageView> checks = new CopyOnWriteArrayList<>();
        Producer producer = scope.producer(scope.configuration().build(), message -> {
            checks.add(message);
            return checks.size() == 1 ? TransactionResolution.UNKNOWN : TransactionResolution.COMMIT;
        }, topic);
        Transaction undecided = producer.beginTransaction();
        String id = producer.send(Scope.message(topic, "asked").setTag("t").setKeys("k").addProperty("p", "v").build(),
                undecided).getMessageId().toString();
        Check.await("two checks", CHECKS_MS, () -> checks.size() >= 2);
        inbox.awaitExactly(List.of("asked"), Scope.LIMIT_MS);
        for (MessageView check : checks) {
            Check.equal("asked", Inbox.text(check), "body of the check");
            Check.equal(id, check.getMessageId().toString(), "message id of the check");
            Check.equal(topic, check.getTopic(), "topic of the check");
            Check.equal("t", check.getTag().orElse(null), "tag of the check");
            Check.equal("v", check.getProperties().get("p"), "property of the check");
        }
    }

    private static void checkBackRollsBack(Scope scope) throws Exception {
        String topic = scope.topic("TRANSACTION");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        List<String> checked = new CopyOnWriteArrayList<>();
        Producer producer = scope.producer(scope.configuration().build(), message -> {
            checked.add(Inbox.text(message));
            boolean isGood = Inbox.text(message).equals("good");
            return isGood ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
        }, topic);
        for (String body : List.of("bad", "good")) {
            producer.send(Scope.plain(topic, body), producer.beginTransaction());
        }
        Check.await("both checks", CHECKS_MS, () -> checked.containsAll(List.of("bad", "good")));
        inbox.awaitExactly(List.of("good"), Scope.LIMIT_MS);
    }

    private static void orphan(Scope scope) throws Exception {
        String topic = scope.topic("TRANSACTION");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        Producer first = scope.producer(scope.configuration().build(), UNKNOWN, topic);
        first.send(Scope.plain(topic, "orphan"), first.beginTransaction());
        first.close();
        scope.producer(scope.configuration().build(), message -> TransactionResolution.COMMIT, topic);
        inbox.awaitExactly(List.of("orphan"), CHECKS_MS);
    }
}

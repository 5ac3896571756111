package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Member;
import crossdock.compat.Scope;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageQueue;

/** Two consumers of one group share the queues, and the rest takes over when one goes. */
public final class RebalanceCases {
    private static final int QUEUES = 8;
    /** Well below the 20 s after which clients rebalance by themselves: the server must tell them. */
    private static final long NOTICE_MS = 15_000;

    private RebalanceCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("rebalance_back_when_a_member_is_killed", RebalanceCases::killed));
        cases.add(Case.shared("rebalance_on_join_and_leave", RebalanceCases::joinAndLeave));
    }

    /** Sends one message to every queue, again and again, until a round has gone where it should. */
    private static final class Rounds {
        private final DefaultMQProducer producer;
        private final List<MessageQueue> queues;
        private final List<String> sent = new ArrayList<>();
        private int round;

        Rounds(Scope scope, String topic) throws Exception {
            producer = scope.producer();
            queues = producer.fetchPublishMessageQueues(topic);
            Check.equal(QUEUES, queues.size(), "queues");
        }

        interface Split {
            boolean holds(List<String> round);
        }

        void until(String what, Split split) throws Exception {
            long deadline = System.nanoTime() + NOTICE_MS * 1_000_000;
            while (true) {
                List<String> bodies = new ArrayList<>();
                for (MessageQueue queue : queues) {
                    String body = round + ":" + queue.getQueueId();
                    bodies.add(body);
                    Scope.stored(producer.send(Scope.message(queue.getTopic(), body), queue));
                }
                round++;
                sent.addAll(bodies);
                BooleanSupplier done = () -> split.holds(bodies);
                long patience = System.nanoTime() + 500 * 1_000_000L;
                while (!done.getAsBoolean() && System.nanoTime() < patience) {
                    Thread.sleep(10);
                }
                if (done.getAsBoolean()) {
                    return;
                }
                Check.that(System.nanoTime() < deadline, "%s did not happen within %d ms", what, NOTICE_MS);
            }
        }
    }

    private static boolean shared(List<String> round, Set<String> first, Set<String> second) {
        long one = round.stream().filter(first::contains).count();
        long two = round.stream().filter(second::contains).count();
        return one == QUEUES / 2 && two == QUEUES / 2;
    }

    private static void joinAndLeave(Scope scope) throws Exception {
        String topic = scope.topic(QUEUES);
        String group = scope.group();
        Inbox first = new Inbox();
        Inbox second = new Inbox();
        scope.consumer(group, topic, "*", first);
        Rounds rounds = new Rounds(scope, topic);
        rounds.until("delivery of all to the first", round -> first.texts().containsAll(round));
        DefaultMQPushConsumer leaving = scope.consumer(group, topic, "*", second);
        rounds.until("even share",
                round -> shared(round, new HashSet<>(first.texts()), new HashSet<>(second.texts())));
        leaving.shutdown();
        rounds.until("delivery of all to the one that stayed", round -> first.texts().containsAll(round));
        awaitNoneLost(rounds, first, () -> second.texts());
    }

    private static void killed(Scope scope) throws Exception {
        String topic = scope.topic(QUEUES);
        String group = scope.group();
        Inbox first = new Inbox();
        Set<String> second = ConcurrentHashMap.newKeySet();
        scope.consumer(group, topic, "*", first);
        Rounds rounds = new Rounds(scope, topic);
        rounds.until("delivery of all to the first", round -> first.texts().containsAll(round));
        Member member = new Member(scope.settings, scope.nameserver, group, topic, (queue, body) -> second.add(body));
        scope.onClose(member::close);
        // The other Java process has to start first.
        Check.await("delivery to the member", Scope.LIMIT_MS, () -> {
            rounds.until("any delivery", round -> !second.isEmpty() || first.texts().containsAll(round));
            return !second.isEmpty();
        });
        rounds.until("even share", round -> shared(round, new HashSet<>(first.texts()), second));
        member.kill();
        rounds.until("delivery of all to the survivor", round -> first.texts().containsAll(round));
        awaitNoneLost(rounds, first, () -> second);
    }

    /** What was under way during a hand-over may come late, but it comes. */
    private static void awaitNoneLost(Rounds rounds, Inbox first, Supplier<Collection<String>> second)
            throws InterruptedException {
        Check.await("delivery of every message to either", Scope.LIMIT_MS, () -> {
            Set<String> missing = new HashSet<>(rounds.sent);
            missing.removeAll(new HashSet<>(first.texts()));
            missing.removeAll(new HashSet<>(second.get()));
            Check.that(missing.isEmpty(), "missing %s", missing);
            return true;
        });
    }
}

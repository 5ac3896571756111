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
        private final List<Supplier<Collection<String>>> inboxes;
        private final List<String> sent = new ArrayList<>();
        private int round;

        @SafeVarargs
        Rounds(Scope scope, String topic, Supplier<Collection<String>>... inboxes) throws Exception {
            producer = scope.producer();
            queues = producer.fetchPublishMessageQueues(topic);
            this.inboxes = List.of(inboxes);
            Check.equal(QUEUES, queues.size(), "queues");
        }

        interface Split {
            boolean holds(List<String> round);
        }

        /** What of these bodies nobody has received. */
        Set<String> missing(Collection<String> bodies) {
            Set<String> missing = new HashSet<>(bodies);
            inboxes.forEach(inbox -> missing.removeAll(new HashSet<>(inbox.get())));
            return missing;
        }

        /** The next round is sent when the last one has arrived, so that a busy machine sees fewer rounds, not more. */
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
                boolean arrived = false;
                while (!arrived) {
                    Check.that(System.nanoTime() < deadline, "%s did not happen within %d ms, missing %s", what,
                            NOTICE_MS, missing(bodies));
                    arrived = missing(bodies).isEmpty();
                    // Looked at after the arrival: what is complete now goes nowhere else.
                    if (split.holds(bodies)) {
                        return;
                    }
                    Thread.sleep(10);
                }
            }
        }

        /** What was under way during a hand-over may come late, but it comes. */
        void awaitAll() throws InterruptedException {
            Check.await("delivery of every message to either", Scope.LIMIT_MS, () -> {
                Set<String> missing = missing(sent);
                Check.that(missing.isEmpty(), "missing %s", missing);
                return true;
            });
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
        Rounds rounds = new Rounds(scope, topic, first::texts, second::texts);
        rounds.until("delivery of all to the first", round -> first.texts().containsAll(round));
        DefaultMQPushConsumer leaving = scope.consumer(group, topic, "*", second);
        rounds.until("even share",
                round -> shared(round, new HashSet<>(first.texts()), new HashSet<>(second.texts())));
        leaving.shutdown();
        rounds.until("delivery of all to the one that stayed", round -> first.texts().containsAll(round));
        rounds.awaitAll();
    }

    private static void killed(Scope scope) throws Exception {
        String topic = scope.topic(QUEUES);
        String group = scope.group();
        Inbox first = new Inbox();
        Set<String> second = ConcurrentHashMap.newKeySet();
        scope.consumer(group, topic, "*", first);
        Rounds rounds = new Rounds(scope, topic, first::texts, () -> second);
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
        rounds.awaitAll();
    }
}

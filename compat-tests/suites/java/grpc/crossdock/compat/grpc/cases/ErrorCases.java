package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Scope;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.java.exception.BadRequestException;
import org.apache.rocketmq.client.java.exception.NotFoundException;

/** What must be refused, and how. */
public final class ErrorCases {
    private ErrorCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("expired_handle_is_refused", ErrorCases::expiredHandle));
        cases.add(Case.shared("unknown_topic_is_an_error", ErrorCases::unknownTopic));
        cases.add(Case.shared("wrong_message_type_is_refused", ErrorCases::wrongType));
        cases.add(Case.shared("bad_input_is_refused", ErrorCases::badInput));
        cases.add(Case.shared("senseless_filter_is_refused", ErrorCases::senselessFilter));
    }

    private static void refused(String what, Class<?> kind, String code, Callable<?> action) {
        Throwable error = Check.fails(what, action);
        String story = "";
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            story += cause + "; ";
            if (kind.isInstance(cause) && cause.toString().contains(code)) {
                return;
            }
        }
        throw new Check.Failed(what + " was refused otherwise: " + story, error);
    }

    private static void unknownTopic(Scope scope) throws Exception {
        String topic = scope.freshTopic("");
        Producer producer = scope.producer(scope.topic("-known", "NORMAL", 1));
        refused("a send", NotFoundException.class, "40402", () -> producer.send(Scope.plain(topic, "lost")));
        refused("a producer's start", NotFoundException.class, "40402", () -> scope.producer(topic));
        String group = scope.group();
        refused("a simple consumer's start", NotFoundException.class, "40402", () -> scope.simple(group, topic));
        refused("a push consumer's start", NotFoundException.class, "40402",
                () -> scope.push(group, topic, message -> null));
    }

    private static void wrongType(Scope scope) throws Exception {
        String normal = scope.topic("-normal", "NORMAL", 1);
        String fifo = scope.topic("-fifo", "FIFO", 1);
        String delay = scope.topic("-delay", "DELAY", 1);
        Producer producer = scope.producer(normal, fifo, delay);
        long later = System.currentTimeMillis() + 60_000;
        // This client compares with the types in the route before it asks the server.
        refused("a FIFO message to a normal topic", IllegalArgumentException.class, "",
                () -> producer.send(Scope.message(normal, "m").setMessageGroup("g").build()));
        refused("a delayed message to a normal topic", IllegalArgumentException.class, "",
                () -> producer.send(Scope.message(normal, "m").setDeliveryTimestamp(later).build()));
        refused("a normal message to a FIFO topic", IllegalArgumentException.class, "",
                () -> producer.send(Scope.plain(fifo, "m")));
        refused("a FIFO message to a delay topic", IllegalArgumentException.class, "",
                () -> producer.send(Scope.message(delay, "m").setMessageGroup("g").build()));
        producer.send(Scope.plain(normal, "m"));
        producer.send(Scope.message(fifo, "m").setMessageGroup("g").build());
        producer.send(Scope.message(delay, "m").setDeliveryTimestamp(later).build());
    }

    private static void badInput(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        String delay = scope.topic("-delay", "DELAY", 1);
        Producer producer = scope.producer(topic, delay);
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        Check.fails("a body of 5 MiB", () -> producer.send(Scope.message(topic, new byte[5 << 20]).build()));
        refused("a delivery in a year", BadRequestException.class, "40012", () -> producer.send(
                Scope.message(delay, "m").setDeliveryTimestamp(System.currentTimeMillis() + 365L * 86_400_000).build()));
        refused("a reserved property", BadRequestException.class, "40007",
                () -> producer.send(Scope.message(topic, "m").addProperty("UNIQ_KEY", "x").build()));
        refused("an invisible time of 1 ms", BadRequestException.class, "40011",
                () -> consumer.receive(1, Duration.ofMillis(1)));
        refused("an invisible time of two days", BadRequestException.class, "40011",
                () -> consumer.receive(1, Duration.ofDays(2)));
        producer.send(Scope.plain(topic, "still fine"));
        Scope.take(consumer, 1);
    }

    private static void senselessFilter(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer =
                scope.simple(scope.configuration().build(), scope.group(), topic, Scope.sql("price >"));
        refused("a senseless filter", BadRequestException.class, "40010", () -> consumer.receive(1, Scope.SHORT));
    }

    private static void expiredHandle(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        scope.producer(topic).send(Scope.plain(topic, "slow"));
        MessageView first = Scope.receive(consumer, 1, Scope.SHORT).get(0);
        MessageView second = Scope.receive(consumer, 1, Scope.LONG).get(0);
        refused("an acknowledgement after the lease", BadRequestException.class, "40013", () -> {
            consumer.ack(first);
            return null;
        });
        consumer.ack(second);
        Scope.nothingMore(consumer, "after the acknowledgement");
    }
}

package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.util.List;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** What a server that ends cleanly and starts again still knows. */
public final class RestartCases {
    private RestartCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.alone("restart_keeps_handles_and_clients_working", RestartCases::restart));
    }

    private static void restart(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        Inbox inbox = new Inbox();
        scope.push(scope.group("-push", "concurrent", Scope.RETRIES), topic, inbox.listener());
        Producer producer = scope.producer(topic);
        producer.send(Scope.plain(topic, "before"));
        inbox.awaitText("before", Scope.LIMIT_MS);
        MessageView before = Scope.receive(consumer, 1, Scope.LONG).get(0);
        scope.driver.control("restart");
        // A client may need a few tries to notice that its connection is a new one.
        Check.await("an acknowledgement after the restart", Scope.LIMIT_MS, () -> {
            consumer.ack(before);
            return true;
        });
        Check.await("a send after the restart", Scope.LIMIT_MS, () -> {
            producer.send(Scope.plain(topic, "after"));
            return true;
        });
        inbox.awaitText("after", Scope.LIMIT_MS);
        List<String> seen = Scope.receive(consumer, 1, Scope.LONG).stream().map(Inbox::text).toList();
        Check.equal(List.of("after"), seen, "what the simple consumer gets after the restart");
    }
}

package crossdock.compat.grpc;

import crossdock.compat.Check;
import crossdock.compat.Settings;
import java.io.Closeable;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;

/** What one case works with: names of its own, and clients that are shut down when the case ends. */
public final class Scope implements AutoCloseable {
    /** Long enough for a loaded machine; a condition that holds is noticed at once. */
    public static final long LIMIT_MS = 60_000;

    /** The shortest time the server may keep a message from others. */
    public static final Duration SHORT = Duration.ofSeconds(10);

    public static final Duration LONG = Duration.ofSeconds(120);
    public static final int RETRIES = 16;

    private static final Duration AWAIT = Duration.ofSeconds(5);
    private static final Duration REQUEST = Duration.ofSeconds(10);
    private static final AtomicInteger INSTANCES = new AtomicInteger();
    private static final String RUN = Long.toString(System.currentTimeMillis(), 36);
    private static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();

    public final Settings settings;
    public final Driver driver;
    private final String name;
    private final Deque<Closeable> closers = new ArrayDeque<>();

    Scope(Driver driver, Settings settings, String name) {
        this.driver = driver;
        this.settings = settings;
        this.name = name;
    }

    /** A topic name that does not exist yet. */
    public String freshTopic(String suffix) {
        return "JT_" + name + suffix + "_" + RUN;
    }

    public String freshGroup(String suffix) {
        return "JG_" + name + suffix + "_" + RUN;
    }

    public String topic(String type) throws Exception {
        return topic("", type, 4);
    }

    public String topic(String suffix, String type, int queues) throws Exception {
        String topic = freshTopic(suffix);
        driver.control("topic " + topic + " " + type + " " + queues);
        return topic;
    }

    public String group() throws Exception {
        return group("", "concurrent", RETRIES);
    }

    public String group(String suffix, String kind, int retries) throws Exception {
        String group = freshGroup(suffix);
        driver.control("group " + group + " " + kind + " " + retries);
        return group;
    }

    public ClientConfigurationBuilder configuration() {
        return new ClientConfigurationBuilder().setEndpoints(settings.get("grpc")).enableSsl(false)
                .setRequestTimeout(REQUEST);
    }

    public Producer producer(String... topics) throws ClientException {
        return producer(configuration().build(), null, topics);
    }

    public Producer producer(ClientConfiguration configuration, TransactionChecker checker, String... topics)
            throws ClientException {
        var builder = PROVIDER.newProducerBuilder().setClientConfiguration(configuration).setTopics(topics);
        if (checker != null) {
            builder.setTransactionChecker(checker);
        }
        return closing(builder.build());
    }

    public SimpleConsumer simple(String group, String topic) throws ClientException {
        return simple(configuration().build(), group, topic, FilterExpression.SUB_ALL);
    }

    public SimpleConsumer simple(ClientConfiguration configuration, String group, String topic,
            FilterExpression filter) throws ClientException {
        return closing(PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(configuration)
                .setConsumerGroup(group).setAwaitDuration(AWAIT)
                .setSubscriptionExpressions(Map.of(topic, filter)).build());
    }

    public PushConsumer push(String group, String topic, MessageListener listener) throws ClientException {
        return push(configuration().build(), group, topic, FilterExpression.SUB_ALL, listener);
    }

    public PushConsumer push(ClientConfiguration configuration, String group, String topic, FilterExpression filter,
            MessageListener listener) throws ClientException {
        return closing(PROVIDER.newPushConsumerBuilder().setClientConfiguration(configuration)
                .setConsumerGroup(group).setMessageListener(listener)
                .setSubscriptionExpressions(Map.of(topic, filter)).build());
    }

    public static FilterExpression tag(String expression) {
        return new FilterExpression(expression, FilterExpressionType.TAG);
    }

    public static FilterExpression sql(String expression) {
        return new FilterExpression(expression, FilterExpressionType.SQL92);
    }

    public <T extends Closeable> T closing(T closer) {
        closers.push(closer);
        return closer;
    }

    public int instance() {
        return INSTANCES.incrementAndGet();
    }

    public static MessageBuilder message(String topic, byte[] body) {
        return PROVIDER.newMessageBuilder().setTopic(topic).setBody(body);
    }

    public static MessageBuilder message(String topic, String body) {
        return message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    public static Message plain(String topic, String body) {
        return message(topic, body).build();
    }

    /** The bodies {@code prefix0} to {@code prefix(count - 1)}. */
    public static List<String> texts(String prefix, int count) {
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            texts.add(prefix + i);
        }
        return texts;
    }

    /** Receives until so many messages came, without acknowledging any. */
    public static List<MessageView> receive(SimpleConsumer consumer, int count, Duration invisible) throws Exception {
        List<MessageView> received = new ArrayList<>();
        long deadline = System.nanoTime() + LIMIT_MS * 1_000_000;
        while (received.size() < count) {
            Check.that(System.nanoTime() < deadline, "only %d of %d messages within %d ms", received.size(), count,
                    LIMIT_MS);
            received.addAll(consumer.receive(16, invisible));
        }
        Check.equal(count, received.size(), "messages");
        return received;
    }

    /** Receives and acknowledges so many messages. */
    public static List<MessageView> take(SimpleConsumer consumer, int count) throws Exception {
        List<MessageView> received = receive(consumer, count, LONG);
        for (MessageView message : received) {
            consumer.ack(message);
        }
        return received;
    }

    /** Polls once, long enough for what is there to arrive, and checks that nothing does. */
    public static void nothingMore(SimpleConsumer consumer, String why) throws Exception {
        List<String> texts = consumer.receive(16, LONG).stream().map(Inbox::text).toList();
        Check.equal(List.of(), texts, why);
    }

    @Override
    public void close() {
        while (!closers.isEmpty()) {
            try {
                closers.pop().close();
            } catch (IOException | RuntimeException error) {
                System.err.println(name + ": shutting down: " + error);
            }
        }
    }
}

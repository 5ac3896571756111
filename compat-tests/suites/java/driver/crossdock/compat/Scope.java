package crossdock.compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What one case works with: names of its own, and clients that are shut down when the case ends. */
public final class Scope implements AutoCloseable {
    /** Long enough for a loaded machine; a condition that holds is noticed at once. */
    public static final long LIMIT_MS = 30_000;

    private static final AtomicInteger INSTANCES = new AtomicInteger();
    private static final String RUN = Long.toString(System.currentTimeMillis(), 36);

    public final Settings settings;
    public final Driver driver;
    public final String nameserver;
    public final String broker;
    private final String name;
    private final RPCHook hook;
    private final Deque<Runnable> closers = new ArrayDeque<>();
    private DefaultMQAdminExt admin;

    Scope(Driver driver, Settings settings, String name) {
        this(driver, settings, name, settings.get("nameserver"), settings.get("broker"), null);
    }

    private Scope(Driver driver, Settings settings, String name, String nameserver, String broker, RPCHook hook) {
        this.driver = driver;
        this.settings = settings;
        this.name = name;
        this.nameserver = nameserver;
        this.broker = broker;
        this.hook = hook;
    }

    /** The same case against another server, or with requests signed. */
    public Scope with(String nameserver, String broker, RPCHook hook) {
        Scope other = new Scope(driver, settings, name, nameserver, broker, hook);
        closers.push(other::close);
        return other;
    }

    public String group(String suffix) {
        return "G_" + name + suffix + "_" + RUN;
    }

    public String group() {
        return group("");
    }

    /** A topic name that does not exist yet. */
    public String freshTopic(String suffix) {
        return "T_" + name + suffix + "_" + RUN;
    }

    public String topic(int queues) throws Exception {
        return topic("", queues);
    }

    /** Creates a topic and waits until it is routed. */
    public String topic(String suffix, int queues) throws Exception {
        String topic = freshTopic(suffix);
        createTopic(topic, queues, broker);
        return topic;
    }

    public void createTopic(String topic, int queues, String... brokers) throws Exception {
        for (String address : brokers) {
            admin().createAndUpdateTopicConfig(address, new TopicConfig(topic, queues, queues, 6));
        }
        Check.await("route of " + topic, LIMIT_MS, () -> {
            var queueData = admin().examineTopicRouteInfo(topic).getQueueDatas();
            return queueData.size() == brokers.length
                    && queueData.stream().allMatch(data -> data.getWriteQueueNums() == queues);
        });
    }

    public DefaultMQAdminExt admin() throws Exception {
        if (admin == null) {
            DefaultMQAdminExt fresh = new DefaultMQAdminExt(hook, 10_000);
            fresh.setAdminExtGroup("admin_" + INSTANCES.incrementAndGet());
            configure(fresh);
            fresh.start();
            closers.push(fresh::shutdown);
            admin = fresh;
        }
        return admin;
    }

    public void onClose(Runnable closer) {
        closers.push(closer);
    }

    public void configure(ClientConfig client) {
        client.setNamesrvAddr(nameserver);
        client.setInstanceName("driver_" + INSTANCES.incrementAndGet());
        // Not the 30 s of the defaults: the tests would wait for them.
        client.setPollNameServerInterval(1_000);
        client.setHeartbeatBrokerInterval(1_000);
        // Not the 3 s: a busy machine is no failure of the server.
        client.setMqClientApiTimeout(15_000);
    }

    public DefaultMQProducer newProducer() {
        DefaultMQProducer producer = new DefaultMQProducer("P_" + name + "_" + RUN, hook);
        configure(producer);
        producer.setSendMsgTimeout(10_000);
        return producer;
    }

    public DefaultMQProducer producer() throws Exception {
        return start(newProducer());
    }

    public DefaultMQProducer start(DefaultMQProducer producer) throws Exception {
        producer.start();
        closers.push(producer::shutdown);
        return producer;
    }

    public DefaultMQPushConsumer newConsumer(String group) {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, hook,
                new org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely());
        configure(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        return consumer;
    }

    public DefaultMQPushConsumer start(DefaultMQPushConsumer consumer) throws Exception {
        closers.push(consumer::shutdown);
        consumer.start();
        return consumer;
    }

    /** A started concurrent consumer of one topic. */
    public DefaultMQPushConsumer consumer(String group, String topic, String filter, Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = newConsumer(group);
        consumer.subscribe(topic, filter);
        consumer.registerMessageListener(inbox.concurrent());
        return start(consumer);
    }

    public DefaultLitePullConsumer newLitePull(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group, hook);
        configure(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPollTimeoutMillis(200);
        closers.push(consumer::shutdown);
        return consumer;
    }

    /** Waits until the consumer works on so many queues of the topic. */
    public static void awaitAssigned(DefaultMQPushConsumer consumer, String topic, int queues, long limitMs)
            throws Exception {
        var rebalance = consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl();
        Check.await(queues + " queues of " + topic, limitMs, () -> rebalance.getProcessQueueTable().keySet().stream()
                .filter(queue -> queue.getTopic().equals(topic)).count() == queues);
    }

    /**
     * Waits until the consumer works on so many queues of its own retry topic. A new group's retry topic is created by
     * its first heartbeat, after the client has looked for it; left alone, the client notices at its next periodic
     * rebalance, 20 s later.
     */
    public static void awaitRetryQueues(DefaultMQPushConsumer consumer, int queues) throws Exception {
        String topic = "%RETRY%" + consumer.getConsumerGroup();
        var implementation = consumer.getDefaultMQPushConsumerImpl();
        var rebalance = implementation.getRebalanceImpl();
        Check.await("retry topic of " + consumer.getConsumerGroup(), LIMIT_MS, () -> {
            var routed = rebalance.getTopicSubscribeInfoTable().get(topic);
            return routed != null && routed.size() == queues;
        });
        implementation.getmQClientFactory().rebalanceImmediately();
        awaitAssigned(consumer, topic, queues, LIMIT_MS);
    }

    /** Waits until the server has positions for all queues of the topic that add up to so many messages. */
    public void awaitCommitted(DefaultMQPushConsumer consumer, String topic, long messages) throws Exception {
        var implementation = consumer.getDefaultMQPushConsumerImpl();
        var table = implementation.getRebalanceImpl().getProcessQueueTable();
        Check.await("positions for " + messages + " messages", LIMIT_MS, () -> {
            implementation.persistConsumerOffset();
            long sum = 0;
            for (MessageQueue queue : table.keySet()) {
                if (queue.getTopic().equals(topic)) {
                    sum += Version.committed(implementation.getmQClientFactory().getMQClientAPIImpl(), broker,
                            consumer.getConsumerGroup(), queue);
                }
            }
            return sum == messages;
        });
    }

    public static Message message(String topic, String body) {
        return new Message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    public static Message message(String topic, String tag, String body) {
        return new Message(topic, tag, body.getBytes(StandardCharsets.UTF_8));
    }

    /** The bodies {@code prefix0} to {@code prefix(count - 1)}. */
    public static List<String> texts(String prefix, int count) {
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            texts.add(prefix + i);
        }
        return texts;
    }

    /** Sends bodies one after the other, over all queues. */
    public static void sendAll(DefaultMQProducer producer, String topic, Collection<String> bodies) throws Exception {
        for (String body : bodies) {
            stored(producer.send(message(topic, body)));
        }
    }

    /** Sends bodies to one queue. */
    public static void sendAll(DefaultMQProducer producer, MessageQueue queue, Collection<String> bodies)
            throws Exception {
        for (String body : bodies) {
            stored(producer.send(message(queue.getTopic(), body), queue));
        }
    }

    public static SendResult stored(SendResult result) {
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
        return result;
    }

    @Override
    public void close() {
        while (!closers.isEmpty()) {
            try {
                closers.pop().run();
            } catch (RuntimeException error) {
                System.err.println(name + ": shutting down: " + error);
            }
        }
    }
}

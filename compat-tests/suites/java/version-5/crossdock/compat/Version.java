package crossdock.compat;

import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** The few places where the 5.x client's packages differ from the other line's. */
public final class Version {
    private static final int QUERY_NOT_FOUND = 22;

    private Version() {}

    public static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    /** Creates or changes a group on one broker. */
    public static void putGroup(DefaultMQAdminExt admin, String broker, String group, int retryMax, boolean enabled)
            throws Exception {
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(group);
        config.setRetryMaxTimes(retryMax);
        config.setConsumeEnable(enabled);
        admin.createAndUpdateSubscriptionGroupConfig(broker, config);
    }

    /** Removes a topic from one name server. */
    public static void deleteRoute(DefaultMQAdminExt admin, String nameserver, String cluster, String topic)
            throws Exception {
        admin.deleteTopicInNameServer(Set.of(nameserver), cluster, topic);
    }

    /** The position that the server has for a group, or 0 while it has none. */
    public static long committed(MQClientAPIImpl client, String broker, String group, MessageQueue queue)
            throws Exception {
        QueryConsumerOffsetRequestHeader header = new QueryConsumerOffsetRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(queue.getTopic());
        header.setQueueId(queue.getQueueId());
        try {
            return client.queryConsumerOffset(broker, header, 5_000);
        } catch (MQBrokerException error) {
            if (error.getResponseCode() == QUERY_NOT_FOUND) {
                return 0;
            }
            throw error;
        }
    }

    /**
     * A request and its reply. This client's own waiting method gives up as soon as the request is stored (Apache's issue
     * 9319), and its other one says so by a call without a reply.
     */
    public static Message request(DefaultMQProducer producer, Message message, long limitMs) throws Exception {
        CompletableFuture<Message> replied = new CompletableFuture<>();
        producer.request(message, new RequestCallback() {
            @Override
            public void onSuccess(Message reply) {
                if (reply != null) {
                    replied.complete(reply);
                }
            }

            @Override
            public void onException(Throwable error) {
                replied.completeExceptionally(error);
            }
        }, limitMs);
        try {
            return replied.get(limitMs + Scope.LIMIT_MS, TimeUnit.MILLISECONDS);
        } catch (ExecutionException error) {
            throw error.getCause() instanceof Exception cause ? cause : error;
        }
    }

    /** Takes back a timer message; the id of what was taken back. */
    public static String recall(DefaultMQProducer producer, String topic, SendResult sent) throws Exception {
        return producer.recallMessage(topic, sent.getRecallHandle());
    }

    /** An attribute of a topic. */
    public static String attribute(TopicConfig config, String name) {
        return config.getAttributes().get(name);
    }

    /** Turns on heartbeats without subscriptions; false when this client has none. */
    public static boolean lightHeartbeats(ClientConfig client) {
        client.setUseHeartbeatV2(true);
        return true;
    }

    /** Sends a heartbeat now, if this client has light ones: with the subscriptions or without. */
    public static void beat(DefaultMQPushConsumer consumer, boolean full) {
        consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().sendHeartbeatToAllBrokerWithLockV2(full);
    }
}
